// How a process takes part in a cluster.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "stator/base/clock.hpp"
#include "stator/base/instance_id.hpp"
#include "stator/net/security.hpp"
#include "stator/settings/settings.hpp"
#include "stator/transport/dynamo_call_config.hpp"

namespace stator::inline component {

enum class DiscoveryBackend : std::uint8_t { memory, file };

/// `from_settings` fills it from the layered settings; tests and embedders change what they need.
struct DistributedConfig {
    DiscoveryBackend discovery = DiscoveryBackend::file;
    std::string file_root;  ///< of the file backend; empty: its default
    std::string memory_name =
        "default";  ///< of the memory backend: who shares a name shares the store
    /// What is bound, and what is published instead of it (a name, an address behind NAT).
    std::optional<std::string> bind_host;
    std::uint16_t bind_port = 0;
    std::optional<std::string> advertise_host;
    std::optional<std::uint16_t> advertise_port;
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
    /// The largest request frame of a Dynamo client.
    std::uint64_t max_dynamo_request = std::uint64_t{32} << 20U;
    settings::MuxSettings mux{};
    /// Of everything that listens and dials for requests.
    net::Security security{};

    /// Reads the files that TLS needs. Throws Error{invalid_request} for what is a setting but not
    /// available in this version, and for TLS settings of no use (net::Security::load).
    static DistributedConfig from_settings(const settings::Settings& settings);
};

}  // namespace stator::inline component
