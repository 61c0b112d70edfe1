// The part of a cluster that events have.
#include <chrono>
#include <utility>
#include <variant>

#include "component/cluster_state.hpp"
#include "stator/net/host_setting.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline component {

namespace {

/// Of what a start has made when the end has gone on without it.
constexpr auto own_end = std::chrono::seconds{1};

Task<> until_set(Event* event) { co_await event->wait(); }

}  // namespace

Task<std::shared_ptr<events::EventBus>> ClusterState::open_event_bus() {
    using events::EventPlane;
    auto& loop = runtime_.secondary().loop(0);
    const bool alone = config_.discovery == DiscoveryBackend::memory || config_.fixed.has_value();
    events::EventBusOptions options;
    options.store = store_;
    options.lease = lease_;
    options.name = config_.memory_name;
    if (config_.event_plane == settings::EventPlane::nats) {
        options.plane = EventPlane::nats;
        if (!nats_ && !event_nats_)
            event_nats_ = co_await nats::Client::connect(loop, config_.nats);
        options.nats = nats_ ? nats_ : event_nats_;
    } else if (!alone) {
        options.plane = EventPlane::zmq;
        options.zmq.bind_host =
            co_await net::address_of_setting(config_.bind_host.value_or(local_host_));
        auto told = net::host_of_setting(config_.event_host);
        if (!told) throw told.error();
        options.zmq.advertise_host = std::move(*told);
        if (options.zmq.advertise_host.empty() &&
            net::Address{options.zmq.bind_host, 0}.is_wildcard())
            options.zmq.advertise_host = local_host_;
        options.zmq.module = config_.zmq_module;
    }
    co_return co_await events::EventBus::open(loop, std::move(options));
}

Task<std::shared_ptr<events::EventBus>> ClusterState::event_bus() {
    const auto self = shared_from_this();
    const auto permit = co_await event_bus_start_.acquire();
    if (!event_bus_ && !events_over_.is_set()) {
        // A start may take as long as a server takes to come: the end does not wait for that.
        auto first = co_await when_any(open_event_bus(), until_set(&events_over_));
        if (auto* const opened = std::get_if<0>(&first)) event_bus_ = std::move(*opened);
    }
    if (!events_over_.is_set()) co_return event_bus_;
    // Whoever ends it may not have waited.
    co_await shielded(close_what_is_open(Deadline::in(own_end)));
    throw Error{
        ErrorCode::unavailable, "events.closed", "this process's part in the cluster has ended"
    };
}

Task<> ClusterState::close_event_bus(Deadline deadline) {
    events_over_.set();
    auto turn = [](Semaphore* of) -> Task<Permit> { co_return co_await of->acquire(); };
    const auto permit = co_await as_result(with_deadline(deadline, turn(&event_bus_start_)));
    if (permit) co_await close_what_is_open(deadline);
}

Task<> ClusterState::close_what_is_open(Deadline deadline) {
    if (event_bus_) co_await event_bus_->close(deadline);
    if (event_nats_) co_await event_nats_.close(deadline);
}

}  // namespace stator::inline component
