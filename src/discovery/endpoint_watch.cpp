#include "stator/discovery/endpoint_watch.hpp"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "discovery/endpoint_watch_core.hpp"
#include "discovery/lag_metric.hpp"
#include "stator/base/backoff.hpp"
#include "stator/base/random.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::discovery {

namespace {

RoutingPolicy policy_of(const Discovery::Options& options) {
    auto policy = options.routing;
    policy.probing = static_cast<bool>(options.prober);
    return policy;
}

}  // namespace

EndpointWatch::Core::Core(EndpointId endpoint_, Parts parts)
    : endpoint{std::move(endpoint_)},
      parts_{std::move(parts)},
      table_{policy_of(parts_.options), thread_random()()} {}

void EndpointWatch::Core::start() {
    auto& loop = parts_.store->loop();
    // Tasks of the scope, with the watch's own end besides the scope's.
    const auto run = [](std::shared_ptr<Core> core, Task<> task) -> Task<> {
        (void)co_await as_result(with_token(core->token, std::move(task)));
    };
    parts_.scope->spawn_on(loop, run(shared_from_this(), follow()));
    parts_.scope->spawn_on(loop, run(shared_from_this(), tend()));
}

/// Follows the store's watch. Before the first snapshot an error is the end, and the caller's who
/// asked for the watch; later the store is lost and found again, and the set stays what it was.
Task<> EndpointWatch::Core::follow() {
    Backoff backoff{BackoffPolicy{}};
    bool begun = false;
    for (;;) {
        auto ended = co_await as_result(follow_once(&begun));
        if (token.cancelled()) co_return;
        if (ended)
            ended = stator::fail(
                ErrorCode::unavailable, "discovery.closed", "the discovery store is closed"
            );
        if (!begun || ended.error().detail() == "discovery.closed" ||
            ended.error().detail() == "store.closed") {
            fail(ended.error());
            co_return;
        }
        sink().count("discovery_watch_losses_total", 1);
        if (backoff.attempts() == 0)
            sink().report(
                Severity::warn,
                "stator::discovery",
                fmt::format("the watch of {} broke: {}", endpoint.to_string(), ended.error().what())
            );
        co_await sleep_for(backoff.next());
    }
}

Task<> EndpointWatch::Core::follow_once(bool* begun) {
    auto watch = co_await parts_.store->watch(instances_prefix(endpoint));
    while (auto event = co_await watch.next()) {
        const auto learned = event->learned;  // the oldest comes first
        apply(std::move(*event));
        // What waits already goes into the same set.
        while (auto more = watch.try_next()) apply(std::move(*more));
        publish();
        // The first snapshot is no change.
        const std::chrono::duration<double> lag = Clock::current().now() - learned;
        if (*begun) lag_metric().observe(lag.count());
        *begun = true;
    }
}

void EndpointWatch::Core::apply(store::WatchEvent event) {
    using Kind = store::WatchEvent::Kind;
    if (event.kind == Kind::snapshot) {
        std::vector<MemberTable::Record> records;
        for (auto& entry : event.entries) {
            if (auto record = decode(std::move(entry))) records.push_back(std::move(*record));
        }
        const std::lock_guard guard{lock_};
        return table_.snapshot(std::move(records), now());
    }
    if (event.kind == Kind::put) {
        const auto key = event.entry.key;
        if (auto record = decode(std::move(event.entry))) {
            const std::lock_guard guard{lock_};
            return table_.put(std::move(*record));
        }
        event.entry.key = key;  // what replaced it cannot be used: it is gone
    }
    const std::lock_guard guard{lock_};
    table_.removed(event.entry.key, now());
}

std::optional<MemberTable::Record> EndpointWatch::Core::decode(store::Entry entry) {
    auto instance = from_record(entry.key, entry.value);
    if (!instance) {
        parts_.rejects->report(entry.key, entry.value, instance.error());
        return std::nullopt;
    }
    return MemberTable::Record{
        std::move(entry.key), std::make_shared<const Instance>(std::move(*instance))
    };
}

