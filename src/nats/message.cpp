#include "stator/nats/message.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "stator/base/text.hpp"

namespace stator::nats {

namespace {

// "NATS/1.0\r\n", then "key: value\r\n" each, then "\r\n".
constexpr std::size_t header_frame = 12;
constexpr std::size_t header_line = 4;

bool same_letter(char a, char b) noexcept {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(a) == lower(b);
}

bool is_plain(char c) noexcept { return static_cast<unsigned char>(c) > ' ' && c != '\x7f'; }

std::size_t size_of(const Bytes& payload, const std::vector<Header>& headers) noexcept {
    std::size_t size = payload.size();
    if (!headers.empty()) size += header_frame;
    for (const auto& header : headers)
        size += header.key.size() + header.value.size() + header_line;
    return size;
}

/// Each part between dots, by `good(part, is_last)`.
template <class Good>
bool all_parts(std::string_view text, Good good) noexcept {
    if (!std::ranges::all_of(text, is_plain)) return false;
    for (;;) {
        const auto dot = text.find('.');
        const auto part = text.substr(0, dot);
        if (part.empty() || !good(part, dot == text.npos)) return false;
        if (dot == text.npos) return true;
        text.remove_prefix(dot + 1);
    }
}

bool is_header(const Header& header) noexcept {
    const auto in_a_line = [](char c) { return c != '\r' && c != '\n'; };
    return !header.key.empty() && std::ranges::all_of(header.key, is_plain) &&
           !header.key.contains(':') && std::ranges::all_of(header.value, in_a_line);
}

}  // namespace

bool is_subject(std::string_view subject) noexcept {
    return all_parts(subject, [](std::string_view part, bool) {
        return part != "*" && part != ">";
    });
}

bool is_pattern(std::string_view pattern) noexcept {
    return all_parts(pattern, [](std::string_view part, bool last) { return part != ">" || last; });
}

std::size_t Publication::size() const noexcept { return size_of(payload, headers); }

Result<void> Publication::check() const {
    for (const auto* const each : {&subject, &reply}) {
        if (each == &reply && reply.empty()) continue;
        if (is_subject(*each)) continue;
        return fail(
            ErrorCode::invalid_request,
            "nats.subject",
            fmt::format("{} is no subject that can be published to", quoted_text(*each))
        );
    }
    const auto bad = std::ranges::find_if_not(headers, is_header);
    if (bad == headers.end()) return {};
    return fail(
        ErrorCode::invalid_request,
        "nats.header",
        fmt::format("{} is no header, or its value has more than one line", quoted_text(bad->key))
    );
}

const std::string* Message::header(std::string_view key) const noexcept {
    const auto found = std::ranges::find_if(headers, [key](const Header& header) {
        return std::ranges::equal(header.key, key, same_letter);
    });
    return found == headers.end() ? nullptr : &found->value;
}

std::size_t Message::size() const noexcept { return size_of(payload, headers); }

}  // namespace stator::nats
