// What every request plane says about a call when it begins.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "stator/base/instance_id.hpp"
#include "stator/base/request_id.hpp"
#include "stator/transport/call_shape.hpp"

namespace stator::transport {

/// A free header: a key of 1 to 256 visible ASCII characters, a value of any bytes.
struct HeaderField {
    std::string_view key;
    std::string_view value;
    friend bool operator==(const HeaderField&, const HeaderField&) = default;
};

/// W3C trace context in binary.
struct TraceContext {
    std::array<std::byte, 16> trace_id{};
    std::array<std::byte, 8> span_id{};
    std::uint8_t flags = 0;
    std::string_view state;  ///< at most 512 visible ASCII characters or spaces
    friend bool operator==(const TraceContext&, const TraceContext&) = default;
};

/// A view: decoded, it points into the receive buffer and lives as long as the callback that got
/// it; to be encoded, it points to what the caller holds.
struct CallHead {
    std::string_view path;  ///< "namespace/component/endpoint"
    InstanceId instance;    ///< none: any instance of the endpoint
    RequestId request;
    std::chrono::microseconds remaining{0};  ///< until the deadline; 0: no deadline
    CallShape shape = CallShape::unary;
    std::uint8_t codec = 0;             ///< wire number of the payload codec
    std::uint32_t response_credit = 0;  ///< set by a multiplexed session, for its own use
    std::optional<TraceContext> trace;
    std::span<const HeaderField> headers;
};

}  // namespace stator::transport
