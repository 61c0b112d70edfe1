// Selection: filter, choose, reserve, in one step on one snapshot of the instances.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "component/load_book.hpp"
#include "stator/component/router.hpp"
#include "stator/discovery/instance_set.hpp"

namespace stator::inline component {

using InstancePtr = std::shared_ptr<const discovery::Instance>;

/// What this process speaks beside TCP.
struct OwnSide {
    bool local = false;  ///< the instance is served in this process
    bool nats = false;
};

/// The best plane that is allowed and spoken on both sides; nothing if there is none.
std::optional<Plane> common_plane(
    const discovery::Instance& instance, Plane allowed, OwnSide own
) noexcept;

/// One loop's view of the instances: made anew when their set has changed.
struct RoutingView {
    struct Entry {
        InstancePtr instance;
        std::shared_ptr<InstanceLoad> load;
        OwnSide own{};
    };
    std::shared_ptr<const discovery::InstanceSet> set;
    std::vector<Entry> routable;
    /// All of them speak the best plane that one of them speaks: nobody has to be passed over.
    bool same_for_all = true;
    bool nats = false;  ///< this process speaks it
};

/// What one router has to know to choose. Shared by its handles; thread-safe.
struct Selector {
    explicit Selector(RouterOptions options_)
        : options{std::move(options_)}, hedges{options.hedge ? options.hedge->budget : 0} {}

    const RouterOptions options;
    std::atomic<std::size_t> turn{0};
    std::mutex custom;  // one call of the policy at a time: it sees what the one before reserved
    std::mutex hedge_lock;
    policy::HedgeBudget hedges;
};

/// What a call asks for, and where it has been.
struct Wanted {
    const Context& context;
    const CallOptions& options;
    std::span<const InstanceId> tried;
};

struct Chosen {
    InstancePtr instance;
    Plane plane = Plane::any;
    Reservation reservation;
};

/// Nobody can be asked: `why` says which filter kept which instances out.
Chosen choose(
    Selector& selector,
    const RoutingView& view,
    const std::shared_ptr<LoadBook>& book,
    const EndpointId& endpoint,
    const Wanted& wanted
);

}  // namespace stator::inline component
