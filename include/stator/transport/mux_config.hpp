// Settings of a multiplexed connection. See docs/protocol/mux.md, sections 5, 6 and 8.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"
#include "stator/transport/buffer_budget.hpp"

namespace stator::transport {

/// All sizes in bytes. The defaults are good for one connection between two processes.
struct MuxConfig {
    std::uint64_t epoch = 0;  ///< random per process, see os_random()

    // What we tell the peer.
    std::uint32_t max_frame = 1U << 20U;
    std::uint64_t max_message = 64U << 20U;
    std::uint32_t request_credit = 256U << 10U;  ///< of each new call, given by an acceptor
    std::uint32_t max_streams = 131'072;         ///< calls that an acceptor serves at a time
    std::uint32_t max_head = 16'384;

    // Memory for what was received and not taken yet.
    std::uint64_t window = 16U << 20U;         ///< C: the connection's normal window
    std::uint64_t memory_limit = 128U << 20U;  ///< M: what stalled streams may hold together
    std::uint64_t large_budget = 128U << 20U;  ///< A: what large messages may hold together
    std::uint32_t least_window = 16U << 10U;   ///< w_min, of a stream
    std::uint32_t most_window = 512U << 10U;   ///< w_max, of a stream
    /// Shared by the connections of a process, which then get smaller windows as it is used up;
    /// none: each connection has all of the above.
    std::shared_ptr<BufferBudget> process{};

    // Output.
    std::size_t output_limit = 512U << 10U;  ///< messages wait when that much is unwritten
    std::size_t fragment = 256U << 10U;      ///< largest piece of a message in one frame

    std::size_t receive_block = 128U << 10U;  ///< small frames are parsed in blocks of this size

    Duration handshake_timeout = std::chrono::seconds{5};
    Duration ping_after = std::chrono::seconds{1};
    Duration suspect_after = std::chrono::seconds{4};
    Duration lost_after = std::chrono::seconds{30};
    Duration write_stall = std::chrono::seconds{30};

    std::uint32_t first_stream = 1;  ///< odd; of a dialler

    /// Fails with invalid_request, detail "mux.bad_config", naming the field that is out of bounds.
    Result<void> check() const;
};

}  // namespace stator::transport
