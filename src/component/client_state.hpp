// What the handles of one client share.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "component/caller_metrics.hpp"
#include "component/cluster_state.hpp"
#include "component/departures.hpp"
#include "component/load_book.hpp"
#include "component/selection.hpp"
#include "stator/component/client.hpp"
#include "stator/discovery/endpoint_watch.hpp"
#include "stator/discovery/snapshot.hpp"
#include "stator/runtime/per_loop.hpp"

namespace stator::inline component {

struct ClientState {
    ClientState(
        std::shared_ptr<ClusterState> cluster_, std::shared_ptr<discovery::EndpointWatch> watch_
    )
        : cluster{std::move(cluster_)},
          watch{std::move(watch_)},
          path{watch->endpoint().to_path()},
          book{cluster->load_book(path)},
          readers{cluster->loops()} {}
    ClientState(const ClientState&) = delete;
    ClientState& operator=(const ClientState&) = delete;

    ~ClientState() {
        for (std::size_t i = 0; i < readers.size(); ++i) {
            if (const auto& own = readers.at(i).departures) own->stop();
        }
    }

    /// This loop's view of the instances; valid until the next call.
    const discovery::InstanceSet& current() {
        auto& reader = readers.current().reader;
        if (!reader) reader.emplace(watch->reader());
        return *reader->get();
    }

    const std::shared_ptr<ClusterState> cluster;
    const std::shared_ptr<discovery::EndpointWatch> watch;
    /// The same with what routers know of them; valid until the next call.
    const RoutingView& view() {
        auto& own = readers.current().view;
        if (!own.reader) own.reader.emplace(watch->reader());
        const auto& set = own.reader->get();
        if (own.view.set != set) own.view = make_view(set);
        return own.view;
    }

    const std::string path;  // as calls name the endpoint
    const std::shared_ptr<LoadBook> book;
    const CallerMetrics metrics;
    struct Reader {
        std::optional<discovery::Snapshot<discovery::InstanceSet>::Reader> reader;
        std::shared_ptr<Departures> departures;
        struct View {
            std::optional<discovery::Snapshot<discovery::InstanceSet>::Reader> reader;
            RoutingView view;
        } view;
    };
    PerLoop<Reader> readers;

    /// Tells this loop's unanswered calls when their instance leaves discovery.
    Departures& departures() {
        auto& own = readers.current().departures;
        if (!own) own = Departures::start(watch, cluster->feeds());
        return *own;
    }

private:
    RoutingView make_view(std::shared_ptr<const discovery::InstanceSet> set);
};

/// "no instance of ns.c.e can take requests: 2 quarantined (1a, 2b), 1 draining (3c)".
Error no_instances(const EndpointId& endpoint, const discovery::InstanceSet& set);

}  // namespace stator::inline component
