// What the handles of one client share.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "component/cluster_state.hpp"
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
          readers{cluster->loops()} {}

    /// This loop's view of the instances; valid until the next call.
    const discovery::InstanceSet& current() {
        auto& reader = readers.current().reader;
        if (!reader) reader.emplace(watch->reader());
        return *reader->get();
    }

    const std::shared_ptr<ClusterState> cluster;
    const std::shared_ptr<discovery::EndpointWatch> watch;
    const std::string path;  // as calls name the endpoint
    struct Reader {
        std::optional<discovery::Snapshot<discovery::InstanceSet>::Reader> reader;
    };
    PerLoop<Reader> readers;
};

/// "no instance of ns.c.e can take requests: 2 quarantined, 1 draining".
Error no_instances(const EndpointId& endpoint, const discovery::InstanceSet& set);

}  // namespace stator::inline component
