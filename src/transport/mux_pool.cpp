#include "stator/transport/mux_pool.hpp"

#include <fmt/format.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::transport {

using namespace std::chrono_literals;

/// What the pool knows about one address. While `dialling`, callers wait for `dialled`.
struct MuxPool::Peer {
    explicit Peer(std::string address_) : address{std::move(address_)} {}
    const std::string address;
    std::shared_ptr<MuxConnection> connection;
    bool dialling = false;
    Event dialled;
    std::optional<Error> failure;
    TimePoint retry_at{};
    Backoff backoff{BackoffPolicy{.initial = 20ms, .max = 2s}};
};

MuxPool::MuxPool(Options options) : options_{std::move(options)}, scope_{options_.transports} {}

MuxPool::~MuxPool() = default;

std::shared_ptr<MuxConnection> MuxPool::established(const std::string& address) const {
    const auto found = peers_.find(address);
    if (found == peers_.end() || !found->second->connection || !found->second->connection->usable())
        return nullptr;
    return found->second->connection;
}

Task<std::shared_ptr<MuxConnection>> MuxPool::connect(std::string address) {
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

Task<> MuxPool::dial(std::shared_ptr<Peer> peer) {
    auto connected = co_await as_result(
        with_deadline(Deadline::in(options_.connect_timeout), establish(peer->address))
    );
    peer->dialling = false;
    if (connected) {
        peer->connection = std::move(*connected);
        peer->failure.reset();
        peer->backoff.reset();
        if (options_.observer != nullptr) options_.observer->on_peer_connected(peer->address);
    } else {
        const bool timeout = connected.error().code() == ErrorCode::deadline_exceeded;
        peer->failure =
            timeout
                ? Error{ErrorCode::unavailable, "net.connect_timeout", fmt::format("no answer from {} within the connect timeout", peer->address)}
                : connected.error();
        // A handshake that breaks off is as good as a refused connection: nobody accepted anything.
        if (peer->failure->code() == ErrorCode::disconnected) {
            peer->failure =
                Error{
                    ErrorCode::unavailable,
                    "net.cannot_connect",
                    fmt::format("cannot connect to {}", peer->address)
                }
                    .with_cause(*peer->failure);
        }
        peer->retry_at = Loop::current()->now() + peer->backoff.next();
        if (options_.observer != nullptr && peer->failure->code() != ErrorCode::cancelled) {
            options_.observer->on_peer_unreachable(peer->address, *peer->failure);
        }
        forget_failures();
    }
    peer->dialled.set();
}

/// An address that nobody asked for since its last failure is of no interest any more.
void MuxPool::forget_failures() {
    const auto now = Loop::current()->now();
    std::erase_if(peers_, [now](const auto& entry) {
        const Peer& peer = *entry.second;
        return !peer.connection && !peer.dialling && peer.failure && peer.retry_at + 10s < now;
    });
}

Task<std::shared_ptr<MuxConnection>> MuxPool::establish(std::string address) {
    const auto parsed = net::Address::parse(address);
    if (!parsed) throw parsed.error();
    auto stream = co_await net::dial(*parsed);
    auto connection = std::make_shared<MuxConnection>(
        MuxRole::dialler,
        std::move(stream),
        MuxConnection::Options{
            .config = options_.config, .observer = this, .dispatcher = nullptr, .requests = {}
        }
    );
    scope_.spawn(keep(connection));
    const auto ready = co_await as_result(connection->ready());
    if (!ready) {
        connection->close();
        throw ready.error();
    }
    connection->watch(true);
    co_return connection;
}

Task<> MuxPool::keep(std::shared_ptr<MuxConnection> connection) { co_await connection->run(); }

Task<> MuxPool::close() { return scope_.close(CancelReason::shutdown); }

const std::string* MuxPool::address_of(const MuxConnection& connection) const noexcept {
    for (const auto& [address, peer] : peers_) {
        if (peer->connection.get() == &connection) return &address;
    }
    return nullptr;
}

void MuxPool::on_suspect(MuxConnection& connection) noexcept {
    const auto* address = address_of(connection);
    if (address != nullptr && options_.observer != nullptr)
        options_.observer->on_peer_suspect(*address);
}

void MuxPool::on_healthy(MuxConnection& connection) noexcept {
    const auto* address = address_of(connection);
    if (address != nullptr && options_.observer != nullptr)
        options_.observer->on_peer_healthy(*address);
}

void MuxPool::on_drain(MuxConnection& connection, InstanceId instance) noexcept {
    const auto* address = address_of(connection);
    if (address != nullptr && options_.observer != nullptr)
        options_.observer->on_peer_draining(*address, instance);
}

void MuxPool::on_closed(MuxConnection& connection, const Error& error) noexcept {
    const auto* known = address_of(connection);
    if (known == nullptr) return;  // it never got as far as the handshake
    const std::string address = *known;
    peers_.erase(address);
    if (options_.observer != nullptr) options_.observer->on_peer_lost(address, error);
}

}  // namespace stator::transport
