// A barrier of a leader and its workers: nobody goes on before all are there.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "stator/base/deadline.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::store {

struct BarrierOptions {
    /// How long a member that is heard of no more counts as there; zero: the store's own.
    Duration ttl{};
    /// Until when all must have come.
    Deadline deadline{};
    /// How long the leader waits, once it is decided, until the workers have seen it.
    Duration linger = std::chrono::seconds{5};
};

/// Publishes `data`, waits until `workers` members have joined, tells them, and returns their ids
/// in the order in which they came. The name is free again when it returns.
///
/// Errors, of which the workers are told: deadline_exceeded "store.barrier_wait" saying how many
/// came; disconnected "store.barrier_member_gone" naming a worker that had joined and left or died.
/// Besides: already_exists "store.barrier_leader" (another leads it), unimplemented
/// "store.no_sessions" (file), invalid_request "store.name", unavailable "store.session_lost", the
/// store's. Cancel safety: throws `cancelled`; the workers are told that it is off. Whichever comes
/// when they have been told that they are all there, the ids are returned. An error of a leader
/// whose store answers no more says nothing of the workers.
Task<std::vector<std::string>> lead_barrier(
    std::shared_ptr<KeyValueStore> store,
    std::string name,
    std::uint32_t workers,
    std::string data,
    BarrierOptions options = {}
);

/// Joins as `worker` once there is a leader, and returns the leader's data when all have joined.
///
/// Errors: already_exists "store.barrier_worker" (that id has joined), already_exists
/// "store.barrier_completed" (as many as it takes had joined before), disconnected
/// "store.barrier_aborted" with the leader's reason, disconnected "store.barrier_leader_gone",
/// deadline_exceeded "store.barrier_wait", and those of `lead_barrier` from unimplemented on.
/// Cancel safety: throws `cancelled`; the worker has left, which ends the barrier for all.
Task<std::string> join_barrier(
    std::shared_ptr<KeyValueStore> store,
    std::string name,
    std::string worker,
    BarrierOptions options = {}
);

}  // namespace stator::store
