#include "stator/base/backoff.hpp"

#include <algorithm>

namespace stator::inline base {

namespace {

BackoffPolicy clamped(BackoffPolicy policy) noexcept {
    policy.max = std::max(policy.max, Duration::zero());
    policy.initial = std::clamp(policy.initial, Duration::zero(), policy.max);
    if (!(policy.factor >= 1.0)) policy.factor = 1.0;
    return policy;
}

/// `by` >= 0 times `duration`, at most `limit`: compared as doubles, because the product may not
/// fit.
Duration scaled(Duration duration, double by, Duration limit) noexcept {
    const auto product = static_cast<double>(duration.count()) * by;
    if (!(product < static_cast<double>(limit.count()))) return limit;
    return Duration{static_cast<Duration::rep>(product)};
}

}  // namespace

Backoff::Backoff(BackoffPolicy policy, std::uint64_t seed) noexcept
    : policy_{clamped(policy)}, ceiling_{policy_.initial}, random_{seed} {}

Backoff::Backoff(BackoffPolicy policy) : Backoff{policy, thread_random()()} {}

Duration Backoff::next(double unit) noexcept {
    const auto wait = scaled(ceiling_, std::clamp(unit, 0.0, 1.0), ceiling_);
    ceiling_ = scaled(ceiling_, policy_.factor, policy_.max);
    ++attempts_;
    return wait;
}

void Backoff::reset() noexcept {
    ceiling_ = policy_.initial;
    attempts_ = 0;
}

}  // namespace stator::inline base
