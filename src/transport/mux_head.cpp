#include "stator/transport/mux_head.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "stator/transport/mux_frame.hpp"

namespace stator::transport::mux {
namespace {

constexpr std::uint16_t head_flag_trace = 0x0001;
constexpr std::size_t trace_size = 25;

/// Whether all bytes are in [lowest, 0x7E].
bool all_within(std::string_view text, unsigned char lowest) noexcept {
    unsigned outside = 0;
    for (const char letter : text) {
        const auto byte = static_cast<unsigned char>(letter);
        outside |= static_cast<unsigned>(byte < lowest) | static_cast<unsigned>(byte > 0x7E);
    }
    return outside == 0;
}

bool is_visible(std::string_view text) noexcept { return all_within(text, 0x21); }

/// What is wrong with the parts of a head, for both directions; empty if nothing.
std::string_view check_parts(const CallHead& head) noexcept {
    if (head.path.empty() || head.path.size() > max_path_size) return "path size out of bounds";
    if (!is_visible(head.path)) return "path with invalid characters";
    if (static_cast<unsigned>(head.shape) > 3) return "unknown call shape";
    if (head.headers.size() > max_headers) return "too many headers";
    if (head.response_credit < least_stream_credit) return "response credit too small";
    if (head.trace && head.trace->state.size() > max_trace_state_size) {
        return "trace state too long";
    }
    if (head.trace && !all_within(head.trace->state, 0x20)) {
        return "trace state with invalid characters";
    }
    return {};
}

std::string_view check_header(const HeaderField& field) noexcept {
    if (field.key.empty() || field.key.size() > max_header_key_size) {
        return "header key size out of bounds";
    }
    if (!is_visible(field.key)) return "header key with invalid characters";
    return {};
}

std::unexpected<Error> bad_head(std::string_view why) {
    return fail(ErrorCode::invalid_request, "mux.bad_head", std::string{why});
}

std::byte* put(std::byte* to, std::string_view text) noexcept {
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
    return to + text.size();
}

/// Reads the variable part of a head.
class Reader {
public:
    explicit Reader(std::span<const std::byte> from) noexcept : from_{from} {}

