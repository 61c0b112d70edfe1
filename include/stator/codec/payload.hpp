// How a C++ type becomes the bytes of a request or a response.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/codec/payload_codec.hpp"
#include "stator/codec/payload_containers.hpp"
#include "stator/codec/payload_value.hpp"
#include "stator/codec/value_reader.hpp"
#include "stator/codec/value_writer.hpp"

namespace stator::inline codec {

/// The customisation point: how requests and responses of type T are encoded and decoded.
///
/// Covered here: what PayloadValue covers (strings, booleans, numbers, Bytes, vector, optional,
/// map), and Raw. User types join by specialising PayloadValue (then they also work inside
/// containers), by specialising Payload, or, if nlohmann knows them, by including
/// "stator/codec/payload_json.hpp".
///
/// `encode` fails with the errors of ValueWriter, `decode` with those of ValueReader and, for types
/// that have no raw form, invalid_request "payload.codec". Neither blocks nor keeps a reference to
/// its argument, but decoded Bytes share the memory of what they came from.
template <class T>
struct Payload {
    static Result<Bytes> encode(const T& value, PayloadCodec codec)
        requires WritableValue<T>
    {
        ValueWriter writer{codec};
        PayloadValue<T>::write(writer, value);
        return writer.finish();
    }

    static Result<T> decode(const Bytes& bytes, PayloadCodec codec)
        requires ReadableValue<T>
    {
        ValueReader reader{bytes, codec};
        auto value = PayloadValue<T>::read(reader);
        if (!value) return value;
        if (auto complete = reader.finish(); !complete)
            return std::unexpected{std::move(complete).error()};
        return value;
    }
};

template <class T>
concept Encodable = requires(const T& value, PayloadCodec codec) {
    { Payload<T>::encode(value, codec) } -> std::same_as<Result<Bytes>>;
};

template <class T>
concept Decodable = requires(const Bytes& bytes, PayloadCodec codec) {
    { Payload<T>::decode(bytes, codec) } -> std::same_as<Result<T>>;
};

/// Bytes that are handed through as they are, whatever codec was agreed: neither encoded nor
/// copied. For those who bring their own encoding.
struct Raw {
    Bytes bytes;
    friend bool operator==(const Raw&, const Raw&) noexcept = default;
};

template <>
struct Payload<Raw> {
    static Result<Bytes> encode(Raw value, PayloadCodec) noexcept { return std::move(value.bytes); }
    static Result<Raw> decode(const Bytes& bytes, PayloadCodec) noexcept { return Raw{bytes}; }
};

/// With codec raw the bytes themselves, not copied; in MessagePack a bin value, whose decoding
/// shares; JSON has none.
template <>
struct Payload<Bytes> {
    static Result<Bytes> encode(const Bytes& value, PayloadCodec codec);
    static Result<Bytes> decode(const Bytes& bytes, PayloadCodec codec);
};

/// With codec raw the letters themselves. A MessagePack string is one allocation: its head and one
/// copy.
template <>
struct Payload<std::string_view> {
    static Result<Bytes> encode(std::string_view value, PayloadCodec codec);
};

template <>
struct Payload<std::string> {
    static Result<Bytes> encode(std::string_view value, PayloadCodec codec) {
        return Payload<std::string_view>::encode(value, codec);
    }
    static Result<std::string> decode(const Bytes& bytes, PayloadCodec codec);
};

}  // namespace stator::inline codec
