#include "stator/component/endpoint.hpp"

#include <fmt/format.h>

#include "component/cluster_state.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"

namespace stator::inline component {

using namespace std::chrono_literals;

namespace {

// Parts of the time left at which what still runs is asked to stop, and killed.
constexpr double stop_at = 0.8;
constexpr double kill_at = 0.9;

Task<> wait_for(Event* event) { co_await event->wait(); }

/// False when `deadline` came first.
Task<bool> wait_until(Event* event, Deadline deadline) {
    co_return (co_await as_result(with_deadline(deadline, wait_for(event)))).has_value();
}

discovery::Instance record_of(
    const EndpointId& id,
    InstanceId instance,
    const ClusterState::Advertised& address,
    const ServeOptions& options
) {
    discovery::Instance record;
    record.endpoint = id;
    record.id = instance;
    record.transport = {
        discovery::TransportKind::tcp,
        fmt::format("{}/{}/{}", address.numeric, instance.to_string(), id.to_path())
    };
    record.device_type = discovery::device_type_from_environment();
    record.request_plane_codec = options.codec;
    record.mux = discovery::MuxAddress{.address = address.mux, .tls = address.tls};
    return record;
}

std::vector<discovery::ModelRecord> models_of(
    const EndpointId& id, InstanceId instance, const ServeOptions& options
) {
    if (options.model_card.empty()) return {};
    return {discovery::ModelRecord{.endpoint = id, .id = instance, .card = options.model_card}};
}

}  // namespace

struct ServedEndpoint::Running {
    std::shared_ptr<ClusterState> cluster;
    std::shared_ptr<Served> served;
    discovery::Registration registration;
    std::atomic<bool> begun{false};
    Event ended;

    Task<> leave(Deadline deadline);
    Task<> drain(TimePoint begin, Deadline deadline);
};

/// Takes the record back and tells mux clients, both at once; waits for the settle time where there
/// is somebody who can be told by the record only.
Task<> ServedEndpoint::Running::leave(Deadline deadline) {
    auto* server = cluster->running_server();
    // The frame speaks of the whole instance: not while other endpoints of it go on.
    if (!cluster->serves_others(*served)) server->drain(served->instance(), "shutting down");
    const bool gone = co_await registration.unpublish(earliest(deadline, Deadline::in(2s)));
    if (!gone) {
        sink().report(
            Severity::warn,
            "stator::component",
            fmt::format(
                "the record of {} could not be removed in time; it will run out",
                served->id().to_string()
            )
        );
    }
    if (server->dynamo_connections() > 0)
        co_await sleep_until(earliest(deadline, Deadline::in(cluster->config().settle)));
}

/// Waits until no request is left: by itself, then asked to stop, then killed.
Task<> ServedEndpoint::Running::drain(TimePoint begin, Deadline deadline) {
    served->refuse_new();
    if (served->inflight() > 0) {
        sink().report(
            Severity::info,
            "stator::component",
            fmt::format("{}: waiting for {} requests", served->id().to_string(), served->inflight())
        );
    }
    const auto part = [&](double share) {
        if (deadline.is_never()) return deadline;
        const auto whole = std::chrono::duration<double>(deadline.when() - begin);
        return Deadline::at(begin + std::chrono::duration_cast<Duration>(whole * share));
    };
    auto& counts = cluster->runtime().shutdown_counts();
    if (co_await wait_until(&served->idle(), part(stop_at))) co_return;
    counts.stopped += served->stop_all(CancelReason::shutdown);
    if (co_await wait_until(&served->idle(), part(kill_at))) co_return;
    counts.killed += served->kill_all(CancelReason::shutdown);
    co_await wait_until(&served->idle(), deadline);
}

InstanceId ServedEndpoint::instance_id() const noexcept { return running_->served->instance(); }

std::size_t ServedEndpoint::inflight() const noexcept { return running_->served->inflight(); }

Task<> ServedEndpoint::shutdown(Deadline deadline) const {
    return [](std::shared_ptr<Running> running, Deadline until) -> Task<> {
        if (running->begun.exchange(true)) {
            co_await shielded(wait_for(&running->ended));
            co_return;
        }
        const auto begin = Loop::current()->now();
        (void)co_await as_result(shielded(running->leave(until)));
        (void)co_await as_result(shielded(running->drain(begin, until)));
        running->cluster->remove(*running->served);
        sink().report(
            Severity::info,
            "stator::component",
            fmt::format("{} is no longer served here", running->served->id().to_string())
        );
        running->ended.set();
    }(running_, deadline);
}

Task<ServedEndpoint> Endpoint::start_raw(Handler handler, ServeOptions options) const {
    return [](std::shared_ptr<ClusterState> cluster, EndpointId id, Handler raw, ServeOptions how
           ) -> Task<ServedEndpoint> {
        const auto address = co_await cluster->advertised();
        const auto instance = how.instance_id ? how.instance_id : cluster->instance_id();
        auto running = std::make_shared<ServedEndpoint::Running>();
        running->cluster = cluster;
        running->served = std::make_shared<Served>(
            id, instance, std::move(raw), how.max_inflight, cluster->loops()
        );
        cluster->add(running->served);  // before anybody can find it
        std::optional<Error> failure;
        try {
            running->registration = co_await cluster->discovery().publish(
                record_of(id, instance, address, how),
                models_of(id, instance, how),
                cluster->lease()
            );
        } catch (const Error& error) {
            failure = error;
        }
        if (failure) {
            cluster->remove(*running->served);
            throw failure->with_context(fmt::format("publishing {}", id.to_string()));
        }
        sink().report(
            Severity::info,
            "stator::component",
            fmt::format("serving {} as {:x} at {}", id.to_string(), instance.value(), address.mux)
        );
        co_return ServedEndpoint{std::move(running)};
    }(state_, id_, std::move(handler), std::move(options));
}

Task<> ServedEndpoint::run() const {
    return [](ServedEndpoint served) -> Task<> {
        const auto token = co_await current_token();
        co_await token.wait();
        const auto& runtime = served.running_->cluster->runtime();
        const auto shared = runtime.shutdown_deadline();
        co_await shielded(
            served.shutdown(shared.is_never() ? Deadline::in(runtime.graceful_timeout()) : shared)
        );
    }(*this);
}

Task<> Endpoint::serve_raw(Handler handler, ServeOptions options) const {
    return [](Endpoint endpoint, Handler raw, ServeOptions how) -> Task<> {
        const auto served = co_await endpoint.start_raw(std::move(raw), std::move(how));
        co_await served.run();
    }(*this, std::move(handler), std::move(options));
}

discovery::Discovery& Endpoint::discovery() const noexcept { return state_->discovery(); }

}  // namespace stator::inline component
