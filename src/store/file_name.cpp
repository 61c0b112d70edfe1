#include "store/file_name.hpp"

#include <fmt/format.h>

#include "stator/base/random.hpp"

namespace stator::store {

namespace {

constexpr std::string_view temporary_prefix = ".tmp_";

bool is_plain(char letter) noexcept {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9');
}

/// The value of an upper-case hex digit; -1 for anything else.
int hex_value(char digit) noexcept {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

}  // namespace

std::string encode_file_name(std::string_view rest) {
    static constexpr std::string_view digits = "0123456789ABCDEF";
    std::string name;
    name.reserve(rest.size() + 16);
    for (const char letter : rest) {
        if (is_plain(letter)) {
            name += letter;
            continue;
        }
        const auto byte = static_cast<unsigned char>(letter);
        name += '%';
        name += digits[byte >> 4U];
        name += digits[byte & 0xFU];
    }
    return name;
}

std::optional<std::string> decode_file_name(std::string_view name) {
    std::string rest;
    rest.reserve(name.size());
    for (std::size_t at = 0; at < name.size(); ++at) {
        if (is_plain(name[at])) {
            rest += name[at];
            continue;
        }
        if (name[at] != '%' || at + 2 >= name.size()) return std::nullopt;
        const int high = hex_value(name[at + 1]);
        const int low = hex_value(name[at + 2]);
        if (high < 0 || low < 0) return std::nullopt;
        const char letter = static_cast<char>(high * 16 + low);
        if (is_plain(letter)) return std::nullopt;
        rest += letter;
        at += 2;
    }
    return rest;
}

std::string temporary_name() {
    return fmt::format("{}{:016x}", temporary_prefix, thread_random()());
}

bool is_temporary_name(std::string_view name) noexcept {
    return name.starts_with(temporary_prefix);
}

}  // namespace stator::store
