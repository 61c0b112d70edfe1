// EndpointWatch: the instances of one endpoint, kept up to date.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "stator/discovery/instance_set.hpp"
#include "stator/discovery/link_event.hpp"
#include "stator/discovery/snapshot.hpp"

namespace stator::discovery {

/// Tries to reach an instance: true when its connection stands. Called on the secondary loop,
/// bounded there; what it throws counts as false.
using Prober = std::function<Task<bool>(std::shared_ptr<const Instance>)>;

/// One per endpoint and process, shared by all its clients (Discovery::watch). Thread-safe. When
/// its last owner lets go, the watch ends.
class EndpointWatch {
public:
    class Core;  // shared with the tasks that keep it up to date
    explicit EndpointWatch(std::shared_ptr<Core> core) noexcept;
    EndpointWatch(const EndpointWatch&) = delete;
    EndpointWatch& operator=(const EndpointWatch&) = delete;
    ~EndpointWatch();

    const EndpointId& endpoint() const noexcept;

    /// The present set. A router that chooses for every request keeps a `reader` per loop instead.
    std::shared_ptr<const InstanceSet> instances() const;
    /// For one thread: reading what has not changed is one atomic load. Keep the watch alive.
    Snapshot<InstanceSet>::Reader reader() const;

    /// The set, once its version is above `seen` (InstanceSet::version).
    /// Errors: unavailable "discovery.closed". Cancel safety: throws `cancelled`.
    Task<std::shared_ptr<const InstanceSet>> wait_for_change(std::uint64_t seen) const;

    /// What the transport has learnt. In force, for every reader, when it returns.
    void report(InstanceId id, LinkEvent event) const;

private:
    friend class Discovery;
    std::shared_ptr<Core> core_;
};

}  // namespace stator::discovery
