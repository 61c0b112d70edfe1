#include "component/running.hpp"

#include <chrono>
#include <source_location>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline component {

using namespace std::chrono_literals;
using discovery::RegistrationState;
using observe::InstanceState;

namespace {

// Parts of the time left at which what still runs is asked to stop, and killed.
constexpr double stop_at = 0.8;
constexpr double kill_at = 0.9;
// What a verdict may wait for the store: the next one comes soon.
constexpr Duration verdict_limit = 2s;

Task<> wait_for(Event* event) { co_await event->wait(); }

/// False when `deadline` came first.
Task<bool> wait_until(Event* event, Deadline deadline) {
    co_return (co_await as_result(with_deadline(deadline, wait_for(event)))).has_value();
}

void say(
    Severity severity,
    const std::string& line,
    std::source_location where = std::source_location::current()
) {
    sink().report(severity, "stator::component", line, where);
}

std::vector<discovery::ModelRecord> models_of(
    const EndpointId& id, InstanceId instance, const ServeOptions& options
) {
    if (options.model_card.empty()) return {};
    return {discovery::ModelRecord{.endpoint = id, .id = instance, .card = options.model_card}};
}

CanaryState::Config canary_config(const settings::HealthSettings& settings) {
    return {
        .idle_wait = settings.canary_wait,
        .timeout = settings.request_timeout,
        .stream_timeout = settings.stream_timeout,
        .busy_stall = settings.busy_stall,
    };
}

std::shared_ptr<StatsSource> stats_of(
    const ClusterState& cluster, const EndpointId& id, const ServeOptions& options
) {
    if (!options.stats) return nullptr;
    return std::make_shared<StatsSource>(
        options.stats, id.to_string(), cluster.runtime().blocking()
    );
}

}  // namespace

ServedEndpoint::Running::Running(
    std::shared_ptr<ClusterState> cluster,
    std::shared_ptr<Served> served,
    discovery::Instance record,
    const ServeOptions& options
)
    : cluster_{std::move(cluster)},
      served_{std::move(served)},
      publication_{
          cluster_, std::move(record), models_of(served_->id(), served_->instance(), options)
      },
      switch_{*cluster_, *served_, publication_},
      probe_{options.health_check},
      stats_{stats_of(*cluster_, served_->id(), options)},
      graceful_{options.graceful_shutdown} {}

Task<> ServedEndpoint::Running::leave_for_good(std::weak_ptr<Running> weak, Deadline deadline) {
    if (const auto running = weak.lock()) co_await running->shutdown(deadline);
}

Task<> ServedEndpoint::Running::start() {
    const auto self = shared_from_this();
    if (!probe_.empty() && cluster_->config().health.canaries) make_canary();
    // Before anybody can find it.
    cluster_->add(served_, self, [weak = weak_from_this()](Deadline deadline) {
        return leave_for_good(weak, deadline);
    });
    if (canary_) canary_token_ = cluster_->start_canary(canary_);
    const auto published = co_await as_result(make_callable());
    if (published) co_return;
    if (canary_) canary_token_.cancel();
    co_await shielded(end_subject(Deadline::in(verdict_limit)));
    cluster_->remove(*served_);
    throw published.error().with_context(fmt::format("publishing {}", served_->id().to_string()));
}

Task<> ServedEndpoint::Running::make_callable() {
    const auto& transport = publication_.record().transport;
    if (transport.kind == discovery::TransportKind::nats_tcp) {
        subject_ = co_await cluster_->serve_subject(
            served_->id(), served_->instance(), transport.address, stats_
        );
    }
    co_await publication_.publish();
}

Task<> ServedEndpoint::Running::end_subject(Deadline deadline) {
    if (subject_) co_await cluster_->end_subject(served_->id(), subject_, deadline);
    if (stats_) co_await stats_->end(deadline);
}