    bool has(std::size_t size) const noexcept { return from_.size() >= size; }
    bool done() const noexcept { return from_.empty(); }
    const std::byte* take(std::size_t size) noexcept {
        const auto* at = from_.data();
        from_ = from_.subspan(size);
        return at;
    }
    std::string_view text(std::size_t size) noexcept {
        return {reinterpret_cast<const char*>(take(size)), size};
    }

private:
    std::span<const std::byte> from_;
};

std::string_view read_trace(Reader& in, CallHead& head, std::size_t state_size) noexcept {
    if (!in.has(trace_size + state_size)) return "trace context cut off";
    auto& trace = head.trace.emplace();
    std::memcpy(trace.trace_id.data(), in.take(16), 16);
    std::memcpy(trace.span_id.data(), in.take(8), 8);
    trace.flags = load<std::uint8_t>(in.take(1));
    trace.state = in.text(state_size);
    return {};
}

std::string_view read_headers(Reader& in, std::span<HeaderField> out) noexcept {
    for (auto& field : out) {
        if (!in.has(4)) return "header cut off";
        const auto* sizes = in.take(4);
        const std::size_t key_size = load<std::uint16_t>(sizes);
        const std::size_t value_size = load<std::uint16_t>(sizes + 2);
        if (!in.has(key_size + value_size)) return "header cut off";
        field.key = in.text(key_size);
        field.value = in.text(value_size);
        if (const auto why = check_header(field); !why.empty()) return why;
    }
    return {};
}

}  // namespace

Result<std::size_t> head_size(const CallHead& head, std::size_t limit) {
    if (const auto why = check_parts(head); !why.empty()) return bad_head(why);
    std::size_t size = head_fixed_size + head.path.size();
    if (head.trace) size += trace_size + head.trace->state.size();
    for (const auto& field : head.headers) {
        if (const auto why = check_header(field); !why.empty()) return bad_head(why);
        size += 4 + field.key.size() + field.value.size();
    }
    const auto most = std::min(limit, max_head_size);
    if (size <= most) return size;
    return fail(
        ErrorCode::payload_too_large,
        "mux.head_too_large",
        fmt::format("the call's head takes {} bytes, the peer accepts {}", size, most)
    );
}

void encode_head(const CallHead& head, std::size_t size, std::byte* to) noexcept {
    const auto microseconds = std::max<std::int64_t>(head.remaining.count(), 0);
    const std::size_t state_size = head.trace ? head.trace->state.size() : 0;
    store(to, static_cast<std::uint16_t>(size));
    store(to + 2, static_cast<std::uint8_t>(head.shape));
    store(to + 3, head.codec);
    store(to + 4, head.trace ? head_flag_trace : std::uint16_t{0});
    store(to + 6, static_cast<std::uint16_t>(head.path.size()));
    store(to + 8, head.instance.value());
    store(to + 16, static_cast<std::uint64_t>(microseconds));
    // In the order in which a UUID is written: big-endian.
    store(to + 24, std::byteswap(head.request.high()));
    store(to + 32, std::byteswap(head.request.low()));
    store(to + 40, head.response_credit);
    store(to + 44, static_cast<std::uint16_t>(head.headers.size()));
    store(to + 46, static_cast<std::uint16_t>(state_size));
    auto* at = put(to + head_fixed_size, head.path);
    if (head.trace) {
        std::memcpy(at, head.trace->trace_id.data(), 16);
        std::memcpy(at + 16, head.trace->span_id.data(), 8);
        store(at + 24, head.trace->flags);
        at = put(at + trace_size, head.trace->state);
    }
    for (const auto& field : head.headers) {
        store(at, static_cast<std::uint16_t>(field.key.size()));
        store(at + 2, static_cast<std::uint16_t>(field.value.size()));
        at = put(put(at + 4, field.key), field.value);
    }
}

std::string_view decode_head(
    std::span<const std::byte> from, CallHead& head, HeaderScratch& scratch
) noexcept {
    if (from.size() < head_fixed_size) return "head cut off";
    const auto* at = from.data();
    const auto flags = load<std::uint16_t>(at + 4);
    const std::size_t path_size = load<std::uint16_t>(at + 6);
    const auto microseconds = load<std::uint64_t>(at + 16);
    const std::size_t headers = load<std::uint16_t>(at + 44);
    const std::size_t state_size = load<std::uint16_t>(at + 46);
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

    head.shape = static_cast<CallShape>(load<std::uint8_t>(at + 2));
    head.codec = load<std::uint8_t>(at + 3);
    head.instance = InstanceId{load<std::uint64_t>(at + 8)};
    head.remaining =
        std::chrono::microseconds{static_cast<std::int64_t>(std::min(microseconds, most))};
    head.request = RequestId{
        std::byteswap(load<std::uint64_t>(at + 24)), std::byteswap(load<std::uint64_t>(at + 32))
    };
    head.response_credit = load<std::uint32_t>(at + 40);
    head.trace.reset();
    head.headers = {};
    if ((flags & ~head_flag_trace) != 0) return "unknown head flags";
    if (headers > max_headers) return "too many headers";
    if (flags == 0 && state_size != 0) return "trace state without trace context";

    Reader in{from.subspan(head_fixed_size)};
    if (!in.has(path_size)) return "path cut off";
    head.path = in.text(path_size);
    if (flags != 0) {
        if (const auto why = read_trace(in, head, state_size); !why.empty()) return why;
    }
    if (const auto why = check_parts(head); !why.empty()) return why;
    if (headers != 0) {
        const std::span<HeaderField> fields{scratch.data(), headers};
        if (const auto why = read_headers(in, fields); !why.empty()) return why;
        head.headers = fields;
    }
    return in.done() ? std::string_view{} : std::string_view{"surplus bytes in the head"};
}

}  // namespace stator::transport::mux
