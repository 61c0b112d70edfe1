// HELLO: what each side of a multiplexed connection tells the other at its start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "stator/base/error.hpp"

namespace stator::transport::mux {

/// Limits of whoever sends it; the initial values are what a peer that says nothing has.
struct Hello {
    std::uint16_t version = 1;
    std::uint64_t epoch = 0;  ///< random per process: another one means the process was replaced
    std::uint32_t max_frame = 65536;
    std::uint64_t max_message = 1U << 20U;
    std::uint32_t stream_credit = 65536;
    std::uint64_t connection_credit = 1U << 20U;
    std::uint32_t max_streams = 1024;
    std::uint32_t max_head = 8192;

    /// The payload of a HELLO frame. A dialler leaves out what only an acceptor grants.
    std::vector<std::byte> encode(bool dialler) const;
    /// Fails with protocol, detail "mux.bad_hello".
    static Result<Hello> decode(std::span<const std::byte> payload);
    friend bool operator==(const Hello&, const Hello&) = default;
};

}  // namespace stator::transport::mux
