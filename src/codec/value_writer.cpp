#include "stator/codec/value_writer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "stator/codec/limits.hpp"
#include "stator/codec/utf8.hpp"

namespace stator::inline codec {

namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

/// The letter after the backslash for what JSON gives a short escape; 0 for what is written as it
/// is or as \u.
constexpr char short_escape(char letter) noexcept {
    switch (letter) {
        case '"':
            return '"';
        case '\\':
            return '\\';
        case '\b':
            return 'b';
        case '\f':
            return 'f';
        case '\n':
            return 'n';
        case '\r':
            return 'r';
        case '\t':
            return 't';
        default:
            return 0;
    }
}

constexpr bool needs_escape(char letter) noexcept {
    return static_cast<unsigned char>(letter) < 0x20 || letter == '"' || letter == '\\';
}

}  // namespace

ValueWriter::ValueWriter(PayloadCodec codec, std::size_t expected)
    : codec_{codec}, buffer_{Buffer::allocate(std::max<std::size_t>(expected, 16))} {
    if (codec != PayloadCodec::msgpack && codec != PayloadCodec::json) {
        fail_with(Error{
            ErrorCode::invalid_request, "payload.codec", "raw payloads hold no values, only bytes"
        });
    }
}

ValueWriter::~ValueWriter() {
    if (buffer_ != nullptr) buffer_->release();
}

void ValueWriter::fail_with(Error error) {
    if (!error_) error_.emplace(std::move(error));
}

void ValueWriter::fail_structure(std::string_view what) {
    fail_with(Error{ErrorCode::invalid_request, "payload.structure", std::string{what}});
}

std::byte* ValueWriter::room(std::size_t size) {
    if (buffer_ == nullptr || buffer_->capacity() - size_ < size) {
        const auto have = buffer_ == nullptr ? 0 : buffer_->capacity();
        auto* larger = Buffer::allocate(std::max(2 * have, size_ + size));
        if (buffer_ != nullptr) {
            std::memcpy(larger->data(), buffer_->data(), size_);
            buffer_->release();
        }
        buffer_ = larger;
    }
    auto* place = buffer_->data() + size_;
    size_ += size;
    return place;
}

void ValueWriter::append(char letter) { *room(1) = static_cast<std::byte>(letter); }

void ValueWriter::append(std::string_view text) {
    if (!text.empty()) std::memcpy(room(text.size()), text.data(), text.size());
}

void ValueWriter::big_endian(unsigned char marker, std::uint64_t value, std::size_t size) {
    auto* place = room(1 + size);
    place[0] = static_cast<std::byte>(marker);
    for (std::size_t i = size; i > 0; --i) {
        place[i] = static_cast<std::byte>(value & 0xffU);
        value >>= 8U;
    }
}

void ValueWriter::length(
    std::size_t size,
    unsigned char fix,
    std::size_t fix_limit,
    unsigned char marker8,
    unsigned char marker16,
    unsigned char marker32
) {
    if (size < fix_limit) {
        append(static_cast<char>(fix | size));
    } else if (size <= 0xff && marker8 != 0) {
        big_endian(marker8, size, 1);
    } else if (size <= 0xffff) {
        big_endian(marker16, size, 2);
    } else if (size <= 0xffffffff) {
        big_endian(marker32, size, 4);
    } else {
        fail_structure("MessagePack holds no more than 2^32 - 1 items or bytes in one value");
    }
}

/// Accounts for one value where one may stand; false if nothing is to be written.
bool ValueWriter::before_value() {
    if (error_) return false;
    if (levels_.empty()) {
        if (done_) fail_structure("a second value after the first");
        done_ = true;
        return !error_;
    }
    auto& level = levels_.back();
    if (level.map ? !level.after_key : level.left == 0) {
        fail_structure(level.map ? "a value without a key" : "more items than were announced");
        return false;
    }
    if (!level.map) --level.left;
    level.after_key = false;
    if (json()) {
        if (comma_) append(',');
        comma_ = true;
    }
    return true;
}

void ValueWriter::null() {
    if (!before_value()) return;
    if (json()) return append("null");
    append(static_cast<char>(0xc0));
}

void ValueWriter::boolean(bool value) {
    if (!before_value()) return;
    if (json()) return append(value ? "true" : "false");
    append(static_cast<char>(value ? 0xc3 : 0xc2));
}

void ValueWriter::integer(std::int64_t value) {
    if (value >= 0) return unsigned_integer(static_cast<std::uint64_t>(value));
    if (!before_value()) return;
    if (json()) {
        const fmt::format_int digits{value};
        return append(std::string_view{digits.data(), digits.size()});
    }
    const auto bits = static_cast<std::uint64_t>(value);
    if (value >= -32) return append(static_cast<char>(value));
    if (value >= std::numeric_limits<std::int8_t>::min()) return big_endian(0xd0, bits, 1);
    if (value >= std::numeric_limits<std::int16_t>::min()) return big_endian(0xd1, bits, 2);
    if (value >= std::numeric_limits<std::int32_t>::min()) return big_endian(0xd2, bits, 4);
    big_endian(0xd3, bits, 8);
}

