// The head of a call on the multiplexed plane: what OPEN says about it. See docs/protocol/mux.md.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "stator/base/error.hpp"
#include "stator/transport/call_head.hpp"

namespace stator::transport {

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
Result<std::size_t> head_size(const CallHead& head, std::size_t limit);
/// Writes a head that head_size accepted; `to` has room for its size.
void encode_head(const CallHead& head, std::size_t size, std::byte* to) noexcept;
/// `from` is exactly the head. Empty on success, else what is wrong, for the message of
/// "mux.bad_head". Allocates nothing.
std::string_view decode_head(
    std::span<const std::byte> from, CallHead& head, HeaderScratch& scratch
) noexcept;

}  // namespace mux
}  // namespace stator::transport
