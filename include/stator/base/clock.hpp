// Time as a dependency: everything that asks for the time asks the clock of its thread.
#pragma once

#include <atomic>
#include <chrono>

namespace stator::inline base {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

/// A source of monotonic time. Implementations are thread-safe.
class Clock {
public:
    virtual ~Clock() = default;
    virtual TimePoint now() const noexcept = 0;

    /// The clock of this thread: the loop's on a loop thread, the steady clock elsewhere.
    static const Clock& current() noexcept;
    /// Makes `clock` this thread's clock (null: the steady clock); returns what was set before.
    static const Clock* set_current(const Clock* clock) noexcept;
    static const Clock& steady() noexcept;
};

/// Time that moves only when told, for tests. A Loop built on it fires what is due on its next turn
/// (`Loop::run_until_idle`). Thread-safe.
class ManualClock : public Clock {
public:
    TimePoint now() const noexcept override {
        return TimePoint{Duration{now_.load(std::memory_order_acquire)}};
    }
    void advance(Duration by) noexcept { now_.fetch_add(by.count(), std::memory_order_acq_rel); }

private:
    std::atomic<Duration::rep> now_{Duration{std::chrono::hours{1}}.count()};
};

}  // namespace stator::inline base