void ValueWriter::unsigned_integer(std::uint64_t value) {
    if (!before_value()) return;
    if (json()) {
        const fmt::format_int digits{value};
        return append(std::string_view{digits.data(), digits.size()});
    }
    if (value < 0x80) return append(static_cast<char>(value));
    if (value <= 0xff) return big_endian(0xcc, value, 1);
    if (value <= 0xffff) return big_endian(0xcd, value, 2);
    if (value <= 0xffffffff) return big_endian(0xce, value, 4);
    big_endian(0xcf, value, 8);
}

void ValueWriter::number(double value) {
    if (std::isnan(value) || (json() && std::isinf(value))) {
        const auto* what = std::isnan(value) ? "NaN is not encoded" : "JSON holds no infinity";
        return fail_with(Error{ErrorCode::invalid_request, "payload.number", what});
    }
    if (!before_value()) return;
    if (!json()) {
        std::uint64_t bits = 0;
        std::memcpy(&bits, &value, sizeof bits);
        return big_endian(0xcb, bits, 8);
    }
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    const std::string_view shortest{digits.data(), static_cast<std::size_t>(end - digits.data())};
    append(shortest);
    // Without this a reader would take it for an integer.
    if (shortest.find_first_of(".e") == std::string_view::npos) append(".0");
}

void ValueWriter::string(std::string_view value) {
    if (!before_value()) return;
    text(value);
}

void ValueWriter::text(std::string_view value) {
    if (!is_utf8(value)) {
        return fail_with(Error{ErrorCode::invalid_request, "payload.utf8", "a string is not UTF-8"}
        );
    }
    if (json()) return json_string(value);
    length(value.size(), 0xa0, 32, 0xd9, 0xda, 0xdb);
    append(value);
}

void ValueWriter::json_string(std::string_view value) {
    append('"');
    while (!value.empty()) {
        const auto* stop = std::find_if(value.begin(), value.end(), needs_escape);
        const auto plain = static_cast<std::size_t>(stop - value.begin());
        append(value.substr(0, plain));
        value.remove_prefix(plain);
        if (value.empty()) break;
        const char letter = value.front();
        append('\\');
        if (const char escape = short_escape(letter); escape != 0) {
            append(escape);
        } else {
            append("u00");
            append(hex_digits[static_cast<unsigned char>(letter) >> 4U]);
            append(hex_digits[static_cast<unsigned char>(letter) & 0xfU]);
        }
        value.remove_prefix(1);
    }
    append('"');
}

void ValueWriter::binary(std::span<const std::byte> value) {
    if (json()) {
        auto message = "JSON holds no bytes: use MessagePack, or a raw payload";
        return fail_with(Error{ErrorCode::invalid_request, "payload.binary", message});
    }
    if (!before_value()) return;
    length(value.size(), 0, 0, 0xc4, 0xc5, 0xc6);
    append(std::string_view{reinterpret_cast<const char*>(value.data()), value.size()});
}

void ValueWriter::begin(std::size_t items, bool map) {
    if (!before_value()) return;
    if (levels_.size() == max_document_depth) {
        auto message = fmt::format("nested deeper than {}", max_document_depth);
        return fail_with(Error{ErrorCode::invalid_request, "payload.depth", std::move(message)});
    }
    levels_.push_back({.left = items, .map = map, .after_key = false});
    comma_ = false;
    if (json()) return append(map ? '{' : '[');
    map ? length(items, 0x80, 16, 0, 0xde, 0xdf) : length(items, 0x90, 16, 0, 0xdc, 0xdd);
}

void ValueWriter::end(bool map) {
    if (error_) return;
    if (levels_.empty() || levels_.back().map != map)
        return fail_structure("an end without its beginning");
    if (levels_.back().left != 0 || levels_.back().after_key)
        return fail_structure("fewer items than were announced");
    levels_.pop_back();
    comma_ = true;
    if (json()) append(map ? '}' : ']');
}

void ValueWriter::begin_array(std::size_t items) { begin(items, false); }
void ValueWriter::end_array() { end(false); }
void ValueWriter::begin_map(std::size_t entries) { begin(entries, true); }
void ValueWriter::end_map() { end(true); }

void ValueWriter::key(std::string_view name) {
    if (error_) return;
    if (levels_.empty() || !levels_.back().map || levels_.back().after_key)
        return fail_structure("a key out of place");
    auto& level = levels_.back();
    if (level.left == 0) return fail_structure("more entries than were announced");
    --level.left;
    level.after_key = true;
    if (json() && comma_) append(',');
    text(name);
    if (json()) append(':');
    comma_ = false;
}

Result<Bytes> ValueWriter::finish() {
    if (!error_ && (!done_ || !levels_.empty())) fail_structure("the value is not complete");
    if (error_) return std::unexpected{*error_};
    done_ = false;
    return Bytes::adopt(std::exchange(buffer_, nullptr), std::exchange(size_, 0));
}

}  // namespace stator::inline codec
