#include "stator/pipeline/retry.hpp"

#include "stator/base/random.hpp"
#include "stator/base/sink.hpp"

namespace stator::inline pipeline::detail {

Attempts::Attempts(const RetryPolicy& policy, Context context)
    : context_{std::move(context)},
      backoff_{policy.backoff},
      left_{!policy.replayable || policy.replayable(context_) ? policy.attempts : 1} {}

Task<> Attempts::next(Error error) {
    if (last() || !error.retryable() || context_.stopped()) throw error;
    --left_;
    const auto at = Deadline::in(backoff_.next());
    if (context_.deadline() <= at) throw error;
    sink().count("pipeline_retries_total", 1);
    if (!co_await sleep_until(at, context_.stop_token())) throw error;
}

}  // namespace stator::inline pipeline::detail
