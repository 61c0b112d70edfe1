// The frame layer of the multiplexed plane: preface, headers, limits. See docs/protocol/mux.md.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "stator/base/error.hpp"

namespace stator::transport {

/// Which protocol a connection to the shared port speaks, as far as its first bytes tell.
enum class Protocol : std::uint8_t {
    need_more,  ///< Fewer than two bytes are there.
    mux,
    tls,
    dynamo,
};

/// Decides by the first two bytes; never reads more.
Protocol sniff(std::span<const std::byte> first_bytes) noexcept;

namespace mux {

inline constexpr std::uint16_t lowest_version = 1;
inline constexpr std::uint16_t highest_version = 1;

inline constexpr std::size_t preface_size = 16;
inline constexpr std::size_t frame_header_size = 12;
inline constexpr std::size_t size_announcement = 8;
/// Charged to the credit for each message besides its bytes.
inline constexpr std::uint32_t message_overhead = 32;
inline constexpr std::uint32_t least_stream_credit = 8192;
inline constexpr std::uint32_t least_fragment = 4096;
inline constexpr std::uint32_t max_frame_before_hello = 4096;
inline constexpr std::int64_t max_balance = std::int64_t{1} << 40;

enum class FrameType : std::uint8_t {
    hello = 0x01,
    open = 0x02,
    accept = 0x03,
    data = 0x04,
    end = 0x05,
    error = 0x06,
    stop = 0x07,
    kill = 0x08,
    reset = 0x09,
    credit = 0x0A,
    ping = 0x0B,
    pong = 0x0C,
    drain = 0x0D,
    goodbye = 0x0E,
};

/// Types from here on are skipped by who does not know them.
inline constexpr std::uint8_t first_extension_type = 0x80;

inline constexpr std::uint8_t flag_end = 0x01;
inline constexpr std::uint8_t flag_more = 0x02;
inline constexpr std::uint8_t flag_message = 0x04;
inline constexpr std::uint8_t flag_refused = 0x08;

template <class T>
inline T load(const std::byte* from) noexcept {
    T value;
    std::memcpy(&value, from, sizeof(T));
    if constexpr (std::endian::native == std::endian::big) value = std::byteswap(value);
    return value;
}

template <class T>
inline void store(std::byte* to, T value) noexcept {
    if constexpr (std::endian::native == std::endian::big) value = std::byteswap(value);
    std::memcpy(to, &value, sizeof(T));
}

/// A frame header as it is on the wire, unchecked.
struct FrameHeader {
    std::uint32_t length = 0;
    std::uint8_t type = 0;
    std::uint8_t flags = 0;
    std::uint16_t reserved = 0;
    std::uint32_t stream = 0;

    /// `from` has at least frame_header_size bytes.
    static FrameHeader decode(const std::byte* from) noexcept {
        return {
            load<std::uint32_t>(from),
            load<std::uint8_t>(from + 4),
            load<std::uint8_t>(from + 5),
            load<std::uint16_t>(from + 6),
            load<std::uint32_t>(from + 8)
        };
    }
    /// `to` has room for frame_header_size bytes.
    void encode(std::byte* to) const noexcept {
        store(to, length);
        store(to + 4, type);
        store(to + 5, flags);
        store(to + 6, reserved);
        store(to + 8, stream);
    }
    friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

/// The versions that a dialler offers.
struct Preface {
    std::uint16_t lowest = lowest_version;
    std::uint16_t highest = highest_version;

    std::array<std::byte, preface_size> encode() const noexcept;
    /// Fails with protocol, detail "mux.bad_preface".
    static Result<Preface> decode(std::span<const std::byte, preface_size> from);
    friend bool operator==(const Preface&, const Preface&) = default;
};

/// The highest version in both ranges, or unimplemented, detail "mux.no_common_version".
Result<std::uint16_t> choose_version(const Preface& dialler, const Preface& acceptor);

/// Whether the header by itself (reserved field, type, flags, stream id, length of frames whose
/// size is fixed) is one that a peer may send: empty, or the detail key of the connection error.
std::string_view check_frame_header(const FrameHeader& header) noexcept;

}  // namespace mux
}  // namespace stator::transport
