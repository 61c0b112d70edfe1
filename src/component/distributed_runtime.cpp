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

Task<std::shared_ptr<transport::CallHomeServer>> DistributedRuntime::tcp_server() const {
    return state_->call_home();
}

Task<> DistributedRuntime::close(Deadline deadline) const { return state_->tear_down(deadline); }

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
