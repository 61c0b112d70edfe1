#include "stator/pipeline/migrate.hpp"

#include "stator/base/report_limit.hpp"
#include "stator/observe/log.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"

namespace stator::inline pipeline {

namespace {

using namespace std::chrono_literals;

observe::Counter counter_of(const char* kind) {
    return observe::metrics().counter(
        "stator_migrations_total",
        "Requests that went on at another instance, before (new_request) and after "
        "(ongoing_request) their first item",
        {{"kind", kind}}
    );
}

struct Counters {
    observe::Counter fresh = counter_of("new_request");
    observe::Counter begun = counter_of("ongoing_request");
};

const Counters& counters() {
    static const Counters all;
    return all;
}

/// One instance may fail thousands of requests at once.
void say(const Context& context, const Error& error, std::size_t items) {
    static ReportLimit limit{1s};
    const auto held_back = limit.admit(Clock::steady().now());
    if (!held_back) return;
    log::info(
        context,
        "stator::pipeline",
        "goes on at another instance after {} items: {}{}",
        items,
        error.what(),
        and_unreported(*held_back)
    );
}

}  // namespace

bool is_migratable(const Error& error) noexcept {
    const auto code = error.code();
    return error.retryable() && (code == ErrorCode::disconnected ||
                                 code == ErrorCode::unavailable || code == ErrorCode::draining);
}

namespace detail {

Moves::Moves(const MigrationPolicy& policy, Context context)
    : policy_{&policy},
      context_{std::move(context)},
      backoff_{policy.backoff},
      left_{policy.limit} {
    (void)counters();  // seen from the first request on, as zero
}

Context Moves::begin() {
    failed_before_ = failed_->added();
    auto attempt = context_.attempt();
    FailedInstances::give(attempt, failed_);
    return attempt;
}

bool Moves::allowed(const Error& error) const {
    return left() && !context_.stopped() && !context_.deadline().passed() &&
           policy_->migratable(error);
}

void Moves::move(const Error& error, std::size_t items, bool answered) {
    --left_;
    wait_ = !answered;
    if (answered) backoff_.reset();
    // Nobody else was there: who has failed it may be back.
    if (failed_->added() == failed_before_) failed_->clear();
    (items > 0 ? counters().begun : counters().fresh).add();
    say(context_, error, items);
}

Task<bool> Moves::due() {
    if (!wait_) co_return !context_.stopped();
    const auto at = Deadline::in(backoff_.next());
    if (context_.deadline() <= at) co_return false;
    co_return co_await sleep_until(at, context_.stop_token());
}

}  // namespace detail

}  // namespace stator::inline pipeline
