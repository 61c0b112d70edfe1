// CallShape: how many messages a call has in each direction.
#pragma once

#include <cstdint>
#include <string_view>

namespace stator::transport {

/// How many messages go each way. The numbers are wire values.
enum class CallShape : std::uint8_t {
    unary = 0,             ///< one, one
    server_streaming = 1,  ///< one, any number
    client_streaming = 2,  ///< any number, one
    bidirectional = 3,     ///< any number, any number
};

/// Whether the caller sends exactly one message.
constexpr bool one_request(CallShape shape) noexcept { return static_cast<unsigned>(shape) < 2; }
/// Whether the worker answers with exactly one message.
constexpr bool one_response(CallShape shape) noexcept {
    return (static_cast<unsigned>(shape) & 1U) == 0;
}

/// For people: "server streaming".
constexpr std::string_view to_string(CallShape shape) noexcept {
    switch (shape) {
        case CallShape::unary:
            return "unary";
        case CallShape::server_streaming:
            return "server streaming";
        case CallShape::client_streaming:
            return "client streaming";
        case CallShape::bidirectional:
            return "bidirectional";
    }
    return "unknown";
}

}  // namespace stator::transport
