// Sizes and numbers of Dynamo's TCP planes. See docs/protocol/dynamo-tcp.md.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace stator::transport::dynamo {

inline constexpr std::size_t max_path_size = 1024;
inline constexpr std::size_t max_headers_size = 65535;
/// Of a whole request frame; the original's default on both sides.
inline constexpr std::size_t default_max_request = std::size_t{32} << 20U;
/// Of one body on the response plane, which the original does not bound.
inline constexpr std::size_t default_max_item = std::size_t{64} << 20U;
/// Of a header part on the response plane: handshake, prologue (with its error object), words.
inline constexpr std::size_t default_max_header = std::size_t{64} << 10U;
/// Of the control header; the original sends no longer one.
inline constexpr std::size_t max_control_size = std::size_t{128} << 10U;
inline constexpr std::size_t max_ack_size = 8192;
/// Lengths and checksum in front of a two-part message.
inline constexpr std::size_t message_prelude = 24;

/// Big-endian, as everything on these planes.
template <class T>
inline T load(const std::byte* from) noexcept {
    T value;
    std::memcpy(&value, from, sizeof(T));
    if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
    return value;
}

template <class T>
inline void store(std::byte* to, T value) noexcept {
    if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
    std::memcpy(to, &value, sizeof(T));
}

}  // namespace stator::transport::dynamo
