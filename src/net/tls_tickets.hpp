// What TLS servers gave us to be known by, so that the next connection costs less.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include <openssl/ssl.h>

namespace stator::net {

struct FreeTicket {
    void operator()(SSL_SESSION* ticket) const noexcept { SSL_SESSION_free(ticket); }
};
/// One reference of OpenSSL's session.
using TlsTicket = std::unique_ptr<SSL_SESSION, FreeTicket>;

/// Of one client context, by the address that was dialled: what was verified of a peer holds for
/// that address and that context only. Some servers take each ticket once, so a few are kept, and
/// each is used once while there are others. Thread-safe.
class TlsTickets {
public:
    static constexpr std::size_t most_per_peer = 8;
    static constexpr std::size_t most_peers = 1024;

    TlsTickets() = default;
    TlsTickets(const TlsTickets&) = delete;
    TlsTickets& operator=(const TlsTickets&) = delete;

    /// The latest for that peer which is still good; null: none.
    TlsTicket take(const std::string& peer);
    void keep(const std::string& peer, TlsTicket ticket);
    std::size_t peers() const;

private:
    mutable std::mutex lock_;
    std::unordered_map<std::string, std::vector<TlsTicket>> by_peer_;
    std::deque<std::string> order_;  // of by_peer_, oldest first
};

/// Whether the certificate that a ticket stands for is of no use any more: it is not looked at when
/// the ticket is.
bool certificate_expired(SSL_SESSION* ticket) noexcept;

}  // namespace stator::net
