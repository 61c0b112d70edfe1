// How a process takes part in a cluster.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/base/instance_id.hpp"
#include "stator/discovery/instance.hpp"
#include "stator/nats/options.hpp"
#include "stator/net/security.hpp"
#include "stator/observe/health.hpp"
#include "stator/settings/settings.hpp"
#include "stator/store/etcd_client.hpp"
#include "stator/transport/dynamo_call_config.hpp"

namespace stator::inline component {

enum class DiscoveryBackend : std::uint8_t { memory, file, etcd };

/// `from_settings` fills it from the layered settings; tests and embedders change what they need.
struct DistributedConfig {
    DiscoveryBackend discovery = DiscoveryBackend::file;
    std::string file_root;  ///< of the file backend; empty: its default
    std::string memory_name =
        "default";              ///< of the memory backend: who shares a name shares the store
    store::EtcdOptions etcd{};  ///< of the etcd backend
    /// With it there is no discovery, whatever the backend: these are the instances that this
    /// process knows, for as long as it runs, and what it serves nobody finds. One that cannot be
    /// reached is tried again, as any other.
    std::optional<std::vector<discovery::Instance>> fixed;
    /// What records publish for foreign clients; our own plane is always served beside it. With
    /// NATS, instances of the same kind can be called by it, too, and `nats` is connected to.
    settings::RequestPlane request_plane = settings::RequestPlane::tcp;
    nats::ClientOptions nats{};
    /// How events travel. With discovery in memory, or none, they stay in the process unless it is
    /// NATS.
    settings::EventPlane event_plane = settings::EventPlane::zmq;
    std::string event_host{};  ///< what publishers over ZeroMQ are found at; empty: what they bind
    std::string zmq_module{};  ///< the file that speaks it; empty: looked for
    /// What is bound, and what is published instead of it (a name, an address behind NAT). None:
    /// the address from which etcd is reached, with that backend, or NATS; else 127.0.0.1.
    std::optional<std::string> bind_host;
    std::uint16_t bind_port = 0;
    std::optional<std::string> advertise_host;
    std::optional<std::uint16_t> advertise_port;
    /// False for tools that publish nothing: there is no lease to grant, renew and revoke. What is
    /// served all the same hangs on one that the store grants then.
    bool primary_lease = true;
    /// The runtime is asked to end once that lease is lost (Lease::losses), instead of going on
    /// with a new one.
    bool ends_with_lease = false;
    /// That lease is revoked as soon as the runtime is asked to end, not after the last request.
    bool revokes_first = false;
    /// The id of this process's endpoints unless an endpoint has its own; none: drawn at connect.
    InstanceId instance_id{};
    Duration connect_timeout = std::chrono::seconds{5};
    /// Where workers of the Dynamo plane connect to answer our calls, and what they are told of it.
    std::optional<std::string> response_host;
    std::uint16_t response_port = 0;
    std::optional<std::string> response_advertise_host;
    std::optional<std::uint16_t> response_advertise_port;
    transport::DynamoCallConfig dynamo{};
    /// After the records are gone, how long requests are still taken from clients that cannot be
    /// told.
    Duration settle = std::chrono::seconds{1};
    /// A request begins on a loop with less to do than its connection's while tasks hold that one
    /// longer than this at a time, on average; zero: whenever there is one.
    Duration long_step = std::chrono::microseconds{50};
    /// Calls of what this process serves itself take no socket.
    bool in_process_calls = true;
    /// The largest request frame of a Dynamo client.
    std::uint64_t max_dynamo_request = std::uint64_t{32} << 20U;
    settings::MuxSettings mux{};
    settings::HealthSettings health{};
    /// Where what is served here says how it stands; null: the process's.
    std::shared_ptr<observe::Health> health_state{};
    const std::shared_ptr<observe::Health>& health_of_process() const {
        return health_state ? health_state : observe::health();
    }
    /// Whoever can reach the request port may drain and resume what is served here; under TLS only
    /// with a client certificate.
    bool remote_control = false;
    /// Of everything that listens and dials for requests.
    net::Security security{};

    /// Reads the files that TLS needs. Throws Error{invalid_request} for settings of TLS, etcd and
    /// NATS of no use (net::Security::load, store::EtcdOptions, nats::ClientOptions).
    static DistributedConfig from_settings(const settings::Settings& settings);
};

}  // namespace stator::inline component
