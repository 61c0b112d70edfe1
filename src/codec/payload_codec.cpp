#include "stator/codec/payload_codec.hpp"

namespace stator::inline codec {

std::string_view to_string(PayloadCodec codec) noexcept {
    switch (codec) {
        case PayloadCodec::msgpack:
            return "msgpack";
        case PayloadCodec::json:
            return "json";
        case PayloadCodec::raw:
            return "raw";
    }
    return "unknown";
}

std::optional<PayloadCodec> payload_codec_from_name(std::string_view name) noexcept {
    for (const auto codec : {PayloadCodec::msgpack, PayloadCodec::json, PayloadCodec::raw}) {
        if (to_string(codec) == name) return codec;
    }
    return std::nullopt;
}

std::optional<PayloadCodec> payload_codec_from_wire(std::uint8_t number) noexcept {
    if (number < 1 || number > 3) return std::nullopt;
    return static_cast<PayloadCodec>(number);
}

}  // namespace stator::inline codec
