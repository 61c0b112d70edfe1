// The half of ValueReader that knows JSON text (RFC 8259).
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

#include "stator/codec/utf8.hpp"
#include "stator/codec/value_reader.hpp"

namespace stator::inline codec {

namespace {

constexpr bool is_digit(char letter) noexcept { return letter >= '0' && letter <= '9'; }

const char* skip_digits(const char* at, const char* end) noexcept {
    while (at != end && is_digit(*at)) ++at;
    return at;
}

struct Token {
    const char* end;  ///< null: not a number
    bool integer;
};

/// The extent of the number at `at`: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
Token scan_number(const char* at, const char* end) noexcept {
    constexpr Token none{.end = nullptr, .integer = false};
    bool integer = true;
    if (at != end && *at == '-') ++at;
    if (at == end || !is_digit(*at)) return none;
    at = *at == '0' ? at + 1 : skip_digits(at, end);
    if (at != end && *at == '.') {
        integer = false;
        const auto* digits = ++at;
        at = skip_digits(at, end);
        if (at == digits) return none;
    }
    if (at != end && (*at == 'e' || *at == 'E')) {
        integer = false;
        ++at;
        if (at != end && (*at == '+' || *at == '-')) ++at;
        const auto* digits = at;
        at = skip_digits(at, end);
        if (at == digits) return none;
    }
    return {.end = at, .integer = integer};
}

/// Whether a valid number that from_chars found out of range is too small rather than too large:
/// whether its first digit other than zero stands for less than one.
bool is_tiny(std::string_view token) noexcept {
    const auto exponent_at = std::min(token.find_first_of("eE"), token.size());
    const auto mantissa = token.substr(0, exponent_at);
    const auto point = std::min(mantissa.find('.'), mantissa.size());
    const auto first = mantissa.find_first_of("123456789");
    if (first == std::string_view::npos) return true;
    auto magnitude = static_cast<long long>(point) - static_cast<long long>(first);
    auto exponent_text = token.substr(std::min(exponent_at + 1, token.size()));
    const bool below = exponent_text.starts_with('-');
    if (exponent_text.starts_with('+') || below) exponent_text.remove_prefix(1);
    long long exponent = 0;
    const auto [end, code] = std::from_chars(
        exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent
    );
    if (code == std::errc::result_out_of_range) return below;
    return magnitude + (below ? -exponent : exponent) <= 0;
}

constexpr bool ends_plain_text(char letter) noexcept {
    return letter == '"' || letter == '\\' || static_cast<unsigned char>(letter) < 0x20;
}

struct PlainText {
    const char* end;  ///< the first letter that is no plain text, or the end of the input
    bool ascii;
};

/// The plain part of a string at `at`, eight letters at a time.
PlainText scan_plain(const char* at, const char* end) noexcept {
    constexpr std::uint64_t ones = 0x0101010101010101;
    constexpr std::uint64_t highs = ones << 7U;
    // Whether a byte of `word` is below `limit`, which is at most 0x80: it borrows from its top
    // bit.
    const auto any_below = [](std::uint64_t word, std::uint64_t limit) {
        return ((word - ones * limit) & ~word & highs) != 0;
    };
    std::uint64_t high = 0;
    while (end - at >= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, sizeof word);
        const bool stop = any_below(word, 0x20) || any_below(word ^ (ones * '"'), 1) ||
                          any_below(word ^ (ones * '\\'), 1);
        if (stop) break;
        high |= word & highs;
        at += 8;
    }
    bool ascii = high == 0;
    for (; at != end && !ends_plain_text(*at); ++at)
        ascii = ascii && static_cast<unsigned char>(*at) < 0x80;
    return {.end = at, .ascii = ascii};
}

void append_utf8(std::string& out, std::uint32_t code) {
    const auto push = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (code < 0x80) return push(code);
    if (code < 0x800) {
        push(0xc0U | (code >> 6U));
    } else {
        if (code < 0x10000) {
            push(0xe0U | (code >> 12U));
        } else {
            push(0xf0U | (code >> 18U));
            push(0x80U | ((code >> 12U) & 0x3fU));
        }
        push(0x80U | ((code >> 6U) & 0x3fU));
    }
    push(0x80U | (code & 0x3fU));
}

constexpr bool is_high_surrogate(std::uint32_t code) noexcept {
    return code >= 0xd800 && code <= 0xdbff;
}
constexpr bool is_low_surrogate(std::uint32_t code) noexcept {
    return code >= 0xdc00 && code <= 0xdfff;
}

}  // namespace

void ValueReader::skip_space() noexcept {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
}

Result<ValueKind> ValueReader::json_peek() {
    skip_space();
    if (left() == 0) return refuse("syntax", "a value is missing");
    switch (*at_) {
        case '{':
            return ValueKind::map;
        case '[':
            return ValueKind::array;
        case '"':
            return ValueKind::string;
        case 't':
        case 'f':
            return ValueKind::boolean;
        case 'n':
            return ValueKind::null;
        default:
            if (*at_ == '-' || is_digit(*at_)) return ValueKind::number;
            return refuse("syntax", "no value starts like this");
    }
}

