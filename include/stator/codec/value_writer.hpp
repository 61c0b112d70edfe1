// Writes values as MessagePack or JSON, without a document in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/codec/payload_codec.hpp"

namespace stator::inline codec {

/// Builds one encoded value in one block of memory. The calls mirror the value: a scalar, or
/// begin_array, its items, end_array, or begin_map, (key, value)..., end_map. The first failure
/// sticks, later calls do nothing, and `finish` returns it; so writing code needs no checks of its
/// own.
///
/// Integers take their shortest MessagePack form, numbers always float64. Errors of `finish`, all
/// invalid_request: "payload.utf8" (a string is not UTF-8), "payload.number" (NaN; infinity in
/// JSON), "payload.binary" (JSON holds no bytes), "payload.depth" (deeper than max_document_depth),
/// "payload.codec" (raw holds no values), "payload.structure" (calls that make no value: a defect
/// of the caller).
///
/// Owned by one caller on one thread. Never blocks.
class ValueWriter {
public:
    /// `expected` is a guess of the encoded size; a good one saves growing.
    explicit ValueWriter(PayloadCodec codec, std::size_t expected = 128);
    ~ValueWriter();
    ValueWriter(const ValueWriter&) = delete;
    ValueWriter& operator=(const ValueWriter&) = delete;

    void null();
    void boolean(bool value);
    void integer(std::int64_t value);
    void unsigned_integer(std::uint64_t value);
    void number(double value);
    void string(std::string_view value);
    void binary(std::span<const std::byte> value);

    void begin_array(std::size_t items);
    void end_array();
    void begin_map(std::size_t entries);
    void key(std::string_view name);
    void end_map();

    /// Makes `finish` return `error`, unless something failed before.
    void fail_with(Error error);
    bool failed() const noexcept { return error_.has_value(); }
    PayloadCodec codec() const noexcept { return codec_; }

    /// The encoded value. The writer is empty afterwards.
    Result<Bytes> finish();

private:
    struct Level {
        std::size_t left;  // items, or entries of a map, that are still to come
        bool map;
        bool after_key;
    };

    bool json() const noexcept { return codec_ == PayloadCodec::json; }
    bool before_value();
    void fail_structure(std::string_view what);
    void begin(std::size_t items, bool map);
    void end(bool map);

    std::byte* room(std::size_t size);
    void append(char letter);
    void append(std::string_view text);
    void big_endian(unsigned char marker, std::uint64_t value, std::size_t size);
    void length(
        std::size_t size,
        unsigned char fix,
        std::size_t fix_limit,
        unsigned char marker8,
        unsigned char marker16,
        unsigned char marker32
    );
    void json_string(std::string_view value);
    void text(std::string_view value);

    PayloadCodec codec_;
    Buffer* buffer_;
    std::size_t size_ = 0;
    bool done_ = false;
    bool comma_ = false;
    std::vector<Level> levels_;
    std::optional<Error> error_;
};

}  // namespace stator::inline codec
