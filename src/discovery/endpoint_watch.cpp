#include "stator/discovery/endpoint_watch.hpp"

#include <fmt/format.h>

#include "discovery/watch_core.hpp"
#include "stator/base/backoff.hpp"
#include "stator/base/random.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::discovery {

using namespace std::chrono_literals;

EndpointWatch::Core::Core(
    EndpointId endpoint,
    std::shared_ptr<store::KeyValueStore> store,
    std::shared_ptr<RecordReader> reader,
    const Options& options,
    const CancellationToken& parent
)
    : endpoint_{std::move(endpoint)},
      store_{std::move(store)},
      reader_{std::move(reader)},
      prober_{options.prober},
      probe_timeout_{options.probe_timeout},
      token_{parent.child_token()},
      table_{options.routing, os_random()},
      set_{std::make_shared<const InstanceSet>()} {}

Task<> EndpointWatch::Core::run() {
    const auto self = shared_from_this();
    TaskScope scope{token_};
    scope.spawn(follow());
    scope.spawn(keep_time());
    (void)co_await as_result(scope.join());
    co_await scope.close();
    if (!failure_ && !read_.is_set())
        failure_.emplace(ErrorCode::unavailable, "discovery.closed", "discovery is closed");
    over_.store(true);
    read_.set();
    set_.store(set_.load().value);  // wakes whoever waits for a change
}

/// The store ends a watch when it loses its own source; a new one begins with a snapshot.
Task<> EndpointWatch::Core::follow() {
    Backoff backoff{BackoffPolicy{.initial = 50ms, .max = 5s}};
    for (;;) {
        auto ended = co_await as_result(follow_once());
        if (ended) co_return token_.cancel();  // the store is closed
        if (ended.error().code() == ErrorCode::cancelled) throw ended.error();
        if (!read_.is_set()) {
            failure_ = ended.error();
            co_return token_.cancel();
        }
        sink().report(
            Severity::warn,
            "stator::discovery",
            fmt::format(
                "watching {}: {}; watching again", endpoint_.to_string(), ended.error().what()
            )
        );
        co_await sleep_for(backoff.next());
    }
}

Task<> EndpointWatch::Core::follow_once() {
    auto watch = co_await store_->watch(instances_prefix(endpoint_));
    while (auto event = co_await watch.next()) {
        take(std::move(*event));
        read_.set();
    }
}

void EndpointWatch::Core::take(store::WatchEvent event) {
    const auto now = Clock::current().now();
    const std::lock_guard guard{lock_};
    switch (event.kind) {
        case store::WatchEvent::Kind::snapshot: {
            std::vector<MemberTable::Record> records;
            for (auto& entry : event.entries) {
                if (auto instance = reader_->read(entry))
                    records.push_back({std::move(entry.key), std::move(instance)});
            }
            table_.snapshot(std::move(records), now);
            break;
        }
        case store::WatchEvent::Kind::put:
            if (auto instance = reader_->read(event.entry)) {
                table_.put({std::move(event.entry.key), std::move(instance)}, now);
            } else {
                table_.removed(event.entry.key, now);  // what was there is not what is there
            }
            break;
        case store::WatchEvent::Kind::removed:
            table_.removed(event.entry.key, now);
            break;
    }
    show();
}

void EndpointWatch::Core::show() {
    if (table_.changed()) set_.store(table_.build());
    poke();
}

void EndpointWatch::Core::poke() noexcept { changed_.advance(); }

/// Ends quarantines and lingering, and has probes made.
Task<> EndpointWatch::Core::keep_time() {
    TaskScope probes{co_await current_token()};
    std::optional<Error> end;
    try {
        for (;;) {
            const auto seen = changed_.version();
            auto next = TimePoint::max();
            {
                const auto now = Clock::current().now();
                const std::lock_guard guard{lock_};
                table_.tick(now);
                for (auto& instance : table_.take_probes(now))
                    probes.spawn(probe(std::move(instance)));
                if (table_.changed()) set_.store(table_.build());
                next = table_.next_wake();
            }
            const auto wait = [](VersionGate* gate, std::uint64_t from) -> Task<> {
                (void)co_await gate->wait_past(from);
            };
            const auto woken =
                co_await as_result(with_deadline(Deadline::at(next), wait(&changed_, seen)));
            if (!woken && woken.error().code() != ErrorCode::deadline_exceeded) throw woken.error();
        }
    } catch (const Error& error) {
        end = error;
    }
    co_await probes.close();
    throw *end;
}

Task<> EndpointWatch::Core::probe(std::shared_ptr<const Instance> instance) {
    const auto answered =
        co_await as_result(with_deadline(Deadline::in(probe_timeout_), prober_(instance)));
    if (!answered && answered.error().code() == ErrorCode::cancelled) co_return;
    report(instance->id, answered && *answered ? LinkEvent::healthy : LinkEvent::refused);
}

Task<> EndpointWatch::Core::wait_until_read() {
    co_await read_.wait();
    if (failure_) throw *failure_;
}

Task<std::shared_ptr<const InstanceSet>> EndpointWatch::Core::wait_for_change(std::uint64_t seen) {
    const auto self = shared_from_this();
    for (;;) {
        const auto present = set_.load();
        if (over_.load())
            throw Error{ErrorCode::unavailable, "discovery.closed", "discovery is closed"};
        if (present.value->version > seen) co_return present.value;
        (void)co_await set_.wait_past(present.version);
    }
}

void EndpointWatch::Core::report(InstanceId id, LinkEvent event) {
    const std::lock_guard guard{lock_};
    if (table_.report(id, event, Clock::current().now())) show();
}

void EndpointWatch::Core::report(std::string_view address, LinkEvent event) {
    const std::lock_guard guard{lock_};
    if (table_.report_address(address, event, Clock::current().now())) show();
}

EndpointWatch::EndpointWatch(std::shared_ptr<Core> core) noexcept : core_{std::move(core)} {}
EndpointWatch::~EndpointWatch() { core_->stop(); }

const EndpointId& EndpointWatch::endpoint() const noexcept { return core_->endpoint(); }

std::shared_ptr<const InstanceSet> EndpointWatch::instances() const {
    return core_->instances().load().value;
}

Snapshot<InstanceSet>::Reader EndpointWatch::reader() const {
    return Snapshot<InstanceSet>::Reader{core_->instances()};
}

Task<std::shared_ptr<const InstanceSet>> EndpointWatch::wait_for_change(std::uint64_t seen) const {
    return core_->wait_for_change(seen);
}

void EndpointWatch::report(InstanceId id, LinkEvent event) const { core_->report(id, event); }

}  // namespace stator::discovery