Result<void> ValueReader::json_literal(std::string_view word) {
    if (!std::string_view{at_, left()}.starts_with(word))
        return refuse("syntax", "an unknown word");
    at_ += word.size();
    return {};
}

Result<std::string> ValueReader::json_string() {
    ++at_;
    std::string out;
    while (true) {
        const auto scanned = scan_plain(at_, end_);
        const std::string_view plain{at_, static_cast<std::size_t>(scanned.end - at_)};
        if (!scanned.ascii && !is_utf8(plain)) return refuse("utf8", "the string is not UTF-8");
        out.append(plain);
        at_ = scanned.end;
        if (left() == 0) return refuse("syntax", "the text ends inside a string");
        if (*at_ == '"') {
            ++at_;
            return out;
        }
        if (*at_ != '\\') return refuse("syntax", "a control character in a string");
        ++at_;
        if (auto good = json_escape(out); !good) return std::unexpected{good.error()};
    }
}

/// Finds the end of a string without looking at what its letters and escapes mean.
Result<void> ValueReader::json_skip_string() {
    ++at_;
    while (true) {
        at_ = scan_plain(at_, end_).end;
        if (left() == 0 || (*at_ == '\\' && left() == 1))
            return refuse("syntax", "the text ends inside a string");
        if (*at_ == '"') {
            ++at_;
            return {};
        }
        if (*at_ != '\\') return refuse("syntax", "a control character in a string");
        at_ += 2;
    }
}

Result<void> ValueReader::json_colon() {
    skip_space();
    if (left() == 0 || *at_ != ':') return refuse("syntax", "expected ':' after a key");
    ++at_;
    return {};
}

Result<void> ValueReader::json_escape(std::string& out) {
    if (left() == 0) return refuse("syntax", "the text ends inside a string");
    constexpr std::string_view letters = "\"\\/bfnrt";
    constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
    const char letter = *at_++;
    if (const auto index = letters.find(letter); index != std::string_view::npos) {
        out.push_back(meanings[index]);
        return {};
    }
    if (letter != 'u') return refuse("syntax", "an unknown escape in a string");
    auto code = json_hex4();
    if (!code) return std::unexpected{code.error()};
    if (is_low_surrogate(*code)) return refuse("utf8", "half a surrogate pair");
    if (is_high_surrogate(*code)) {
        if (!std::string_view{at_, left()}.starts_with("\\u"))
            return refuse("utf8", "half a surrogate pair");
        at_ += 2;
        const auto low = json_hex4();
        if (!low) return std::unexpected{low.error()};
        if (!is_low_surrogate(*low)) return refuse("utf8", "half a surrogate pair");
        code = 0x10000U + ((*code - 0xd800U) << 10U) + (*low - 0xdc00U);
    }
    append_utf8(out, *code);
    return {};
}

Result<std::uint32_t> ValueReader::json_hex4() {
    std::uint32_t code = 0;
    const auto* end = at_ + std::min<std::size_t>(left(), 4);
    const auto [stop, error] = std::from_chars(at_, end, code, 16);
    if (error != std::errc{} || stop != at_ + 4)
        return refuse("syntax", "\\u without four hex digits");
    at_ = stop;
    return code;
}

Result<Number> ValueReader::json_number() {
    const auto scanned = scan_number(at_, end_);
    if (scanned.end == nullptr) return refuse("syntax", "a malformed number");
    const std::string_view token{at_, static_cast<std::size_t>(scanned.end - at_)};
    auto value = scanned.integer ? json_integer(token) : json_floating(token);
    if (value) at_ = scanned.end;
    return value;
}

Result<Number> ValueReader::json_integer(std::string_view token) const {
    Number number;
    const auto* end = token.data() + token.size();
    const auto code = token.starts_with('-')
                          ? std::from_chars(token.data(), end, number.negative).ec
                          : std::from_chars(token.data(), end, number.unsigned_integer).ec;
    if (code != std::errc{}) return refuse("number", "an integer beyond 64 bits");
    if (number.negative < 0) number.kind = Number::Kind::negative;
    return number;
}

Result<Number> ValueReader::json_floating(std::string_view token) const {
    Number number{.kind = Number::Kind::floating};
    const auto code =
        std::from_chars(token.data(), token.data() + token.size(), number.floating).ec;
    if (code == std::errc::result_out_of_range && is_tiny(token)) {
        number.floating = token.starts_with('-') ? -0.0 : 0.0;
    } else if (code != std::errc{} || !std::isfinite(number.floating)) {
        return refuse("number", "a number beyond the range of a double");
    }
    return number;
}

}  // namespace stator::inline codec