void ServedEndpoint::Running::make_canary() {
    Canary::Options options{
        .config = canary_config(cluster_->config().health), .payload = probe_, .changed = {}
    };
    if (cluster_->config().health.canary_withdraw) {
        options.changed = [weak = weak_from_this()](CanaryState::Verdict verdict) -> Task<> {
            return [](std::weak_ptr<Running> of, CanaryState::Verdict now) -> Task<> {
                if (const auto running = of.lock()) co_await running->on_verdict(now);
            }(weak, verdict);
        };
    }
    canary_ = std::make_shared<Canary>(served_, cluster_->runtime().primary(), std::move(options));
}

/// Only with `canary_withdraw`: whoever finds instances should not find this one while it is ill.
Task<> ServedEndpoint::Running::on_verdict(CanaryState::Verdict verdict) {
    const auto until = Deadline::in(verdict_limit);
    if (verdict == CanaryState::Verdict::unhealthy) {
        (void)co_await publication_.withdraw(until);
    } else {
        co_await with_deadline(until, publication_.publish());
    }
}

std::string_view ServedEndpoint::Running::name_of(Phase phase) noexcept {
    switch (phase) {
        case Phase::serving:
            return "serving";
        case Phase::unpublish:
            return "unpublish";
        case Phase::settle:
            return "settle";
        case Phase::finish:
            return "finish";
        case Phase::stop:
            return "stop";
        case Phase::kill:
            return "kill";
        case Phase::ended:
            return "ended";
    }
    return "unknown";
}

std::string ServedEndpoint::Running::waits_for(Phase phase) const {
    const auto requests = served_->inflight();
    switch (phase) {
        case Phase::unpublish:
            return "the store to forget its record";
        case Phase::settle:
            return "clients that look at records only";
        case Phase::finish:
            return fmt::format("{} requests", requests);
        case Phase::stop:
            return fmt::format("{} requests that were asked to stop", requests);
        case Phase::kill:
            return fmt::format("{} requests that were killed", requests);
        case Phase::serving:
        case Phase::ended:
            break;
    }
    return "nothing";
}

void ServedEndpoint::Running::enter(Phase phase) {
    const auto now = Loop::current()->now();
    const auto before = phase_.exchange(phase);
    if (before != Phase::serving) {
        observe::metrics()
            .gauge(
                "stator_shutdown_phase_seconds",
                "How long the phases of the latest shutdown took",
                {{"phase", std::string{name_of(before)}}}
            )
            .set(std::chrono::duration<double>(now - phase_begun_).count());
    }
    phase_begun_ = now;
    if (phase == Phase::ended) return;
    say(phase >= Phase::stop ? Severity::warn : Severity::info,
        fmt::format(
            "{}: {}: waiting for {}", served_->id().to_string(), name_of(phase), waits_for(phase)
        ));
}

/// Takes the record back and tells mux clients, both at once; waits for the settle time where there
/// is somebody who can be told by the record only.
Task<> ServedEndpoint::Running::leave(Deadline deadline) {
    auto* server = cluster_->running_server();
    // The frame speaks of the whole instance: not while other endpoints of it go on.
    if (!cluster_->serves_others(*served_)) server->drain(served_->instance(), "shutting down");
    enter(Phase::unpublish);
    const bool gone = co_await publication_.end(earliest(deadline, Deadline::in(2s)));
    if (!gone) {
        say(Severity::warn,
            fmt::format(
                "the record of {} could not be removed in time; it will run out",
                served_->id().to_string()
            ));
    }
    if (server->dynamo_connections() == 0 && !subject_) co_return;
    enter(Phase::settle);
    co_await sleep_until(earliest(deadline, Deadline::in(cluster_->config().settle)));
    // A server that hangs costs a part of what is left, so that all else still has its time.
    co_await end_subject(Deadline::in(std::min<Duration>(2s, deadline.remaining() / 4)));
}