void EndpointWatch::Core::publish() {
    const std::lock_guard guard{lock_};
    publish_locked();
}

/// Hands out what has changed, and wakes `tend` if it has something to do earlier now.
void EndpointWatch::Core::publish_locked() {
    if (table_.changed()) set.store(table_.build());
    if (table_.next_wake() < planned_) sooner_.cancel();
}

Task<> EndpointWatch::Core::tend() {
    for (;;) {
        CancellationToken sooner;
        Deadline until;
        std::vector<std::shared_ptr<const Instance>> probes;
        {
            const std::lock_guard guard{lock_};
            table_.tick(now());
            probes = table_.take_probes(now());
            if (sooner_.cancelled()) sooner_ = CancellationToken::make();
            planned_ = table_.next_wake();
            publish_locked();
            sooner = sooner_;
            until = Deadline::at(planned_);
        }
        for (auto& instance : probes)
            parts_.scope->spawn(probe(shared_from_this(), std::move(instance)));
        co_await sleep_until(until, sooner);
    }
}

/// It may begin when nothing else holds the core any more.
Task<> EndpointWatch::Core::probe(
    std::shared_ptr<Core> core, std::shared_ptr<const Instance> instance
) {
    const auto& options = core->parts_.options;
    const auto deadline = Deadline::in(options.probe_timeout);
    const auto reached = co_await as_result(
        with_token(core->token, with_deadline(deadline, options.prober(instance)))
    );
    core->report(instance->id, reached && *reached ? LinkEvent::healthy : LinkEvent::refused);
}

void EndpointWatch::Core::report(InstanceId id, LinkEvent event) {
    const std::lock_guard guard{lock_};
    table_.report(id, event, now());
    publish_locked();
}

void EndpointWatch::Core::report_address(std::string_view address, LinkEvent event) {
    const std::lock_guard guard{lock_};
    table_.report_address(address, event, now());
    publish_locked();
}

void EndpointWatch::Core::fail(const Error& error) {
    {
        const std::lock_guard guard{lock_};
        if (failed_) return;
        failed_ = error;
        has_failed_.store(true, std::memory_order_release);
    }
    set.wake();
}

void EndpointWatch::Core::close() {
    fail(Error{ErrorCode::unavailable, "discovery.closed", "discovery is closed"});
    stop();
}

void EndpointWatch::Core::throw_if_failed() const {
    if (!has_failed_.load(std::memory_order_acquire)) return;
    const std::lock_guard guard{lock_};
    throw *failed_;
}

Task<> EndpointWatch::Core::started() {
    co_await set.wait_past(0);
    if (set.load().value->version == 0) throw_if_failed();
}

Task<std::shared_ptr<const InstanceSet>> EndpointWatch::Core::wait_for_change(std::uint64_t seen) {
    for (;;) {
        auto present = set.load();
        if (present.value->version > seen) co_return std::move(present.value);
        throw_if_failed();
        co_await set.wait_past(present.version);
    }
}

EndpointWatch::EndpointWatch(std::shared_ptr<Core> core) noexcept : core_{std::move(core)} {}
EndpointWatch::~EndpointWatch() { core_->stop(); }

const EndpointId& EndpointWatch::endpoint() const noexcept { return core_->endpoint; }

std::shared_ptr<const InstanceSet> EndpointWatch::instances() const {
    return core_->set.load().value;
}

Snapshot<InstanceSet>::Reader EndpointWatch::reader() const {
    return Snapshot<InstanceSet>::Reader{core_->set};
}

Task<std::shared_ptr<const InstanceSet>> EndpointWatch::wait_for_change(std::uint64_t seen) const {
    return [](std::shared_ptr<Core> core,
              std::uint64_t version) -> Task<std::shared_ptr<const InstanceSet>> {
        co_return co_await core->wait_for_change(version);
    }(core_, seen);
}

void EndpointWatch::report(InstanceId id, LinkEvent event) const { core_->report(id, event); }

}  // namespace stator::discovery
