#include "stator/component/client.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "component/client_state.hpp"
#include "stator/component/endpoint.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline component {

Error no_instances(const EndpointId& endpoint, const discovery::InstanceSet& set) {
    std::map<std::string_view, int> standings;
    for (const auto& member : set.members) ++standings[discovery::to_string(member.standing)];
    std::string found;
    for (const auto& [standing, count] : standings)
        found += fmt::format("{}{} {}", found.empty() ? "" : ", ", count, standing);
    // Then a moment later may do, and the caller should know that.
    const bool full = std::ranges::any_of(set.members, [](const discovery::Member& member) {
        return member.standing == discovery::Standing::full;
    });
    return Error{
        full ? ErrorCode::overloaded : ErrorCode::unavailable,
        "component.no_instances",
        found.empty()
            ? fmt::format("no instance of {} is registered", endpoint.to_string())
            : fmt::format("no instance of {} can take requests: {}", endpoint.to_string(), found)
    };
}

const EndpointId& Client::endpoint() const noexcept { return state_->watch->endpoint(); }

std::shared_ptr<const discovery::InstanceSet> Client::instances() const {
    return state_->watch->instances();
}

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
