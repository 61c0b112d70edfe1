#include "stator/runtime/version_gate.hpp"

#include <mutex>
#include <utility>

namespace stator::inline runtime {

void VersionGate::advance() noexcept {
    std::shared_ptr<Event> change;
    {
        const std::lock_guard guard{lock_};
        version_.fetch_add(1, std::memory_order_acq_rel);
        change = std::exchange(change_, nullptr);
    }
    if (change) change->set();
}

/// What is set at the next change; null when the version is above `seen` already.
std::shared_ptr<Event> VersionGate::next_change(std::uint64_t seen) {
    auto fresh = std::make_shared<Event>();  // outside the lock
    const std::lock_guard guard{lock_};
    if (version() > seen) return nullptr;
    if (!change_) change_ = std::move(fresh);
    return change_;
}

Task<std::uint64_t> VersionGate::wait_past(std::uint64_t seen) {
    while (version() <= seen) {
        const auto change = next_change(seen);
        if (change) co_await change->wait();
    }
    co_return version();
}

}  // namespace stator::inline runtime
