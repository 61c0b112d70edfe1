// DrainSwitch: an operator takes one served instance off line, and back.
#pragma once

#include <mutex>

#include "component/cluster_state.hpp"
#include "component/publication.hpp"
#include "component/served.hpp"
#include "stator/observe/health.hpp"
#include "stator/runtime/semaphore.hpp"

namespace stator::inline component {

/// A part of the endpoint that is served, whose handles keep it while somebody awaits it.
/// Thread-safe. What is drained stays so whatever its probes say, until `resume` or its end.
class DrainSwitch final : public observe::InstanceControl {
public:
    DrainSwitch(ClusterState& cluster, Served& served, Publication& publication) noexcept
        : cluster_{cluster}, served_{served}, publication_{publication} {}

    Task<> drain() override;
    Task<> resume() override;
    /// The endpoint ends: refuses new requests for good.
    void end() noexcept;

private:
    Task<> drain_in_turn();
    Task<> resume_in_turn();
    void check_not_ended() const;
    /// Whether new requests are taken; `end` has the last word.
    bool set_refusing(bool refusing) noexcept;

    ClusterState& cluster_;
    Served& served_;
    Publication& publication_;
    Semaphore changing_{1};
    mutable std::mutex gate_;
    bool ended_ = false;
};

}  // namespace stator::inline component
