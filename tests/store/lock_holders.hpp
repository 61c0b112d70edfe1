// Those who think to hold a lock, in one place.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <mutex>
#include <utility>

#include "stator/store/lock.hpp"

namespace stator::test {

using store::Lock;

/// Any thread. Counts who met whom.
class Holders {
public:
    using Place = std::list<Lock>::iterator;

    /// Whoever comes in must find nobody whose lock is held for certain.
    Place enter(Lock lock) {
        const std::lock_guard guard{lock_};
        int others = 0;
        for (const auto& other : inside_) others += other.held() ? 1 : 0;
        const bool older = lock.fencing_token() < largest_;
        // Looked at last: one that was held up on its way here counts only if it still is.
        if (lock.held()) {
            overlaps += others;
            out_of_order += older ? 1 : 0;
            ++entered;
        }
        largest_ = std::max(largest_, lock.fencing_token());
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
    int out_of_order = 0;
    int entered = 0;

private:
    std::mutex lock_;
    std::list<Lock> inside_;
    std::uint64_t largest_ = 0;
};

}  // namespace stator::test
