// How calls over Dynamo's TCP planes are made: time-outs and sizes.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

#include "stator/base/clock.hpp"
#include "stator/transport/buffer_budget.hpp"

namespace stator::transport {

/// How calls of Dynamo's TCP planes are made.
struct DynamoCallConfig {
    Duration ack_timeout = std::chrono::seconds{5};  ///< as the original's DYN_TCP_REQUEST_TIMEOUT
    /// From the acknowledgement until the worker calls home: a worker acknowledges what it queues,
    /// and calls home when it begins.
    Duration home_timeout = std::chrono::seconds{60};
    Duration prologue_timeout = std::chrono::seconds{60};  ///< from there until the answer begins
    std::size_t max_request = std::size_t{32} << 20U;      ///< a whole request frame
    std::size_t max_item = std::size_t{64} << 20U;         ///< one item of an answer
    /// Of one answer: with so much that nobody has taken yet, its connection is read no further.
    std::size_t most_untaken = std::size_t{256} << 10U;
    /// Of one connection: with so much that has not left yet, no further call is opened on it.
    std::size_t most_unsent = std::size_t{16} << 20U;
    /// Shared by all connections of a process; none: not accounted for.
    std::shared_ptr<BufferBudget> process{};
};

}  // namespace stator::transport
