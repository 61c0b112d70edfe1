// A point in time by which something must have happened, as a value.
#pragma once

#include <compare>

#include "stator/base/clock.hpp"

namespace stator::inline base {

/// A point of monotonic time, or never. Durations cross interfaces only as the argument of `in`.
class Deadline {
public:
    constexpr Deadline() noexcept = default;  ///< never

    static constexpr Deadline never() noexcept { return {}; }
    static constexpr Deadline at(TimePoint when) noexcept { return Deadline{when}; }
    /// `after` from now on this thread's clock; durations too long to represent mean never.
    static Deadline in(Duration after) noexcept {
        const auto now = Clock::current().now();
        if (after > TimePoint::max() - now) return never();
        return Deadline{now + after};
    }

    constexpr bool is_never() const noexcept { return when_ == TimePoint::max(); }
    constexpr TimePoint when() const noexcept { return when_; }
    bool passed() const noexcept { return !is_never() && Clock::current().now() >= when_; }
    /// Time left, never negative; Duration::max() for never.
    Duration remaining() const noexcept {
        if (is_never()) return Duration::max();
        const auto now = Clock::current().now();
        return when_ <= now ? Duration::zero() : when_ - now;
    }

    friend constexpr auto operator<=>(Deadline, Deadline) noexcept = default;
    friend constexpr Deadline earliest(Deadline a, Deadline b) noexcept {
        return a.when_ < b.when_ ? a : b;
    }

private:
    explicit constexpr Deadline(TimePoint when) noexcept : when_{when} {}
    TimePoint when_ = TimePoint::max();
};

}  // namespace stator::inline base
