// The connections that one loop has dialled, one per peer.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "stator/base/backoff.hpp"
#include "stator/transport/mux_connection.hpp"

namespace stator::transport {

/// Told what a pool learns about peers, by the address that was dialled. Called on the pool's loop;
/// must not throw.
class PeerObserver {
public:
    virtual ~PeerObserver() = default;
    /// The established connection is gone. Calls on it have ended.
    virtual void on_peer_lost(const std::string& address, const Error& cause) noexcept = 0;
    virtual void on_peer_unreachable(const std::string& address, const Error& cause) noexcept = 0;
    virtual void on_peer_connected(const std::string& address) noexcept = 0;
    /// No answer for a while; calls stay, and so does the connection.
    virtual void on_peer_suspect(const std::string& address) noexcept = 0;
    virtual void on_peer_healthy(const std::string& address) noexcept = 0;
    /// `instance` none: every instance at that address.
    virtual void on_peer_draining(const std::string& address, InstanceId instance) noexcept = 0;
};

/// Loop-affine. A dial is made once however many callers wait for it; after a failed one the
/// address is left alone for a jittered, growing while, in which callers get the failure at once.
/// Owned by the loop's user of connections; `close` before it dies.
class MuxPool : ConnectionObserver {
public:
    struct Options {
        MuxConfig config{};
        Duration connect_timeout = std::chrono::seconds{5};  ///< dial and handshake together
        PeerObserver* observer = nullptr;                    ///< outlives the pool
        CancellationToken transports{};
    };
    explicit MuxPool(Options options);
    ~MuxPool() override;

    /// The connection to `address` ("host:port") if it stands; null otherwise. Never waits.
    std::shared_ptr<MuxConnection> established(const std::string& address) const;
    /// That connection, dialling if need be.
    /// Errors: `unavailable` (net.cannot_connect, net.connect_timeout, mux...) , `invalid_request`
    /// for no address. Cancel safety: throws `cancelled`; the dial goes on for the others.
    Task<std::shared_ptr<MuxConnection>> connect(std::string address);
    std::size_t size() const noexcept { return peers_.size(); }

    /// Says goodbye to all peers and waits until the connections have ended.
    Task<> close();

private:
    struct Peer;
    Task<> dial(std::shared_ptr<Peer> peer);
    Task<std::shared_ptr<MuxConnection>> establish(std::string address);
    Task<> keep(std::shared_ptr<MuxConnection> connection);
    void forget_failures();
    const std::string* address_of(const MuxConnection& connection) const noexcept;

    void on_suspect(MuxConnection& connection) noexcept override;
    void on_healthy(MuxConnection& connection) noexcept override;
    void on_drain(MuxConnection& connection, InstanceId instance) noexcept override;
    void on_closed(MuxConnection& connection, const Error& error) noexcept override;

    Options options_;
    std::unordered_map<std::string, std::shared_ptr<Peer>> peers_;
    TaskScope scope_;
};

}  // namespace stator::transport
