// The HTTP server that tells how a process is.
#pragma once

#include <memory>

#include "stator/net/security.hpp"
#include "stator/observe/health.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/settings/settings.hpp"
#include "stator/worker/engine_routes.hpp"

namespace stator::inline worker {

/// Serves the routes of docs/health.md on the secondary pool: it answers while every loop of the
/// primary one is held. A Worker has one by its settings; others make their own. Made, closed and
/// destroyed on one loop of the secondary pool.
class StatusServer {
public:
    struct Options {
        settings::Settings settings{};  ///< `system` rules, all is shown
        net::Security security{};       ///< of the server, where `system.tls` is set
        std::shared_ptr<observe::Health> health = observe::health();
        EngineRoutes engine{};
    };
    /// On the current loop. The runtime outlives the server. Errors (thrown): as
    /// net::Listener::bind.
    static Task<std::unique_ptr<StatusServer>> start(Runtime runtime, Options options);
    StatusServer(const StatusServer&) = delete;
    StatusServer& operator=(const StatusServer&) = delete;
    ~StatusServer();

    const net::Address& address() const noexcept;
    /// Answers what is in hand, until `deadline`; then waits for handlers of the application that
    /// do not end. Idempotent; never throws.
    Task<> close(Deadline deadline);

private:
    struct State;
    explicit StatusServer(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

}  // namespace stator::inline worker
