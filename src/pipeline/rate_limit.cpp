#include "stator/pipeline/rate_limit.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace stator::inline pipeline {

namespace {

// Rates below one a century are that.
Duration interval_of(double per_second) {
    constexpr double longest = 3.1e9;
    return std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>{std::min(1 / std::max(per_second, 1e-12), longest)}
    );
}

}  // namespace

RateLimiter::RateLimiter(double per_second, double burst)
    : interval_{interval_of(per_second)},
      slack_{std::chrono::duration_cast<Duration>(std::chrono::duration<double>{std::min(
          std::chrono::duration<double>{interval_}.count() * (std::max(burst, 1.0) - 1), 3.1e9
      )})} {}

Result<TimePoint> RateLimiter::reserve(TimePoint now, Deadline deadline) {
    const std::lock_guard guard{lock_};
    const auto due = std::max(next_, now);
    const auto at = std::max(now, due - slack_);
    if (!deadline.is_never() && at > deadline.when()) {
        const auto wait = std::chrono::ceil<std::chrono::milliseconds>(at - now).count();
        return fail(
            ErrorCode::overloaded,
            "pipeline.rate_limited",
            fmt::format("the rate limit has no room before the deadline; retry after {} ms", wait)
        );
    }
    next_ = due + interval_;
    return at;
}

}  // namespace stator::inline pipeline
