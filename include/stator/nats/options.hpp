// How a NATS server is reached.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"
#include "stator/settings/settings.hpp"

namespace stator::nats {

struct ClientOptions {
    /// "nats://host:port" or "tls://host:port", several with commas between them: of one cluster.
    std::string server = "nats://localhost:4222";
    std::string name = "stator";  ///< shown by the server

    // Who we are: the first of these that is set; none: user and password "user", as the original.
    std::string username{};
    std::string password{};
    std::string token{};
    std::string nkey{};              ///< the seed, "SU..."
    std::string credentials_file{};  ///< a JWT and a seed, as `nsc` writes them

    // Files in PEM. One of these set, or "tls://": TLS from the start.
    std::string ca_file{};
    std::string client_cert_file{};
    std::string client_key_file{};
    bool tls_insecure = false;  ///< whoever the server says it is

    Duration startup_timeout = std::chrono::seconds{120};  ///< for the first connection
    Duration connect_timeout = std::chrono::seconds{2};    ///< of one attempt at one server
    Duration request_timeout = std::chrono::seconds{10};
    /// How long the kernel may take nothing before the connection is given up.
    Duration write_timeout = std::chrono::seconds{2};
    Duration ping_interval = std::chrono::seconds{5};  ///< given up after two without an answer
    std::size_t most_unsent = std::size_t{32} << 20U;  ///< bytes that wait for the socket
    std::string module{};  ///< the file of the module that speaks with NATS; empty: looked for

    bool wants_tls() const noexcept;
    /// Errors: invalid_request "nats.options" naming the variable.
    Result<void> check() const;
    static Result<ClientOptions> from_settings(const settings::NatsSettings& settings);
};

}  // namespace stator::nats
