#include "stator/codec/payload.hpp"

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
    ValueWriter writer{codec, value.size() + head_size};
    writer.string(value);
    return writer.finish();
}

Result<std::string> Payload<std::string>::decode(const Bytes& bytes, PayloadCodec codec) {
    if (codec == PayloadCodec::raw) return bytes.to_string();
    return decode_value<std::string>(bytes, codec);
}

}  // namespace stator::inline codec
