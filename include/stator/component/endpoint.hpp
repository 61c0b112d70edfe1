// Namespace, component, endpoint: the names under which things are served and found.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "stator/base/clock.hpp"
#include "stator/base/instance_id.hpp"
#include "stator/base/names.hpp"
#include "stator/codec/json.hpp"
#include "stator/component/client.hpp"
#include "stator/component/handler.hpp"
#include "stator/observe/health.hpp"
#include "stator/observe/metric_scope.hpp"

namespace stator::discovery {
class Discovery;
}

namespace stator::inline component {

class ClusterState;
class Component;
class Endpoint;

/// What waits when `max_inflight` requests run. First come, first served.
struct QueueOptions {
    std::uint32_t length = 0;  ///< requests that may wait; 0: none does, they are refused
    /// How long one may wait; its own deadline may be earlier.
    Duration max_wait = std::chrono::seconds{1};
    /// When the queue has not been empty for `interval`, requests that have waited for longer than
    /// this are refused: the others are served in time. Zero: never.
    Duration target = std::chrono::milliseconds{50};
    Duration interval = std::chrono::milliseconds{200};
};

/// What the application tells of an endpoint that it serves: any JSON (include
/// <nlohmann/json.hpp>).
using StatsHandler = std::function<Document()>;

struct ServeOptions {
    std::uint32_t max_inflight =
        0;  ///< requests at a time, more are refused `overloaded`; 0: no limit of its own
    QueueOptions queue{};
    InstanceId instance_id{};  ///< none: the process's
    /// What foreign clients are told to encode requests in; ours choose by themselves.
    PayloadCodec codec = PayloadCodec::msgpack;
    /// The card of a model that is served here, a JSON object: published beside the instance.
    /// Empty: none. `llm::serve_model` fills it.
    std::string model_card{};
    /// A request, as JSON, that probes the endpoint when it is idle (setting `health.canaries`):
    /// its whole answer must come, and without an error. Empty: not probed. docs/health.md.
    std::string health_check{};
    /// Where requests come by NATS: called each time that somebody asks there how the endpoint
    /// does, `data` of the answer is what it returns. On a thread of the runtime's pool for calls
    /// that block, one call at a time. When it throws, or takes longer than 200 ms, `data` is
    /// {"error": why} instead. Not called any more once the endpoint has ended; a call that runs
    /// then is waited for, 2 s at most.
    StatsHandler stats{};
    /// False: its requests are killed when it is to end, instead of being waited for.
    bool graceful_shutdown = true;
};

/// A served endpoint. Thread-safe handle. Dropping it does not end the serving: `shutdown` does, or
/// the distributed runtime's end.
class ServedEndpoint {
public:
    InstanceId instance_id() const noexcept;
    std::size_t inflight() const noexcept;
    /// How it stands, as /health shows it.
    observe::InstanceHealth health() const;
    /// Takes the record back, lets late requests in for the settle time, refuses new ones with
    /// `draining`, waits for the others; at 0.8 of the time left they are asked to stop, at 0.9
    /// killed. Returns when none is left. Idempotent; never throws. Cancel safety: not interrupted;
    /// bounded by `deadline`.
    Task<> shutdown(Deadline deadline) const;
    /// Waits until its task is cancelled, then shuts down within the process's grace. Cancel
    /// safety: being cancelled is how it ends; it returns normally.
    Task<> run() const;

    class Running;  // for component itself

private:
    friend class Endpoint;
    explicit ServedEndpoint(std::shared_ptr<Running> running) noexcept
        : running_{std::move(running)} {}
    std::shared_ptr<Running> running_;
};

/// A cheap copyable value; thread-safe.
class Endpoint {
public:
    const EndpointId& id() const noexcept { return id_; }

    /// Serves `handler` (see make_handler) until the task is cancelled (a worker cancels its
    /// application when it is asked to end); then drains and returns. Returns when drained and
    /// unpublished. Errors (thrown, before anything is served): `already_exists` (port in use, or
    /// served here already), the store's. Cancel safety: being cancelled is how it ends; it returns
    /// normally.
    template <class F>
    Task<> serve(F handler, ServeOptions options = {}) const {
        return serve_raw(make_handler(std::move(handler)), std::move(options));
    }
    Task<> serve_raw(Handler handler, ServeOptions options = {}) const;

    /// As `serve`, but returns as soon as the instance can be called and found.
    template <class F>
    Task<ServedEndpoint> start(F handler, ServeOptions options = {}) const {
        return start_raw(make_handler(std::move(handler)), std::move(options));
    }
    Task<ServedEndpoint> start_raw(Handler handler, ServeOptions options = {}) const;

    /// Watches the endpoint's instances. Errors: the store's.
    Task<Client> client() const;

    /// What is registered, anywhere in the cluster of this endpoint.
    discovery::Discovery& discovery() const noexcept;
    /// Metrics of the application's about this endpoint; they last as long as this process's part
    /// in the cluster.
    observe::MetricScope metrics() const;

private:
    friend class Component;
    friend class DistributedRuntime;
    Endpoint(std::shared_ptr<ClusterState> state, EndpointId id) noexcept
        : state_{std::move(state)}, id_{std::move(id)} {}
    std::shared_ptr<ClusterState> state_;
    EndpointId id_;
};

/// A cheap copyable value; thread-safe.
class Component {
public:
    const std::string& name() const noexcept { return name_; }
    /// Throws Error{invalid_request} for a bad name.
    Endpoint endpoint(std::string_view name) const;
    observe::MetricScope metrics() const;  ///< As Endpoint's.

private:
    friend class Namespace;
    Component(std::shared_ptr<ClusterState> state, std::string ns, std::string name) noexcept
        : state_{std::move(state)}, namespace_{std::move(ns)}, name_{std::move(name)} {}
    std::shared_ptr<ClusterState> state_;
    std::string namespace_;
    std::string name_;
};

/// A cheap copyable value; thread-safe.
class Namespace {
public:
    /// The whole dotted name.
    const std::string& name() const noexcept { return name_; }
    /// A namespace inside this one. Throws Error{invalid_request} for a bad name.
    Namespace ns(std::string_view name) const;
    /// Throws Error{invalid_request} for a bad name.
    Component component(std::string_view name) const;
    observe::MetricScope metrics() const;  ///< As Endpoint's.

private:
    friend class DistributedRuntime;
    Namespace(std::shared_ptr<ClusterState> state, std::string name) noexcept
        : state_{std::move(state)}, name_{std::move(name)} {}
    std::shared_ptr<ClusterState> state_;
    std::string name_;
};

}  // namespace stator::inline component
