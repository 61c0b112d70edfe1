// How long to wait before the next attempt, as a pure value.
#pragma once

#include <chrono>
#include <cstdint>

#include "stator/base/clock.hpp"
#include "stator/base/random.hpp"

namespace stator::inline base {

/// The bounds of a Backoff. Nonsense is clamped: a negative duration is zero, a maximum below
/// `initial` raises nothing, a factor below 1 (or not a number) is 1.
struct BackoffPolicy {
    Duration initial = std::chrono::milliseconds{100};
    Duration max = std::chrono::seconds{5};
    double factor = 2.0;
};

/// Exponential growth with full jitter: attempt n waits a uniformly random time between 0 and
/// min(max, initial * factor^n), so that a crowd that failed together does not return together.
/// No clock, no timer, no shared state: one owner, one thread at a time.
class Backoff {
public:
    /// Draws its jitter from its own generator; equal seeds give equal waits.
    explicit Backoff(BackoffPolicy policy, std::uint64_t seed) noexcept;
    /// Seeded from this thread's generator.
    explicit Backoff(BackoffPolicy policy);

    /// The wait before the next attempt.
    Duration next() noexcept { return next(random_.unit()); }
    /// The same with the caller's random number, clamped to [0, 1].
    Duration next(double unit) noexcept;

    /// The longest wait that `next` may return now.
    Duration ceiling() const noexcept { return ceiling_; }
    /// How often `next` was called since the start or the last `reset`.
    std::uint64_t attempts() const noexcept { return attempts_; }
    /// Success: the next failure starts from `initial` again.
    void reset() noexcept;

private:
    BackoffPolicy policy_;
    Duration ceiling_;
    std::uint64_t attempts_ = 0;
    Random random_;
};

}  // namespace stator::inline base
