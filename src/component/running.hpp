// One served endpoint from its start to its end.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "component/canary.hpp"
#include "component/cluster_state.hpp"
#include "component/drain_switch.hpp"
#include "component/publication.hpp"
#include "component/served.hpp"
#include "component/stats_source.hpp"
#include "stator/component/endpoint.hpp"

namespace stator::inline component {

/// What the handles of a ServedEndpoint share. Thread-safe. The process's health holds it, too,
/// until the endpoint has ended or the cluster is torn down.
class ServedEndpoint::Running final : public observe::InstanceView,
                                      public std::enable_shared_from_this<Running> {
public:
    Running(
        std::shared_ptr<ClusterState> cluster,
        std::shared_ptr<Served> served,
        discovery::Instance record,
        const ServeOptions& options
    );

    /// Makes it callable, then findable; undone if the second fails.
    Task<> start();
    Task<> shutdown(Deadline deadline);

    ClusterState& cluster() const noexcept { return *cluster_; }
    const Served& served() const noexcept { return *served_; }

    observe::InstanceHealth health() const override;
    std::optional<std::string> record() const override;
    std::vector<observe::RequestView> requests() const override;
    std::shared_ptr<observe::InstanceControl> control() const override;

private:
    /// What it waits for on its way out, in this order; some are skipped.
    enum class Phase : std::uint8_t { serving, unpublish, settle, finish, stop, kill, ended };
    static std::string_view name_of(Phase phase) noexcept;

    static Task<> leave_for_good(std::weak_ptr<Running> weak, Deadline deadline);
    void make_canary();
    /// Says what is waited for now, and measures how long what came before took.
    void enter(Phase phase);
    std::string waits_for(Phase phase) const;
    Task<> on_verdict(CanaryState::Verdict verdict);
    Task<> leave(Deadline deadline);
    Task<> drain(TimePoint begin, Deadline deadline);
    std::size_t kill_requests();
    Task<> make_callable();
    Task<> end_subject(Deadline deadline);
    std::pair<observe::InstanceState, std::string> standing() const;

    const std::shared_ptr<ClusterState> cluster_;
    const std::shared_ptr<Served> served_;
    Publication publication_;
    mutable DrainSwitch switch_;
    const std::string probe_;
    const std::shared_ptr<StatsSource> stats_;  // null: there are none of the application's
    const bool graceful_;
    std::shared_ptr<transport::NatsSubject> subject_;  // as the next two
    std::shared_ptr<Canary> canary_;                   // both made before anybody else sees this
    CancellationToken canary_token_;
    std::atomic<bool> leaving_{false};
    std::atomic<Phase> phase_{Phase::serving};
    TimePoint phase_begun_{};  // of the task that shuts it down
    Event ended_;
};

}  // namespace stator::inline component
