// DistributedRuntime: a process's part in a cluster.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "stator/component/config.hpp"
#include "stator/component/control.hpp"
#include "stator/component/endpoint.hpp"
#include "stator/discovery/discovery.hpp"
#include "stator/events/event_bus.hpp"
#include "stator/nats/client.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/store/etcd_client.hpp"

namespace stator::transport {
class CallHomeServer;
}

namespace stator::inline component {

class ClusterState;

/// A cheap copy over shared state; thread-safe. Connects to discovery at once; listens when the
/// first endpoint is served, dials when the first request needs it. It ends with the runtime (or by
/// `close`).
class DistributedRuntime {
public:
    /// With the runtime's settings. Errors (thrown): the store's (a folder that cannot be written,
    /// ...). Cancel safety: throws `cancelled`; what was begun is undone.
    static Task<DistributedRuntime> connect(Runtime runtime);
    static Task<DistributedRuntime> connect(Runtime runtime, DistributedConfig config);
    /// For tools that look and call: as `connect`, without a lease.
    static Task<DistributedRuntime> for_cli(Runtime runtime, DistributedConfig config);

    const Runtime& runtime() const noexcept;
    const DistributedConfig& config() const noexcept;
    /// The instance id of this process's endpoints.
    InstanceId instance_id() const noexcept;

    /// Throws Error{invalid_request} for a bad name. Nested: `ns("a").ns("b")` is `ns("a.b")`.
    Namespace ns(std::string_view name) const;
    /// `endpoint("ns.component.endpoint")`. Throws Error{invalid_request} naming what is wrong.
    Endpoint endpoint(std::string_view path) const;
    Endpoint endpoint(EndpointId id) const;

    /// What is registered, anywhere in the cluster.
    discovery::Discovery& discovery() const noexcept;
    /// Metrics of the application's; they last as long as this process's part in the cluster.
    observe::MetricScope metrics() const;

    /// etcd itself, with that discovery backend. Throws Error{unimplemented}, detail
    /// "component.no_etcd", with another one.
    store::EtcdClient etcd_client() const;

    /// The connection to NATS, if a plane of this process uses it. Throws Error{unimplemented},
    /// detail "component.no_nats", otherwise.
    nats::Client nats_client() const;

    /// Where workers of the Dynamo plane call home to answer this process's calls: made once, by
    /// whoever asks first, or by the first such call; a start that failed may be tried again.
    /// Errors: as net::Listener::bind; `unavailable` after `close`. Cancel safety: throws
    /// `cancelled`.
    Task<std::shared_ptr<transport::CallHomeServer>> tcp_server() const;

    /// Publishing and subscribing: made once, by whoever asks first, on the lease of this process;
    /// a start that failed may be tried again. Errors: as events::EventBus::open and
    /// nats::Client::connect; `unavailable` after `close`. Cancel safety: throws `cancelled`.
    Task<std::shared_ptr<events::EventBus>> event_bus() const;

    /// Asks the process whose mux is there to drain or resume what it serves; its answer is that of
    /// `control`. Errors: as net::Security::dial; what it refuses with (check_control), or could
    /// not do. Cancel safety: throws `cancelled`; what has begun goes on.
    Task<std::string> control(discovery::MuxAddress where, ControlRequest request) const;

    /// Ends this process's part: unserves what is served, cuts connections, revokes the lease.
    /// Idempotent.
    Task<> close(Deadline deadline) const;

private:
    friend class Endpoint;
    DistributedRuntime(Runtime runtime, std::shared_ptr<ClusterState> state) noexcept
        : runtime_{std::move(runtime)}, state_{std::move(state)} {}
    Runtime runtime_;
    std::shared_ptr<ClusterState> state_;
};

}  // namespace stator::inline component
