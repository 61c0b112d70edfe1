#include "stator/component/distributed_runtime.hpp"

#include "component/cluster_state.hpp"

namespace stator::inline component {

Task<DistributedRuntime> DistributedRuntime::connect(Runtime runtime) {
    auto config = DistributedConfig::from_settings(runtime.settings());
    return connect(std::move(runtime), std::move(config));
}

Task<DistributedRuntime> DistributedRuntime::connect(Runtime runtime, DistributedConfig config) {
    auto state = std::make_shared<ClusterState>(runtime, std::move(config));
    co_await state->connect();
    co_return DistributedRuntime{std::move(runtime), std::move(state)};
}

Task<DistributedRuntime> DistributedRuntime::for_cli(Runtime runtime, DistributedConfig config) {
    config.primary_lease = false;
    return connect(std::move(runtime), std::move(config));
}

const Runtime& DistributedRuntime::runtime() const noexcept { return runtime_; }
const DistributedConfig& DistributedRuntime::config() const noexcept { return state_->config(); }
InstanceId DistributedRuntime::instance_id() const noexcept { return state_->instance_id(); }
discovery::Discovery& DistributedRuntime::discovery() const noexcept { return state_->discovery(); }

Namespace DistributedRuntime::ns(std::string_view name) const {
    if (auto valid = check_namespace(name); !valid) throw valid.error();
    return Namespace{state_, std::string{name}};
}

Endpoint DistributedRuntime::endpoint(std::string_view path) const {
    auto id = EndpointId::parse(path);
    if (!id) throw id.error();
    return Endpoint{state_, std::move(*id)};
}

Endpoint DistributedRuntime::endpoint(EndpointId id) const {
    if (auto valid = id.check(); !valid) throw valid.error();
    return Endpoint{state_, std::move(id)};
}

store::EtcdClient DistributedRuntime::etcd_client() const {
    if (const auto& etcd = state_->etcd()) return etcd->client();
    throw Error{
        ErrorCode::unimplemented,
        "component.no_etcd",
        "this process does not use etcd: DYN_DISCOVERY_BACKEND is another"
    };
}

nats::Client DistributedRuntime::nats_client() const {
    if (const auto& nats = state_->nats()) return nats;
    throw Error{
        ErrorCode::unimplemented,
        "component.no_nats",
        "this process does not use NATS: DYN_REQUEST_PLANE is another"
    };
}

Task<std::shared_ptr<transport::CallHomeServer>> DistributedRuntime::tcp_server() const {
    return state_->call_home();
}

Task<std::shared_ptr<events::EventBus>> DistributedRuntime::event_bus() const {
    return state_->event_bus();
}

Task<> DistributedRuntime::close(Deadline deadline) const { return state_->tear_down(deadline); }

observe::MetricScope DistributedRuntime::metrics() const { return state_->metrics({}); }

observe::MetricScope Namespace::metrics() const {
    return state_->metrics({{"dynamo_namespace", name_}});
}

observe::MetricScope Component::metrics() const {
    return state_->metrics({{"dynamo_namespace", namespace_}, {"dynamo_component", name_}});
}

Namespace Namespace::ns(std::string_view name) const {
    if (auto valid = check_namespace(name); !valid) throw valid.error();
    return Namespace{state_, name_ + "." + std::string{name}};
}

Component Namespace::component(std::string_view name) const {
    if (auto valid = check_name("component", name); !valid) throw valid.error();
    return Component{state_, name_, std::string{name}};
}

Endpoint Component::endpoint(std::string_view name) const {
    if (auto valid = check_name("endpoint", name); !valid) throw valid.error();
    return Endpoint{state_, EndpointId{namespace_, name_, std::string{name}}};
}

}  // namespace stator::inline component
