// How a payload is written.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace stator::inline codec {

/// The encodings of requests and responses. The numbers are wire values: never renumber.
enum class PayloadCodec : std::uint8_t {
    msgpack = 1,  ///< MessagePack, the default
    json = 2,     ///< JSON text
    raw = 3,      ///< bytes that only the two ends understand
};

/// "msgpack", "json" or "raw", as in discovery records.
std::string_view to_string(PayloadCodec codec) noexcept;
/// The codec of that name; nothing for an unknown one.
std::optional<PayloadCodec> payload_codec_from_name(std::string_view name) noexcept;
/// The codec of that wire number; nothing for an unknown one.
std::optional<PayloadCodec> payload_codec_from_wire(std::uint8_t number) noexcept;

}  // namespace stator::inline codec
