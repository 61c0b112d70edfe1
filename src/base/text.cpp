#include "stator/base/text.hpp"

namespace stator::inline base {

std::string quoted_text(std::string_view text, std::size_t limit) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string shown = "\"";
    for (const char letter : text.substr(0, limit)) {
        const auto byte = static_cast<unsigned char>(letter);
        if (byte >= 0x20 && byte < 0x7f && letter != '"' && letter != '\\') {
            shown.push_back(letter);
        } else {
            shown.append("\\x");
            shown.push_back(digits[byte >> 4U]);
            shown.push_back(digits[byte & 0xfU]);
        }
    }
    if (text.size() > limit) shown.append("...");
    shown.push_back('"');
    return shown;
}

}  // namespace stator::inline base
