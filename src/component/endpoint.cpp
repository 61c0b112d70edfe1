#include "stator/component/endpoint.hpp"

#include <fmt/format.h>

#include "component/cluster_state.hpp"
#include "component/running.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"

namespace stator::inline component {

namespace {

discovery::Instance record_of(
    const EndpointId& id,
    InstanceId instance,
    const ClusterState::Advertised& address,
    const ServeOptions& options,
    bool by_nats
) {
    discovery::Instance record;
    record.endpoint = id;
    record.id = instance;
    if (by_nats) {
        record.transport = {
            discovery::TransportKind::nats_tcp,
            fmt::format(
                "{}_{}.{}-{}", id.namespace_, id.component, id.endpoint, instance.to_string()
            )
        };
    } else {
        record.transport = {
            discovery::TransportKind::tcp,
            fmt::format("{}/{}/{}", address.numeric, instance.to_string(), id.to_path())
        };
    }
    record.device_type = discovery::device_type_from_environment();
    record.request_plane_codec = options.codec;
    record.mux = discovery::MuxAddress{
        .address = address.mux, .tls = address.tls, .draining = false, .epoch = address.epoch
    };
    return record;
}

}  // namespace

InstanceId ServedEndpoint::instance_id() const noexcept { return running_->served().instance(); }

std::size_t ServedEndpoint::inflight() const noexcept { return running_->served().inflight(); }

observe::InstanceHealth ServedEndpoint::health() const { return running_->health(); }

Task<> ServedEndpoint::shutdown(Deadline deadline) const { return running_->shutdown(deadline); }

Task<ServedEndpoint> Endpoint::start_raw(Handler handler, ServeOptions options) const {
    return [](std::shared_ptr<ClusterState> cluster, EndpointId id, Handler raw, ServeOptions how
           ) -> Task<ServedEndpoint> {
        const auto address = co_await cluster->advertised();
        const auto instance = how.instance_id ? how.instance_id : cluster->instance_id();
        auto running = std::make_shared<ServedEndpoint::Running>(
            cluster,
            std::make_shared<Served>(id, instance, std::move(raw), how, cluster->loops()),
            record_of(id, instance, address, how, static_cast<bool>(cluster->nats())),
            how
        );
        co_await running->start();
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
        const auto& runtime = served.running_->cluster().runtime();
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

observe::MetricScope Endpoint::metrics() const { return state_->metrics(labels_of(id_)); }

}  // namespace stator::inline component
