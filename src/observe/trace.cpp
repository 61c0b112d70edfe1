#include "stator/observe/trace.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "stator/base/random.hpp"
#include "stator/base/text.hpp"

namespace stator::observe {

namespace {

constexpr std::string_view digits = "0123456789abcdef";
constexpr std::size_t parent_size = 55;  // 2 + 1 + 32 + 1 + 16 + 1 + 2

/// Reads lower-case hex; the standard allows no other.
bool read_hex(std::string_view text, std::span<std::byte> out) noexcept {
    for (std::size_t i = 0; i < out.size(); ++i) {
        const auto high = digits.find(text[2 * i]);
        const auto low = digits.find(text[2 * i + 1]);
        if (high == std::string_view::npos || low == std::string_view::npos) return false;
        out[i] = static_cast<std::byte>(high << 4U | low);
    }
    return true;
}

std::string to_hex(std::span<const std::byte> bytes) {
    std::string text;
    for (const auto byte : bytes) {
        text.push_back(digits[std::to_integer<std::size_t>(byte >> 4U)]);
        text.push_back(digits[std::to_integer<std::size_t>(byte & std::byte{0xf})]);
    }
    return text;
}

bool all_zero(std::span<const std::byte> bytes) noexcept {
    return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

template <std::size_t size>
void fill_random(std::array<std::byte, size>& id) {
    auto& random = thread_random();
    do {
        for (std::size_t i = 0; i < size; i += sizeof(std::uint64_t)) {
            const auto value = random();
            std::memcpy(id.data() + i, &value, sizeof value);
        }
    } while (all_zero(id));
}

std::optional<TraceContext> parse_parent(std::string_view text) noexcept {
    if (text.size() < parent_size || text[2] != '-' || text[35] != '-' || text[52] != '-')
        return std::nullopt;
    std::array<std::byte, 1> version{};
    std::array<std::byte, 1> flags{};
    TraceContext context;
    const bool hex = read_hex(text, version) && read_hex(text.substr(3), context.trace_id) &&
                     read_hex(text.substr(36), context.span_id) && read_hex(text.substr(53), flags);
    if (!hex || version[0] == std::byte{0xff}) return std::nullopt;
    const bool more = text.size() > parent_size;
    if (more && (version[0] == std::byte{0} || text[parent_size] != '-')) return std::nullopt;
    if (all_zero(context.trace_id) || all_zero(context.span_id)) return std::nullopt;
    context.flags = std::to_integer<std::uint8_t>(flags[0]);
    return context;
}

bool is_good_state(std::string_view text) noexcept {
    const auto printable = [](char letter) { return letter >= 0x20 && letter < 0x7f; };
    return text.size() <= TraceContext::max_state_size && std::ranges::all_of(text, printable);
}

}  // namespace

TraceContext TraceContext::random(bool is_sampled) {
    TraceContext context;
    fill_random(context.trace_id);
    fill_random(context.span_id);
    context.flags = is_sampled ? sampled : 0;
    return context;
}

Result<TraceContext> TraceContext::parse(
    std::string_view traceparent, std::string_view tracestate
) {
    auto context = parse_parent(traceparent);
    if (!context) {
        auto message = fmt::format("the traceparent {} is malformed", quoted_text(traceparent));
        return fail(ErrorCode::invalid_request, "trace.invalid", std::move(message));
    }
    if (is_good_state(tracestate)) context->state = tracestate;
    return std::move(*context);
}

TraceContext TraceContext::child() const {
    auto context = *this;
    fill_random(context.span_id);
    return context;
}

std::string TraceContext::traceparent() const {
    return fmt::format("00-{}-{}-{:02x}", trace_id_text(), span_id_text(), flags);
}

std::string TraceContext::trace_id_text() const { return to_hex(trace_id); }
std::string TraceContext::span_id_text() const { return to_hex(span_id); }

}  // namespace stator::observe
