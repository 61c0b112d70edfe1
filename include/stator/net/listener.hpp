// A listening TCP socket that survives running out of descriptors.
#pragma once

#include <memory>
#include <optional>

#include "stator/net/stream.hpp"

namespace stator::net {

/// Belongs to one loop. Accepts until closed: a lack of descriptors or memory is answered by
/// refusing the newest connection politely with the reserve descriptor, waiting with back-off, and
/// one log line per 10 s.
class Listener {
public:
    /// Binds and listens; port 0 takes a free one. On the current loop.
    /// Errors (thrown): `already_exists` when the port is in use, `invalid_request` for an address
    /// that cannot be bound here; both name the address.
    static Task<std::unique_ptr<Listener>> bind(Address address);
    /// As above; what is accepted resets its connection when it is closed, instead of keeping the
    /// port busy for a while: for many short connections whose last word has been read.
    static Task<std::unique_ptr<Listener>> bind_resetting(Address address);
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener();

    /// What is bound, with the real port.
    const Address& address() const noexcept;
    /// The next connection; nothing once closed. Cancel safety: throws `cancelled`, no connection
    /// is lost.
    Task<std::optional<Accepted>> accept();
    void close() noexcept;

private:
    struct State;
    explicit Listener(std::unique_ptr<State> state) noexcept;
    static Task<std::unique_ptr<Listener>> bind(Address address, bool resetting);
    std::unique_ptr<State> state_;
};

/// The local address that a connection to `remote` would use: what to bind and advertise so that
/// those who reach `remote` reach us, too. Sends nothing. Errors: `unavailable`.
Result<std::string> local_address_towards(const Address& remote);

/// The numeric address of `host`: itself if it is one, else what it resolves to.
/// Errors (thrown): `unavailable` naming the host. Cancel safety: throws `cancelled`.
Task<std::string> resolve(std::string host);

}  // namespace stator::net
