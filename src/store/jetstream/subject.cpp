#include "store/jetstream/subject.hpp"

#include <cstdint>

#include <fmt/format.h>

#include "stator/nats/jetstream.hpp"

namespace stator::store::jetstream {

namespace {

/// -1 for what is no digit of ours.
int hex_value(char digit) noexcept {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

std::string start_of(std::string_view bucket) { return fmt::format("$KV.{}.", bucket); }

void append_encoded(std::string& to, std::string_view text) {
    for (const char letter : text) {
        if (letter == '/') {
            to += '.';
        } else if (nats::is_name_letter(letter)) {
            to += letter;
        } else {
            fmt::format_to(std::back_inserter(to), "={:02X}", static_cast<std::uint8_t>(letter));
        }
    }
}

}  // namespace

std::string subject_of(std::string_view bucket, std::string_view key) {
    auto subject = start_of(bucket);
    append_encoded(subject, key);
    return subject;
}

std::optional<std::string> key_of(std::string_view bucket, std::string_view subject) {
    const auto start = start_of(bucket);
    if (!subject.starts_with(start)) return std::nullopt;
    subject.remove_prefix(start.size());
    std::string key;
    key.reserve(subject.size());
    for (std::size_t at = 0; at < subject.size(); ++at) {
        const char letter = subject[at];
        if (letter == '.') {
            key += '/';
        } else if (nats::is_name_letter(letter)) {
            key += letter;
        } else {
            if (letter != '=' || at + 2 >= subject.size()) return std::nullopt;
            const int high = hex_value(subject[at + 1]);
            const int low = hex_value(subject[at + 2]);
            if (high < 0 || low < 0) return std::nullopt;
            const auto byte = static_cast<char>(high * 16 + low);
            // Written so it would be another subject of the same key.
            if (byte == '/' || nats::is_name_letter(byte)) return std::nullopt;
            key += byte;
            at += 2;
        }
    }
    return key;
}

std::string pattern_of(std::string_view bucket, std::string_view prefix) {
    auto pattern = start_of(bucket);
    append_encoded(pattern, prefix.substr(0, prefix.rfind('/') + 1));
    return pattern + ">";
}

}  // namespace stator::store::jetstream
