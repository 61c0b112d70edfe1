// The part of a cluster that NATS has.
#include <algorithm>

#include <fmt/format.h>

#include "component/cluster_state.hpp"
#include "stator/net/listener.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline component {

using namespace std::chrono_literals;

namespace {

/// What $SRV says: the release whose planes are spoken.
constexpr auto service_version = "1.6.1";

/// The first of the servers; 4222 unless it says another port.
Result<net::Address> first_server(std::string_view servers) {
    auto server = servers.substr(0, servers.find(','));
    server.remove_prefix(server.find("://") + 3);
    if (const auto at = server.find('@'); at != server.npos) server.remove_prefix(at + 1);
    const bool has_port = server.rfind(':') != server.npos && server.back() != ']';
    return net::Address::parse(has_port ? std::string{server} : fmt::format("{}:4222", server));
}

std::string component_of(const EndpointId& id) {
    return nats::service_name(id.namespace_, id.component);
}

nats::ServiceCounts counts_of(const transport::NatsSubject& served) {
    auto counts = served.counts();
    return {
        .requests = counts.requests,
        .errors = counts.refused,
        .processing_ns = counts.busy_ns,
        .last_error = std::move(counts.last_refusal),
    };
}

}  // namespace

Task<> ClusterState::connect_nats() {
    nats_ = co_await nats::Client::connect(runtime_.secondary().loop(0), config_.nats);
    if (etcd_) co_return;  // whoever reaches that may reach us
    auto server = first_server(nats_.server());
    if (!server) co_return;
    server->host = co_await net::resolve(server->host);
    if (auto local = net::local_address_towards(*server)) local_host_ = std::move(*local);
}

Task<std::shared_ptr<transport::RequestCarrier>> ClusterState::nats_carrier() {
    auto& side = sides_.current();
    if (!side.nats) {
        auto carrier = co_await transport::NatsCarrier::open(
            nats_, {.config = config_.dynamo, .transports = runtime_.transports_token()}
        );
        // Somebody of this loop may have been quicker.
        if (side.nats) {
            co_await carrier->close();
        } else {
            side.nats = std::move(carrier);
        }
    }
    co_return side.nats;
}

Task<std::shared_ptr<nats::Service>> ClusterState::service_of(EndpointId id) {
    auto& service = services_[component_of(id)];
    if (!service) {
        service = co_await nats::Service::start(
            nats_,
            {.name = component_of(id),
             .version = service_version,
             .description =
                 fmt::format("Dynamo component {} in namespace {}", id.component, id.namespace_)}
        );
    }
    co_return service;
}

Task<std::shared_ptr<transport::NatsSubject>> ClusterState::serve_subject(
    EndpointId id, InstanceId instance, std::string subject, std::shared_ptr<StatsSource> stats
) {
    const auto told = std::move(stats);
    auto* const to = co_await server();
    auto served = co_await to->serve_subject(
        nats_, subject, fmt::format("{}/{}", instance.to_string(), id.to_path())
    );
    const auto permit = co_await service_change_.acquire();
    const auto service = co_await as_result(service_of(id));
    if (!service) {
        co_await shielded(served->close(Deadline::in(std::chrono::seconds{1})));
        throw service.error();
    }
    nats::ServiceEndpoint endpoint{.subject = subject, .queue_group = "q", .counts = [served] {
                                       return counts_of(*served);
                                   }};
    if (told) endpoint.data = [told] { return told->ask(); };
    (*service)->add(std::move(endpoint));
    co_return served;
}

Task<> ClusterState::end_subject(
    EndpointId id, std::shared_ptr<transport::NatsSubject> subject, Deadline deadline
) {
    co_await subject->close(deadline);
    const auto permit = co_await service_change_.acquire();
    const auto found = services_.find(component_of(id));
    if (found == services_.end()) co_return;
    found->second->remove(subject->subject());
    if (found->second->endpoints() > 0) co_return;
    (void)co_await as_result(with_deadline(deadline, found->second->close()));
    services_.erase(found);
}

/// The names and values are the original's.
void ClusterState::collect_nats(observe::Samples& samples) const {
    const auto counts = nats_.counts();
    const auto gauge = [&](std::string_view name, std::string_view help, std::uint64_t value) {
        samples.gauge(
            fmt::format("dynamo_component_nats_client_{}", name),
            help,
            {{"instance_id", instance_id_.to_string()}},
            static_cast<double>(value)
        );
    };
    gauge("in_total_bytes", "Bytes received from NATS", counts.in_bytes);
    gauge("out_overhead_bytes", "Bytes sent to NATS", counts.out_bytes);
    gauge("in_messages", "Messages received from NATS", counts.in_messages);
    gauge("out_messages", "Messages sent to NATS", counts.out_messages);
    gauge("connects", "How often a connection to NATS came about", counts.connects);
    gauge(
        "connection_state",
        "The connection to NATS: 0 none, 1 connected, 2 connecting again",
        static_cast<std::uint64_t>(nats_.state())
    );
}

Task<> ClusterState::close_nats(Deadline deadline) {
    // A server that hangs costs a part of what is left: there is more to end than this.
    const auto soon = Deadline::in(std::min<Duration>(2s, deadline.remaining() / 4));
    auto turn = [](Semaphore* of) -> Task<Permit> { co_return co_await of->acquire(); };
    auto permit = co_await as_result(with_deadline(soon, turn(&service_change_)));
    if (!permit) {
        // Whoever has the turn waits for the server, and no longer than there is a connection.
        co_await nats_.close(soon);
        permit = co_await service_change_.acquire();
    }
    for (const auto& [name, service] : services_) {
        if (service) (void)co_await as_result(with_deadline(soon, service->close()));
    }
    services_.clear();
    co_await nats_.close(soon);
}

}  // namespace stator::inline component
