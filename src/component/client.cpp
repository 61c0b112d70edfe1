#include "stator/component/client.hpp"

#include "component/client_state.hpp"
#include "stator/component/endpoint.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline component {

RoutingView ClientState::make_view(std::shared_ptr<const discovery::InstanceSet> set) {
    RoutingView view;
    view.nats = static_cast<bool>(cluster->nats());
    const auto loads = book->loads_of(set->routable);
    view.routable.reserve(set->routable.size());
    for (std::size_t i = 0; i < set->routable.size(); ++i) {
        const auto& instance = set->routable[i];
        const OwnSide own{cluster->serves_here(path, instance->id), view.nats};
        view.routable.push_back({instance, loads[i], own});
        view.same_for_all =
            view.same_for_all && common_plane(*instance, Plane::any, own).has_value();
    }
    view.set = std::move(set);
    return view;
}

const EndpointId& Client::endpoint() const noexcept { return state_->watch->endpoint(); }

std::shared_ptr<const discovery::InstanceSet> Client::instances() const {
    return state_->watch->instances();
}

Loads Client::loads() const { return Loads{state_->book, state_->watch->instances()}; }

namespace {

Task<std::shared_ptr<const discovery::InstanceSet>> first_routable(
    std::shared_ptr<discovery::EndpointWatch> watch
) {
    auto set = watch->instances();
    while (set->routable.empty()) set = co_await watch->wait_for_change(set->version);
    co_return set;
}

}  // namespace

Task<std::shared_ptr<const discovery::InstanceSet>> Client::wait_for_instances(Deadline deadline
) const {
    return [](std::shared_ptr<ClientState> state,
              Deadline until) -> Task<std::shared_ptr<const discovery::InstanceSet>> {
        auto found = co_await as_result(with_deadline(until, first_routable(state->watch)));
        if (found) co_return *found;
        if (found.error().code() != ErrorCode::deadline_exceeded) throw found.error();
        throw no_instances(state->watch->endpoint(), *state->watch->instances());
    }(state_, deadline);
}

Task<Client> Endpoint::client() const {
    return [](std::shared_ptr<ClusterState> cluster, EndpointId id) -> Task<Client> {
        auto watch = co_await cluster->discovery().watch(std::move(id));
        co_return Client{std::make_shared<ClientState>(std::move(cluster), std::move(watch))};
    }(state_, id_);
}

}  // namespace stator::inline component
