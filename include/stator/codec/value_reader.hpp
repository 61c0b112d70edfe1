// Reads values from MessagePack or JSON, without a document in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/codec/limits.hpp"
#include "stator/codec/payload_codec.hpp"

namespace stator::inline codec {

enum class ValueKind : std::uint8_t { null, boolean, number, string, binary, array, map };

/// "a string", "an array", ...
std::string_view to_string(ValueKind kind) noexcept;

/// A number as it was written: integers of 64 bits keep their value, everything else is a double.
struct Number {
    enum class Kind : std::uint8_t { negative, unsigned_integer, floating };
    Kind kind = Kind::unsigned_integer;
    std::int64_t negative = 0;  ///< of kind negative: below zero
    std::uint64_t unsigned_integer = 0;
    double floating = 0.0;
};

/// Reads one encoded value from foreign bytes, call by call, and trusts none of them: the calls say
/// what is expected.
///
/// Errors name what is wrong and at which byte; the detail starts with the codec's name:
/// invalid_request "json.syntax" (malformed or cut short, or something follows the value),
/// ".depth", ".number" (beyond 64 bits, or beyond a double), ".utf8", ".values" (more than
/// DecodeLimits allow), ".type" (another kind was expected),
/// ".range" (does not fit the integer type asked for), ".extension" (MessagePack extension types),
/// ".key" (a map key that is no string), and payload_too_large ".size". For codec raw the first
/// call fails with "payload.codec". After an error the reader is of no further use.
///
/// Owned by one caller on one thread. Shares the memory of `source`, which `binary` hands on
/// without a copy.
class ValueReader {
public:
    ValueReader(Bytes source, PayloadCodec codec, DecodeLimits limits = {});

    /// The kind of the next value, which stays unread.
    Result<ValueKind> peek();

    Result<void> null();
    Result<bool> boolean();
    Result<Number> any_number();
    Result<std::int64_t> integer();
    Result<std::uint64_t> unsigned_integer();
    /// Integers are accepted and rounded to the nearest double.
    Result<double> number();
    Result<std::string> string();
    Result<Bytes> binary();

    /// Enters an array; returns how many items may be reserved for at once (a hint, never large).
    Result<std::size_t> begin_array();
    /// True: an item follows. False: the array ended and is left.
    Result<bool> next_item();
    Result<void> begin_map();
    /// The key whose value follows; nothing: the map ended and is left.
    Result<std::optional<std::string>> next_key();

    /// Reads past the next value, whatever it is. Its structure is checked, its strings are not
    /// (they may hold bad UTF-8 or escapes), and it may be as deep as a value of its own.
    Result<void> skip();
    /// The encoded bytes of the next value, read past as by `skip`: a slice of the source.
    Result<Bytes> raw();

    /// Fails unless everything was read.
    Result<void> finish();

    /// An error at the current position, detail "<codec>.<key>".
    Error error(std::string_view key, std::string_view message) const;

private:
    struct Level {
        std::uint64_t left;  // MessagePack: items or entries that are still to come
        bool first;          // JSON: no separator is due
        bool map;
    };

    bool json() const noexcept { return codec_ == PayloadCodec::json; }
    std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
    std::size_t position() const noexcept;
    std::unexpected<Error> refuse(std::string_view key, std::string_view message) const;
    std::unexpected<Error> unexpected_kind(std::string_view expected, ValueKind found) const;
    Result<void> expect(ValueKind kind);
    Result<void> enter(std::uint64_t items, bool map);
    Result<bool> next_entry(char close);
    Result<void> expect_key();
    Result<void> skip_above(std::size_t depth);
    Result<void> skip_scalar(ValueKind kind);
    Result<void> skip_into();
    Result<bool> skip_to_value(std::size_t depth);

    void skip_space() noexcept;
    Result<ValueKind> json_peek();
    Result<void> json_literal(std::string_view word);
    Result<std::string> json_string();
    Result<void> json_skip_string();
    Result<void> json_colon();
    Result<void> json_escape(std::string& out);
    Result<std::uint32_t> json_hex4();
    Result<Number> json_number();
    Result<Number> json_integer(std::string_view token) const;
    Result<Number> json_floating(std::string_view token) const;

    Result<ValueKind> msgpack_peek();
    Result<std::uint64_t> msgpack_uint(std::size_t size);
    Result<std::uint64_t> msgpack_length(ValueKind kind);
    Result<Number> msgpack_number();
    Result<std::string> msgpack_string();

    Bytes source_;
    const char* at_;
    const char* end_;
    PayloadCodec codec_;
    DecodeLimits limits_;
    std::size_t values_ = 0;
    std::vector<Level> levels_;
    std::optional<Error> refused_;
};

}  // namespace stator::inline codec
