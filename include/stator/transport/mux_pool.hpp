// The multiplexed connections that one loop has dialled, one per peer.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "stator/net/security.hpp"
#include "stator/transport/connection_pool.hpp"
#include "stator/transport/mux_connection.hpp"

namespace stator::transport {

/// See ConnectionPool. `close` says goodbye to all peers. Errors of `connect`: also "mux...".
class MuxPool final : public ConnectionPool<MuxConnection>, ConnectionObserver {
public:
    struct Options {
        MuxConfig config{};
        net::Security security{};
        Duration connect_timeout = std::chrono::seconds{5};  ///< dial and handshake together
        PeerObserver* observer = nullptr;                    ///< outlives the pool
        CancellationToken transports{};
    };
    explicit MuxPool(const Options& options);

private:
    Task<std::shared_ptr<MuxConnection>> establish(std::string address) override;
    static Task<> keep(std::shared_ptr<MuxConnection> connection);

    void on_suspect(MuxConnection& connection) noexcept override;
    void on_healthy(MuxConnection& connection) noexcept override;
    void on_drain(MuxConnection& connection, InstanceId instance) noexcept override;
    void on_closed(MuxConnection& connection, const Error& error) noexcept override;

    const MuxConfig config_;
    const net::Security security_;
};

}  // namespace stator::transport
