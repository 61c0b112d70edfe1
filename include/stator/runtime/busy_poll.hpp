// BusyPoll: when a loop that has nothing to do had better look on than go to sleep.
#pragma once

#include <algorithm>

#include "stator/base/clock.hpp"

namespace stator::inline runtime {

/// Waking a core that sleeps takes 20 to 25 us in a virtual machine, longer than a round trip over
/// loopback. A loop whose work comes at shorter intervals saves that by looking for it; a loop
/// whose work does not, only burns its core. So it looks while that has paid lately, and tries
/// again more and more rarely when it has not: an idle loop does not look at all.
///
/// Pure: told what came of each time without work, it says what to do the next time.
class BusyPoll {
public:
    /// `limit`: how long to look at a time; zero: never.
    explicit BusyPoll(Duration limit = {}) noexcept : limit_{limit} {}

    /// How long to look for work now, before going to sleep.
    Duration budget() const noexcept { return credit_ > 0 ? limit_ : Duration::zero(); }

    /// Whether it wants to hear how long a sleep without looking was.
    bool learns_from_sleep() const noexcept { return limit_ != Duration::zero() && credit_ == 0; }

    /// Work came `idle` after there was none. Ignored when looking is off.
    void found_after(Duration idle) noexcept {
        if (limit_ == Duration::zero()) return;
        if (credit_ > 0) return looked(idle <= limit_);
        // A round trip that includes two wake-ups is much shorter when neither side sleeps.
        streak_ = idle <= sleep_factor * limit_ ? streak_ + 1 : 0;
        if (streak_ < needed_) return;
        streak_ = 0;
        credit_ = most_credit;
    }

private:
    static constexpr int most_credit = 4;
    static constexpr int first_needed = 8;
    static constexpr int most_needed = 4096;
    static constexpr int sleep_factor = 4;

    void looked(bool paid) noexcept {
        if (paid) {
            credit_ = std::min(credit_ + 1, most_credit);
            needed_ = first_needed;
        } else if (--credit_ == 0) {
            needed_ = std::min(2 * needed_, most_needed);
        }
    }

    Duration limit_;
    int credit_ = 0;             ///< fruitless looks until it stops looking
    int streak_ = 0;             ///< short waits in a row while it does not look
    int needed_ = first_needed;  ///< of them, until it looks again
};

}  // namespace stator::inline runtime
