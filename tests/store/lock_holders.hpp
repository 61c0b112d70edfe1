// Those who think to hold a lock, in one place.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <utility>

#include "stator/store/fence.hpp"
#include "stator/store/lock.hpp"

namespace stator::test {

using store::Lock;
using store::LockMode;

/// Any thread. Counts who met whom.
class Holders {
public:
    using Place = std::list<Lock>::iterator;

    /// Whoever comes in must find nobody whose lock is held for certain, but those who share it, as
    /// it does itself; and nobody may have come in before who asked later, but, again, to share it.
    Place enter(Lock lock) {
        const std::lock_guard guard{lock_};
        int others = 0;
        int sharing = 0;
        for (const auto& other : inside_) {
            const bool together = lock.mode() == LockMode::shared && other.mode() == lock.mode();
            if (other.held()) ++(together ? sharing : others);
        }
        const bool admitted = fence_.admits(lock.mode(), lock.fencing_token());
        // Looked at last: one that was held up on its way here counts only if it still is.
        if (lock.held()) {
            overlaps += others;
            shared += sharing;
            out_of_order += admitted ? 0 : 1;
            ++entered;
        }
        inside_.push_front(std::move(lock));
        return inside_.begin();
    }
    Lock leave(Place place) {
        const std::lock_guard guard{lock_};
        auto lock = std::move(*place);
        inside_.erase(place);
        return lock;
    }

    int overlaps = 0;
    std::size_t shared = 0;
    int out_of_order = 0;
    int entered = 0;

private:
    std::mutex lock_;
    std::list<Lock> inside_;
    store::Fence fence_;
};

}  // namespace stator::test
