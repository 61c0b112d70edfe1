#include "stator/component/config.hpp"

#include "stator/base/error.hpp"

namespace stator::inline component {

namespace {

template <class T>
std::optional<T> unless(T value, const T& unset) {
    if (value == unset) return std::nullopt;
    return value;
}

}  // namespace

DistributedConfig DistributedConfig::from_settings(const settings::Settings& settings) {
    DistributedConfig config;
    switch (settings.discovery.backend) {
        case settings::DiscoveryBackend::mem:
            config.discovery = DiscoveryBackend::memory;
            break;
        case settings::DiscoveryBackend::file:
            config.discovery = DiscoveryBackend::file;
            break;
        case settings::DiscoveryBackend::etcd:
            config.discovery = DiscoveryBackend::etcd;
            break;
    }
    config.request_plane = settings.request.plane;
    config.event_plane = settings.event.plane;
    config.event_host = settings.event.host;
    config.zmq_module = settings.event.module;
    if (config.request_plane == settings::RequestPlane::nats ||
        config.event_plane == settings::EventPlane::nats) {
        auto nats = nats::ClientOptions::from_settings(settings.nats);
        if (!nats) throw nats.error();
        config.nats = std::move(*nats);
    }
    if (config.discovery == DiscoveryBackend::etcd) {
        auto etcd = store::EtcdOptions::from_settings(settings.etcd);
        if (!etcd) throw etcd.error();
        config.etcd = std::move(*etcd);
    }
    config.file_root = settings.discovery.file_root;
    config.bind_host = unless(settings.tcp.host, std::string{});
    config.bind_port = settings.tcp.port;
    config.advertise_host = unless(settings.tcp.advertise_host, std::string{});
    config.advertise_port = unless(settings.tcp.advertise_port, std::uint16_t{0});
    config.connect_timeout = settings.tcp.connect_timeout;
    config.response_host = unless(settings.tcp.response_host, std::string{});
    config.response_port = settings.tcp.response_port;
    config.response_advertise_host = unless(settings.tcp.response_advertise_host, std::string{});
    config.response_advertise_port = unless(settings.tcp.response_advertise_port, std::uint16_t{0});
    config.dynamo.ack_timeout = settings.tcp.request_timeout;
    config.dynamo.home_timeout = settings.tcp.call_home_timeout;
    config.dynamo.prologue_timeout = settings.tcp.prologue_timeout;
    config.dynamo.max_request = settings.tcp.max_message_size;
    config.settle = settings.worker.settle_time;
    config.ends_with_lease = settings.worker.on_lease_lost == settings::OnLeaseLost::shutdown;
    config.revokes_first = settings.worker.revoke == settings::RevokeTime::immediate;
    config.remote_control = settings.worker.remote_control;
    config.long_step = settings.runtime.long_step;
    config.max_dynamo_request = settings.tcp.max_message_size;
    config.mux = settings.mux;
    config.health = settings.health;
    auto security = net::Security::load(settings.tls);
    if (!security) throw security.error();
    config.security = std::move(*security);
    return config;
}

}  // namespace stator::inline component
