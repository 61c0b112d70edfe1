// The head of a call on the multiplexed plane: what OPEN says about it. See docs/protocol/mux.md.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "stator/base/error.hpp"
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
struct OpenHead {
    std::string_view path;  ///< "namespace/component/endpoint"
    InstanceId instance;    ///< none: any instance of the endpoint
    RequestId request;
    std::chrono::microseconds remaining{0};  ///< until the deadline; 0: no deadline
    CallShape shape = CallShape::unary;
    std::uint8_t codec = 0;             ///< wire number of the payload codec
    std::uint32_t response_credit = 0;  ///< set by the session
    std::optional<TraceContext> trace;
    std::span<const HeaderField> headers;
};

namespace mux {

inline constexpr std::size_t head_fixed_size = 48;
inline constexpr std::size_t max_path_size = 1024;
inline constexpr std::size_t max_headers = 64;
inline constexpr std::size_t max_header_key_size = 256;
inline constexpr std::size_t max_trace_state_size = 512;
inline constexpr std::size_t max_head_size = 65535;

/// Where decode_head puts the headers that it finds.
using HeaderScratch = std::array<HeaderField, max_headers>;

/// Bytes that the head takes, or invalid_request / payload_too_large with detail "mux.bad_head" /
/// "mux.head_too_large" if it cannot be sent to a peer with that limit.
Result<std::size_t> head_size(const OpenHead& head, std::size_t limit);
/// Writes a head that head_size accepted; `to` has room for its size.
void encode_head(const OpenHead& head, std::size_t size, std::byte* to) noexcept;
/// `from` is exactly the head. Empty on success, else what is wrong, for the message of
/// "mux.bad_head". Allocates nothing.
std::string_view decode_head(
    std::span<const std::byte> from, OpenHead& head, HeaderScratch& scratch
) noexcept;

}  // namespace mux
}  // namespace stator::transport
