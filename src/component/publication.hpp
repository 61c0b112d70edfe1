// The records of one served instance: in discovery, taken back, there again.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "component/cluster_state.hpp"
#include "stator/discovery/registration.hpp"

namespace stator::inline component {

/// Thread-safe. Owned by the served endpoint that it is about.
class Publication {
public:
    Publication(
        std::shared_ptr<ClusterState> cluster,
        discovery::Instance record,
        std::vector<discovery::ModelRecord> models
    );

    /// Publishes what is not there. After `end`: does nothing. Errors: the store's. Cancel safety:
    /// throws `cancelled`; the records may be there until the lease ends.
    Task<> publish();
    /// Takes the records back until the next `publish`; false when that is not confirmed by
    /// `deadline`. Cancel safety: throws `cancelled`, with the same effect.
    Task<bool> withdraw(Deadline deadline);
    /// As `withdraw`, for good.
    Task<bool> end(Deadline deadline);

    /// Takes the records back as an operator does: until `resume`, whatever else publishes, with a
    /// record in its place that says so under the same lease. Does nothing after `end`, or when
    /// that is done. Errors: the store's; it may be tried again, or resumed. Cancel safety: throws
    /// `cancelled`, as after an error.
    Task<> drain();
    /// Publishes again. Errors: as `publish`'s; then it stays drained. Cancel safety: as `publish`.
    Task<> resume();
    bool drained() const;

    /// Of the latest publication; `unregistered` before the first.
    discovery::RegistrationState state() const;
    const discovery::Instance& record() const noexcept { return record_; }

private:
    Task<bool> unpublish(Deadline deadline);
    Task<> publish_in_turn(std::string instead_of);
    Task<bool> forget_drained(Deadline deadline);
    discovery::Registration registration() const;

    const std::shared_ptr<ClusterState> cluster_;
    const discovery::Instance record_;
    const std::vector<discovery::ModelRecord> models_;
    Semaphore changing_{1};  // one publishes or withdraws at a time; `end` waits for nobody
    mutable std::mutex lock_;
    discovery::Registration registration_;  // the latest
    bool ended_ = false;
    bool drained_ = false;
};

}  // namespace stator::inline component
