// Client: the instances of one endpoint, and the way to them.
#pragma once

#include <memory>

#include "stator/base/deadline.hpp"
#include "stator/base/names.hpp"
#include "stator/component/loads.hpp"
#include "stator/discovery/instance_set.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline component {

struct ClientState;
class RouteCore;

/// A cheap copyable handle; thread-safe. All clients of an endpoint in a process share one watch.
class Client {
public:
    const EndpointId& endpoint() const noexcept;
    /// What is known now: everything registered, and which of it may be given requests.
    std::shared_ptr<const discovery::InstanceSet> instances() const;
    /// Waits until at least one instance may be given requests. Errors: `unavailable`
    /// (component.no_instances) at the deadline, naming the endpoint and what was found instead.
    /// Cancel safety: throws `cancelled`.
    Task<std::shared_ptr<const discovery::InstanceSet>> wait_for_instances(Deadline deadline) const;
    /// What is known about the load of the instances, and a way to report more.
    Loads loads() const;

private:
    friend class Endpoint;
    friend class RouteCore;
    explicit Client(std::shared_ptr<ClientState> state) noexcept : state_{std::move(state)} {}
    std::shared_ptr<ClientState> state_;
};

}  // namespace stator::inline component
