// The connections of one kind that one loop has dialled, one per address.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "stator/base/backoff.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/transport/peer_observer.hpp"

namespace stator::transport {

/// A dial that did not come in time, or broke off in its handshake, as what it is to a caller: the
/// peer cannot be reached.
Error unreachable(const std::string& address, const Error& failure);

/// What a pool knows about the dials to one address. While `dialling`, callers wait for `dialled`.
struct DialState {
    explicit DialState(std::string address_) : address{std::move(address_)} {}
    const std::string address;
    bool dialling = false;
    Event dialled;
    std::optional<Error> failure;
    TimePoint retry_at{};
    Backoff backoff{
        BackoffPolicy{.initial = std::chrono::milliseconds{20}, .max = std::chrono::seconds{2}}
    };
};

/// Loop-affine. A dial is made once however many callers wait for it; after a failed one the
/// address is left alone for a jittered, growing while, in which callers get the failure at once.
/// Owned by the loop's user of connections; `close` before it dies.
template <class Connection>
class ConnectionPool {
public:
    ConnectionPool(const ConnectionPool&) = delete;
    ConnectionPool& operator=(const ConnectionPool&) = delete;
    virtual ~ConnectionPool() = default;

    /// The connection to `address` ("host:port") if it stands; null otherwise. Never waits.
    std::shared_ptr<Connection> established(const std::string& address) const {
        const auto found = peers_.find(address);
        if (found == peers_.end()) return nullptr;
        const auto& connection = found->second->connection;
        return connection && connection->usable() ? connection : nullptr;
    }
    /// That connection, dialling if need be.
    /// Errors: `unavailable` (net.cannot_connect, net.connect_timeout, and the handshake's),
    /// `invalid_request` for no address. Cancel safety: throws `cancelled`; the dial goes on for
    /// the others.
    Task<std::shared_ptr<Connection>> connect(std::string address) {
        if (auto connection = established(address)) co_return connection;
        auto& place = peers_[address];
        if (!place) place = std::make_shared<Peer>(address);
        const auto peer = place;  // the table may change while we wait
        if (!peer->dialling) {
            if (peer->failure && Loop::current()->now() < peer->retry_at) throw *peer->failure;
            peer->dialling = true;
            peer->dialled.reset();
            scope_.spawn(dial(peer));
        }
        co_await peer->dialled.wait();
        if (peer->failure) throw *peer->failure;
        co_return peer->connection;
    }
    std::size_t size() const noexcept { return peers_.size(); }

    /// Ends all connections, each in the way of its kind, and waits for it.
    Task<> close() { return scope_.close(CancelReason::shutdown); }

protected:
    ConnectionPool(Duration connect_timeout, PeerObserver* observer, CancellationToken transports)
        : observer_{observer}, connect_timeout_{connect_timeout}, scope_{std::move(transports)} {}

    const std::string* address_of(const Connection& connection) const noexcept {
        for (const auto& [address, peer] : peers_) {
            if (peer->connection.get() == &connection) return &address;
        }
        return nullptr;
    }
    void forget(const std::string& address) { peers_.erase(address); }
    PeerObserver* observer() const noexcept { return observer_; }
    TaskScope& scope() noexcept { return scope_; }

private:
    struct Peer : DialState {
        using DialState::DialState;
        std::shared_ptr<Connection> connection;
    };

    /// Dials and shakes hands; bounded by the caller.
    virtual Task<std::shared_ptr<Connection>> establish(std::string address) = 0;

    Task<> dial(std::shared_ptr<Peer> peer) {
        auto connected = co_await as_result(
            with_deadline(Deadline::in(connect_timeout_), establish(peer->address))
        );
        peer->dialling = false;
        if (connected) {
            peer->connection = std::move(*connected);
            peer->failure.reset();
            peer->backoff.reset();
            if (observer_ != nullptr) observer_->on_peer_connected(peer->address);
        } else {
            peer->failure = unreachable(peer->address, connected.error());
            peer->retry_at = Loop::current()->now() + peer->backoff.next();
            if (observer_ != nullptr && peer->failure->code() != ErrorCode::cancelled)
                observer_->on_peer_unreachable(peer->address, *peer->failure);
            forget_failures();
        }
        peer->dialled.set();
    }

    /// An address that nobody asked for since its last failure is of no interest any more.
    void forget_failures() {
        const auto now = Loop::current()->now();
        std::erase_if(peers_, [now](const auto& entry) {
            const Peer& peer = *entry.second;
            return !peer.connection && !peer.dialling && peer.failure &&
                   peer.retry_at + std::chrono::seconds{10} < now;
        });
    }

    PeerObserver* observer_;
    Duration connect_timeout_;
    std::unordered_map<std::string, std::shared_ptr<Peer>> peers_;
    TaskScope scope_;
};

}  // namespace stator::transport
