// A small HTTP/1.1 server for those who look after a process: probes, scrapers, operators.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "stator/base/deadline.hpp"
#include "stator/http/routes.hpp"
#include "stator/net/security.hpp"
#include "stator/runtime/cancellation_token.hpp"

namespace stator::http {

/// Serves until it is closed. Made, closed and destroyed on one loop, on which all of it runs; its
/// owner closes it. Whatever a client does, it does to its own connection only: what is malformed,
/// too large or too slow is answered where possible, counted by name
/// (`stator_http_bad_requests_total`), and closed.
class Server {
public:
    struct Options {
        net::Address bind{"127.0.0.1", 0};
        Routes routes{};
        net::Security security{};   ///< speaks TLS if that serves it
        std::string name = "http";  ///< the label `server` of its metrics
        MessageLimits limits{};
        /// Beyond these, the one that has waited longest for its client's next request makes room.
        std::size_t max_connections = 512;
        Duration idle_timeout = std::chrono::seconds{75};     ///< between two requests
        Duration request_timeout = std::chrono::seconds{10};  ///< from a request's first byte on
        Duration handler_timeout = std::chrono::seconds{30};
        Duration write_timeout = std::chrono::seconds{10};  ///< for a reader that takes nothing
        CancellationToken parent{};                         ///< cancels everything at once
    };
    /// Binds and serves. Errors (thrown): as net::Listener::bind. Cancel safety: throws
    /// `cancelled`; nothing is left.
    static Task<std::unique_ptr<Server>> start(Options options);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server();

    /// What is bound, with the real port.
    const net::Address& address() const noexcept;
    std::size_t connections() const noexcept;

    /// Takes no more connections, closes those without a request; requests in hand are answered,
    /// until `deadline`. Idempotent; never throws.
    Task<> close(Deadline deadline);

private:
    struct State;
    explicit Server(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

}  // namespace stator::http
