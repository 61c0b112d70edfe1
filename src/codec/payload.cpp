#include "stator/codec/payload.hpp"

#include <cstring>
#include <optional>

#include "stator/codec/utf8.hpp"

namespace stator::inline codec {

namespace {

template <class T>
Result<T> decode_value(const Bytes& bytes, PayloadCodec codec) {
    ValueReader reader{bytes, codec};
    auto value = PayloadValue<T>::read(reader);
    if (!value) return value;
    if (auto complete = reader.finish(); !complete)
        return std::unexpected{std::move(complete).error()};
    return value;
}

// A head takes at most 5 bytes, so nothing grows and the text is copied once. (JSON may grow where
// it escapes.)
constexpr std::size_t head_size = 8;

// A string alone is what most answers of a text model are, and the reader's and the writer's state
// cost several times the copy. So the usual case is done here, and all else, errors among it,
// there.

constexpr std::size_t fixed_limit = 32;  // strings below it have a head of one byte
constexpr unsigned char fixed_marker = 0xa0;
constexpr unsigned char marker_of_8_bits = 0xd9;

/// One MessagePack string of up to 255 bytes; none if it is longer or not UTF-8.
std::optional<Bytes> short_string(std::string_view value) {
    if (value.size() > 0xff || !is_utf8(value)) return std::nullopt;
    const std::size_t head = value.size() < fixed_limit ? 1 : 2;
    auto* buffer = Buffer::allocate(head + value.size());
    auto* place = buffer->data();
    if (head == 1) {
        place[0] = static_cast<std::byte>(fixed_marker | value.size());
    } else {
        place[0] = std::byte{marker_of_8_bits};
        place[1] = static_cast<std::byte>(value.size());
    }
    if (!value.empty()) std::memcpy(place + head, value.data(), value.size());
    return Bytes::adopt(buffer, head + value.size());
}

/// What the bytes hold if that is one MessagePack string of up to 255 bytes and nothing else.
std::optional<std::string_view> as_short_string(std::string_view bytes) noexcept {
    if (bytes.empty()) return std::nullopt;
    const auto marker = static_cast<unsigned char>(bytes[0]);
    std::size_t head = 1;
    std::size_t size = marker & (fixed_limit - 1);
    if (marker == marker_of_8_bits && bytes.size() > 1) {
        head = 2;
        size = static_cast<unsigned char>(bytes[1]);
    } else if (marker - size != fixed_marker) {
        return std::nullopt;
    }
    const auto text = bytes.substr(head);
    if (text.size() != size || !is_utf8(text)) return std::nullopt;
    return text;
}

}  // namespace

Result<Bytes> Payload<Bytes>::encode(const Bytes& value, PayloadCodec codec) {
    if (codec == PayloadCodec::raw) return value;
    ValueWriter writer{codec, value.size() + head_size};
    writer.binary(value.span());
    return writer.finish();
}

Result<Bytes> Payload<Bytes>::decode(const Bytes& bytes, PayloadCodec codec) {
    if (codec == PayloadCodec::raw) return bytes;
    return decode_value<Bytes>(bytes, codec);
}

Result<Bytes> Payload<std::string_view>::encode(std::string_view value, PayloadCodec codec) {
    if (codec == PayloadCodec::raw) return Bytes::copy_of(value);
    if (codec == PayloadCodec::msgpack) {
        if (auto encoded = short_string(value)) return *std::move(encoded);
    }
    ValueWriter writer{codec, value.size() + head_size};
    writer.string(value);
    return writer.finish();
}

Result<std::string> Payload<std::string>::decode(const Bytes& bytes, PayloadCodec codec) {
    if (codec == PayloadCodec::raw) return bytes.to_string();
    if (codec == PayloadCodec::msgpack) {
        if (const auto text = as_short_string(bytes.view())) return std::string{*text};
    }
    return decode_value<std::string>(bytes, codec);
}

}  // namespace stator::inline codec
