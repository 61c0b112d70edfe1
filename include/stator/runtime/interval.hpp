// Interval: something at regular times.
#pragma once

#include <cstdint>

#include "stator/runtime/timer.hpp"

namespace stator::inline runtime {

/// What becomes of times that passed while nobody waited.
enum class MissedTicks : std::uint8_t {
    burst,  ///< They follow at once, until it has caught up: the count is right.
    delay,  ///< None: the next is a whole period after this one.
    skip,   ///< None: the next is the next regular time.
};

/// The first tick is at once, or at `first`. Used by one task.
///
///     Interval every{1s};
///     for (;;) { co_await every.tick(); ... }
class Interval {
public:
    explicit Interval(Duration period, MissedTicks missed = MissedTicks::burst)
        : Interval{Deadline::in(Duration::zero()), period, missed} {}
    /// `period` above zero.
    Interval(Deadline first, Duration period, MissedTicks missed = MissedTicks::burst)
        : next_{first.when()}, period_{period}, missed_{missed} {}

    /// Waits for the next tick; the time for which it was due. Cancel safety: throws `cancelled`,
    /// the tick is not lost.
    Task<TimePoint> tick() {
        const auto due = next_;
        co_await sleep_until(Deadline::at(due));
        const auto now = Clock::current().now();
        next_ = due + period_;
        if (next_ > now || missed_ == MissedTicks::burst) co_return due;
        if (missed_ == MissedTicks::delay) {
            next_ = now + period_;
        } else {
            next_ += (now - next_) / period_ * period_ + period_;
        }
        co_return due;
    }

private:
    TimePoint next_;
    Duration period_;
    MissedTicks missed_;
};

}  // namespace stator::inline runtime
