#include "stator/component/config.hpp"

#include <fmt/format.h>

#include "stator/base/error.hpp"

namespace stator::inline component {

namespace {

template <class T>
std::optional<T> unless(T value, const T& unset) {
    if (value == unset) return std::nullopt;
    return value;
}

Error not_available(std::string_view setting, std::string_view value, std::string_view available) {
    return Error{
        ErrorCode::invalid_request,
        "settings.not_available",
        fmt::format(
            "{}={} is not available in this version; available: {}", setting, value, available
        )
    };
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
            throw not_available("DYN_DISCOVERY_BACKEND", "etcd", "file, mem");
    }
    if (settings.request.plane != settings::RequestPlane::tcp) {
        throw not_available("DYN_REQUEST_PLANE", "nats", "tcp");
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
    config.long_step = settings.runtime.long_step;
    config.max_dynamo_request = settings.tcp.max_message_size;
    config.mux = settings.mux;
    auto security = net::Security::load(settings.tls);
    if (!security) throw security.error();
    config.security = std::move(*security);
    return config;
}

}  // namespace stator::inline component
