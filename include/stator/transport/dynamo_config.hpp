// Settings of Dynamo's TCP planes. See docs/protocol/dynamo-tcp.md.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

#include "stator/base/clock.hpp"
#include "stator/transport/buffer_budget.hpp"

namespace stator::transport {

/// All sizes in bytes.
struct DynamoConfig {
    std::size_t max_request = std::size_t{32} << 20U;  ///< of a whole request frame
    std::size_t max_item = std::size_t{64} << 20U;     ///< of an item, either way
    /// What of a request's stream is kept for a handler that does not take it.
    std::size_t input_window = 256U << 10U;
    /// Of one connection: with so much that the client has not taken, the handler has to wait, or
    /// no further request is read.
    std::size_t most_unwritten = 256U << 10U;
    /// Answers that a loop has open at a time, those included whose end the client has not taken.
    std::size_t max_answers = 16'384;
    Duration connect_timeout = std::chrono::seconds{5};  ///< of a call home
    /// For the client to close after the end of an answer, and between two steps of reading it, or
    /// its acknowledgements when so many of them wait that no further request is read.
    Duration close_timeout = std::chrono::seconds{10};
    /// For the rest of a frame that has begun, unless it is coming in.
    Duration frame_timeout = std::chrono::seconds{30};
    /// Shared by all connections of a process; none: not accounted for.
    std::shared_ptr<BufferBudget> process{};
};

}  // namespace stator::transport