std::size_t ServedEndpoint::Running::kill_requests() {
    const auto reached = served_->kill_all(CancelReason::shutdown);
    cluster_->runtime().shutdown_counts().killed += reached;
    return reached;
}

/// Waits until no request is left: by itself, then asked to stop, then killed.
Task<> ServedEndpoint::Running::drain(TimePoint begin, Deadline deadline) {
    switch_.end();
    if (!graceful_) kill_requests();
    if (served_->inflight() > 0) enter(Phase::finish);
    const auto part = [&](double share) {
        if (deadline.is_never()) return deadline;
        const auto whole = std::chrono::duration<double>(deadline.when() - begin);
        return Deadline::at(begin + std::chrono::duration_cast<Duration>(whole * share));
    };
    if (co_await wait_until(&served_->idle(), part(stop_at))) co_return;
    cluster_->runtime().shutdown_counts().stopped += served_->stop_all(CancelReason::shutdown);
    enter(Phase::stop);
    if (co_await wait_until(&served_->idle(), part(kill_at))) co_return;
    kill_requests();
    enter(Phase::kill);
    co_await wait_until(&served_->idle(), deadline);
}

Task<> ServedEndpoint::Running::shutdown(Deadline deadline) {
    const auto self = shared_from_this();
    if (leaving_.exchange(true)) {
        co_await shielded(wait_for(&ended_));
        co_return;
    }
    const auto begin = Loop::current()->now();
    if (canary_) canary_token_.cancel(CancelReason::shutdown);
    (void)co_await as_result(shielded(leave(deadline)));
    (void)co_await as_result(shielded(drain(begin, deadline)));
    enter(Phase::ended);
    cluster_->remove(*served_);
    served_->end_series();
    say(Severity::info, fmt::format("{} is no longer served here", served_->id().to_string()));
    ended_.set();
}

std::pair<InstanceState, std::string> ServedEndpoint::Running::standing() const {
    if (leaving_.load()) {
        const auto phase = phase_.load();
        return {
            InstanceState::draining,
            fmt::format("{}: waiting for {}", name_of(phase), waits_for(phase))
        };
    }
    if (served_->off_line()) {
        return {
            InstanceState::draining,
            fmt::format("taken off line by an operator; {} requests run", served_->inflight())
        };
    }
    if (canary_ && canary_->verdict() == CanaryState::Verdict::unhealthy)
        return {InstanceState::unhealthy, canary_->reason()};
    switch (publication_.state()) {
        case RegistrationState::unregistered:
        case RegistrationState::registering:
            return {InstanceState::starting, "not published yet"};
        case RegistrationState::recovering:
            return {
                InstanceState::recovering,
                "the store cannot be reached, has lost the record, or holds another's in its place"
            };
        case RegistrationState::registered:
        case RegistrationState::draining:
        case RegistrationState::gone:
            break;
    }
    if (canary_ && canary_->verdict() == CanaryState::Verdict::pending)
        return {InstanceState::starting, canary_->reason()};
    if (publication_.state() != RegistrationState::registered)
        return {InstanceState::draining, "its record is gone"};
    return {InstanceState::ready, ""};
}

observe::InstanceHealth ServedEndpoint::Running::health() const {
    auto [state, reason] = standing();
    return {
        .endpoint = served_->id().to_string(),
        .instance = served_->instance().to_string(),
        .state = state,
        .reason = std::move(reason),
        .registration = std::string{to_string(publication_.state())},
    };
}

std::optional<std::string> ServedEndpoint::Running::record() const {
    if (publication_.state() != RegistrationState::registered) return std::nullopt;
    auto text = discovery::to_record(publication_.record());
    if (!text) return std::nullopt;
    return std::move(*text);
}

std::vector<observe::RequestView> ServedEndpoint::Running::requests() const {
    return served_->requests();
}

std::shared_ptr<observe::InstanceControl> ServedEndpoint::Running::control() const {
    return {shared_from_this(), &switch_};
}

}  // namespace stator::inline component
