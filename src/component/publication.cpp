#include "component/publication.hpp"

#include <chrono>
#include <utility>

#include "stator/discovery/drained.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline component {

using namespace std::chrono_literals;
using discovery::RegistrationState;

Publication::Publication(
    std::shared_ptr<ClusterState> cluster,
    discovery::Instance record,
    std::vector<discovery::ModelRecord> models
)
    : cluster_{std::move(cluster)}, record_{std::move(record)}, models_{std::move(models)} {}

discovery::Registration Publication::registration() const {
    const std::lock_guard guard{lock_};
    return registration_;
}

RegistrationState Publication::state() const { return registration().state(); }

Task<> Publication::publish() {
    const auto permit = co_await changing_.acquire();
    if (drained()) co_return;
    co_await publish_in_turn({});
}

Task<> Publication::publish_in_turn(std::string instead_of) {
    discovery::Registration fresh;
    {
        const std::lock_guard guard{lock_};
        const auto before = registration_.state();
        const bool over =
            before == RegistrationState::unregistered || before == RegistrationState::gone;
        if (ended_ || !over) co_return;
        fresh = cluster_->discovery().prepare(
            record_, models_, cluster_->lease(), std::move(instead_of)
        );
        registration_ = fresh;
    }
    auto published = co_await as_result(fresh.publish());
    bool too_late = false;
    {
        const std::lock_guard guard{lock_};
        too_late = ended_;
    }
    // Ended meanwhile: who ended it may have seen only that it was drained.
    if (too_late) {
        (void)co_await fresh.unpublish(Deadline::in(2s));
    } else if (!published) {
        throw std::move(published.error());
    }
}

Task<bool> Publication::withdraw(Deadline deadline) {
    const auto permit = co_await changing_.acquire();
    co_return co_await unpublish(deadline);
}

Task<bool> Publication::end(Deadline deadline) {
    {
        const std::lock_guard guard{lock_};
        ended_ = true;
    }
    if (drained()) co_return co_await forget_drained(deadline);
    co_return co_await unpublish(deadline);
}

bool Publication::drained() const {
    const std::lock_guard guard{lock_};
    return drained_;
}

Task<> Publication::drain() {
    const auto permit = co_await changing_.acquire();
    {
        const std::lock_guard guard{lock_};
        if (ended_ || drained_) co_return;
    }
    auto record = discovery::to_drained_record(record_);
    if (!record) throw record.error();
    const auto& store = cluster_->discovery().store();
    // Only who drains an instance of that id writes there, which is its owner.
    (void)co_await store->replace(
        {record_.key(), discovery::drained_key(record_), std::move(*record), cluster_->lease()}
    );
    bool too_late = false;
    {
        const std::lock_guard guard{lock_};
        drained_ = true;
        too_late = ended_;
    }
    // Its models, and what a record is remembered by.
    (void)co_await unpublish(Deadline::in(2s));
    if (too_late) (void)co_await forget_drained(Deadline::in(2s));
}

Task<> Publication::resume() {
    const auto permit = co_await changing_.acquire();
    if (!drained()) co_return;
    co_await publish_in_turn(discovery::drained_key(record_));
    const std::lock_guard guard{lock_};
    drained_ = false;
}

Task<bool> Publication::forget_drained(Deadline deadline) {
    const auto& store = cluster_->discovery().store();
    const auto removed =
        co_await as_result(with_deadline(deadline, store->remove(discovery::drained_key(record_))));
    co_return removed.has_value();
}

Task<bool> Publication::unpublish(Deadline deadline) {
    const auto current = registration();
    if (!current) co_return true;
    co_return co_await current.unpublish(deadline);
}

}  // namespace stator::inline component
