// The half of ValueReader that knows MessagePack.
#include <bit>
#include <utility>

#include "stator/codec/utf8.hpp"
#include "stator/codec/value_reader.hpp"

namespace stator::inline codec {

namespace {

constexpr unsigned char byte_at(const char* at) noexcept { return static_cast<unsigned char>(*at); }

/// What the markers 0xc0 to 0xdf introduce; extension types and the unused 0xc1 are left out.
constexpr bool is_extension(unsigned char marker) noexcept {
    return (marker >= 0xc7 && marker <= 0xc9) || (marker >= 0xd4 && marker <= 0xd8);
}

constexpr ValueKind kind_of(unsigned char marker) noexcept {
    if (marker < 0x80 || marker >= 0xe0) return ValueKind::number;
    if (marker < 0x90) return ValueKind::map;
    if (marker < 0xa0) return ValueKind::array;
    if (marker < 0xc0) return ValueKind::string;
    if (marker == 0xc0) return ValueKind::null;
    if (marker <= 0xc3) return ValueKind::boolean;
    if (marker <= 0xc6) return ValueKind::binary;
    if (marker <= 0xd3) return ValueKind::number;
    if (marker <= 0xdb) return ValueKind::string;
    return marker <= 0xdd ? ValueKind::array : ValueKind::map;
}

}  // namespace

Result<ValueKind> ValueReader::msgpack_peek() {
    if (left() == 0) return refuse("syntax", "a value is missing");
    const auto marker = byte_at(at_);
    if (is_extension(marker)) return refuse("extension", "extension types are not accepted");
    if (marker == 0xc1) return refuse("syntax", "the unused marker c1");
    return kind_of(marker);
}

Result<std::uint64_t> ValueReader::msgpack_uint(std::size_t size) {
    if (left() < size) return refuse("syntax", "the bytes end inside a value");
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value = (value << 8U) | byte_at(at_ + i);
    at_ += size;
    return value;
}

/// Reads the head of a string, bytes, an array or a map, and refuses lengths that the remaining
/// bytes cannot hold.
Result<std::uint64_t> ValueReader::msgpack_length(ValueKind kind) {
    const auto marker = byte_at(at_++);
    Result<std::uint64_t> length = 0;
    if (marker < 0xa0) {
        length = marker & 0x0fU;
    } else if (marker < 0xc0) {
        length = marker & 0x1fU;
    } else if (marker >= 0xdc) {
        length = msgpack_uint(marker % 2 == 0 ? 2 : 4);
    } else {
        const auto first = kind == ValueKind::binary ? 0xc4 : 0xd9;
        length = msgpack_uint(std::size_t{1} << static_cast<unsigned>(marker - first));
    }
    if (!length) return length;
    const std::uint64_t smallest = kind == ValueKind::map ? 2 : 1;  // bytes per entry, at least
    if (*length > left() / smallest) {
        return refuse("syntax", "a length beyond the end of the bytes");
    }
    return length;
}

Result<Number> ValueReader::msgpack_number() {
    const auto marker = byte_at(at_++);
    Number number;
    if (marker < 0x80) {
        number.unsigned_integer = marker;
        return number;
    }
    if (marker >= 0xe0) {
        number.kind = Number::Kind::negative;
        number.negative = static_cast<std::int8_t>(marker);
        return number;
    }
    // ca cb float 32 64, cc-cf unsigned 8-64, d0-d3 signed 8-64
    const bool floating = marker <= 0xcb;
    const auto size = std::size_t{1} << (floating ? marker - 0xcaU + 2U : marker & 3U);
    const auto raw = msgpack_uint(size);
    if (!raw) return std::unexpected{raw.error()};
    if (floating) {
        number.kind = Number::Kind::floating;
        number.floating = size == 4 ? double{std::bit_cast<float>(static_cast<std::uint32_t>(*raw))}
                                    : std::bit_cast<double>(*raw);
    } else if (marker <= 0xcf) {
        number.unsigned_integer = *raw;
    } else {
        const auto unused = 64U - 8U * static_cast<unsigned>(size);
        const auto value = static_cast<std::int64_t>(*raw << unused) >> unused;
        if (value < 0) {
            number.kind = Number::Kind::negative;
            number.negative = value;
        } else {
            number.unsigned_integer = static_cast<std::uint64_t>(value);
        }
    }
    return number;
}

Result<std::string> ValueReader::msgpack_string() {
    const auto size = msgpack_length(ValueKind::string);
    if (!size) return std::unexpected{size.error()};
    const std::string_view text{at_, static_cast<std::size_t>(*size)};
    if (!is_utf8(text)) return refuse("utf8", "the string is not UTF-8");
    at_ += *size;
    return std::string{text};
}

}  // namespace stator::inline codec
