#include "component/canary.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/transport/call_shape.hpp"

namespace stator::inline component {

using namespace std::chrono_literals;
using Action = CanaryState::Action;
using Verdict = CanaryState::Verdict;

namespace {

// Traffic is looked at this often, where nothing asks for more.
constexpr Duration slowest_look = 1s;
constexpr Duration fastest_look = 10ms;

/// The input of a handler that takes a stream: one item.
Stream<Bytes> only(Bytes item) { co_yield std::move(item); }

Stream<Bytes> answer_of(const Served& served, const Context& context, Bytes request) {
    if (transport::one_request(served.handler().shape()))
        return served.handler()(context, std::move(request), PayloadCodec::json);
    return served.handler()(context, only(std::move(request)), PayloadCodec::json);
}

}  // namespace

/// Between the loop that probes and the one that watches.
struct Canary::Probe {
    Context context;
    VersionGate changed;
    std::atomic<std::size_t> items{0};
    std::atomic<bool> ended{false};
    std::optional<std::string> failure;  // before `ended`
};

Canary::Canary(std::shared_ptr<Served> served, Handle primary, Options options)
    : served_{std::move(served)}, primary_{primary}, options_{std::move(options)} {}

Verdict Canary::verdict() const {
    const std::lock_guard guard{lock_};
    return verdict_;
}

std::string Canary::reason() const {
    const std::lock_guard guard{lock_};
    return reason_;
}

void Canary::tell(const CanaryState& state) {
    const std::lock_guard guard{lock_};
    verdict_ = state.verdict();
    reason_ = state.reason();
}

/// On a primary loop, as every request.
Task<> Canary::run_probe(
    std::shared_ptr<Probe> probe, std::shared_ptr<Served> served, std::string payload
) {
    try {
        auto answer = answer_of(*served, probe->context, Bytes::copy_of(payload));
        const bool one = transport::one_response(served->handler().shape());
        while (auto item = co_await answer.next()) {
            probe->items.fetch_add(1);
            probe->changed.advance();
            if (one) break;
        }
    } catch (...) {
        probe->failure = to_error(std::current_exception()).what();
    }
    probe->ended.store(true);
    probe->changed.advance();
}

/// The part of `run` that lasts.
struct Canary::Driver {
    explicit Driver(Canary& canary_)
        : canary{canary_}, state{canary.options_.config, Loop::current()->now()} {}

    void begin_probe() {
        probe = std::make_shared<Probe>();
        seen_items = 0;
        // The handler's task runs under the request's own token, as that of every request.
        probe->context = Context{Context::Options{.kill_token = scope.token().child_token()}};
        scope.spawn_on(
            canary.primary_.loop(),
            run_probe(probe, canary.served_, canary.options_.payload),
            probe->context.kill_token()
        );
        begun.add();
    }
    /// What the probe has done since the last time.
    void hear_from_probe(TimePoint now) {
        if (!probe) return;
        const bool ended = probe->ended.load();
        for (const auto items = probe->items.load(); seen_items < items; ++seen_items)
            state.probe_item(now);
        if (!ended) return;
        if (probe->failure) failed.add();
        state.probe_ended(now, probe->failure);
        probe.reset();
    }
    void look() {
        const auto now = Loop::current()->now();
        hear_from_probe(now);
        const auto step = state.look(
            now, {.inflight = canary.served_->inflight(), .progress = canary.served_->items_sent()}
        );
        const auto& config = canary.options_.config;
        const auto often = std::clamp<Duration>(
            std::min(config.idle_wait, config.busy_stall) / 4, fastest_look, slowest_look
        );
        next = std::min(step.next, now + often);
        if (step.action == Action::begin_probe) begin_probe();
        if (step.action == Action::end_probe) {
            failed.add();
            probe->context.kill(CancelReason::deadline);
        }
    }
    /// Until there is something to look at.
    Task<> wait() {
        if (!probe) {
            co_await sleep_until(Deadline::at(next));
            co_return;
        }
        const auto current = probe;
        const auto seen = current->changed.version();
        if (current->items.load() != seen_items || current->ended.load()) co_return;
        const auto changed =
            co_await as_result(with_deadline(Deadline::at(next), wait_past(current, seen)));
        if (!changed && changed.error().code() == ErrorCode::cancelled) throw changed.error();
    }
    static Task<> wait_past(std::shared_ptr<Probe> of, std::uint64_t seen) {
        (void)co_await of->changed.wait_past(seen);
    }

    Canary& canary;
    CanaryState state;
    std::shared_ptr<Probe> probe;
    std::size_t seen_items = 0;
    TimePoint next;
    const observe::MetricScope metrics{
        observe::metrics(), labels_of(canary.served_->id()), "stator_canary_"
    };
    observe::Counter begun = metrics.counter("probes_total", "Probes begun");
    observe::Counter failed =
        metrics.counter("failed_probes_total", "Probes that failed, stalled or had to be ended");
    TaskScope scope;
};

Task<> Canary::run() {
    const auto self = shared_from_this();
    Driver driver{*this};
    const auto forever = [](Canary* canary, Driver* drive) -> Task<> {
        auto told = Verdict::pending;
        for (;;) {
            drive->look();
            canary->tell(drive->state);
            if (const auto verdict = drive->state.verdict(); verdict != told) {
                told = verdict;
                sink().report(
                    verdict == Verdict::healthy ? Severity::info : Severity::warn,
                    "stator::component",
                    fmt::format(
                        "{} {} is {}{}",
                        canary->served_->id().to_string(),
                        canary->served_->instance().to_string(),
                        verdict == Verdict::healthy ? "healthy" : "unhealthy: ",
                        drive->state.reason()
                    )
                );
                if (canary->options_.changed)
                    (void)co_await as_result(canary->options_.changed(verdict));
            }
            co_await drive->wait();
        }
    };
    const auto ended = co_await as_result(forever(this, &driver));
    co_await driver.scope.close(CancelReason::shutdown);
    if (ended.error().code() != ErrorCode::cancelled) throw ended.error();
}

}  // namespace stator::inline component
