// rate_limit: so many requests a second, in the order in which they come.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "stator/pipeline/operator.hpp"
#include "stator/pipeline/request_map.hpp"
#include "stator/runtime/stream_ops.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline pipeline {

/// Hands out points in time: at most `burst` at once, then one each 1/rate seconds. Pure but for
/// its lock; thread-safe.
class RateLimiter {
public:
    /// `per_second` above 0, `burst` at least 1.
    RateLimiter(double per_second, double burst);

    /// When the next request may go; it is counted. Errors: `overloaded` "pipeline.rate_limited"
    /// when that is after `deadline`, saying when; then it is not counted.
    Result<TimePoint> reserve(TimePoint now, Deadline deadline);

private:
    const Duration interval_;
    const Duration slack_;
    std::mutex lock_;
    TimePoint next_{};  // when the next one would be due, were there no burst
};

namespace detail {

template <class In, class Out>
class RateLimitOperator final : public Operator<In, Out, In, Out> {
public:
    explicit RateLimitOperator(std::shared_ptr<RateLimiter> limiter) noexcept
        : limiter_{std::move(limiter)} {}
    Reply<Out> generate(Context context, In request, Engine<In, Out> next) override {
        const auto now = Clock::current().now();
        auto at = limiter_->reserve(now, context.deadline());
        if (!at) return failed<Out>(std::make_exception_ptr(std::move(at.error())));
        // The usual case costs no coroutine.
        if (*at <= now) return next.generate(std::move(context), std::move(request));
        return later(*at, std::move(context), std::move(request), std::move(next));
    }

private:
    static Reply<Out> later(TimePoint at, Context context, In request, Engine<In, Out> next)
        requires(!single_reply<Out>)
    {
        return opened(begin(at, std::move(context), std::move(request), std::move(next)));
    }
    static Task<Stream<ReplyItem<Out>>> begin(
        TimePoint at, Context context, In request, Engine<In, Out> next
    ) {
        co_await sleep_until(Deadline::at(at));
        co_return next.generate(std::move(context), std::move(request));
    }
    static Reply<Out> later(TimePoint at, Context context, In request, Engine<In, Out> next)
        requires single_reply<Out>
    {
        co_await sleep_until(Deadline::at(at));
        co_return co_await next.generate(std::move(context), std::move(request));
    }

    std::shared_ptr<RateLimiter> limiter_;
};

struct RateLimitStage {
    std::shared_ptr<RateLimiter> limiter;
    template <class In, class Out>
    auto bind() && {
        return RateLimitOperator<In, Out>{std::move(limiter)};
    }
};

}  // namespace detail

/// Lets each request wait for its turn. One whose turn would come after its deadline is refused at
/// once: `overloaded` "pipeline.rate_limited". Several pipelines may share a limiter. A request
/// that is cancelled while it waits has used its turn.
inline auto rate_limit(std::shared_ptr<RateLimiter> limiter) {
    return detail::RateLimitStage{std::move(limiter)};
}
inline auto rate_limit(double per_second, double burst = 1) {
    return rate_limit(std::make_shared<RateLimiter>(per_second, burst));
}

}  // namespace stator::inline pipeline
