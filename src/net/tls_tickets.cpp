#include "net/tls_tickets.hpp"

#include <ctime>
#include <utility>

#include <openssl/x509.h>

namespace stator::net {

namespace {

bool is_good(SSL_SESSION* ticket) noexcept {
    const auto age = static_cast<long>(std::time(nullptr)) - SSL_SESSION_get_time(ticket);
    return SSL_SESSION_is_resumable(ticket) == 1 && age < SSL_SESSION_get_timeout(ticket) &&
           !certificate_expired(ticket);
}

}  // namespace

bool certificate_expired(SSL_SESSION* ticket) noexcept {
    const X509* const certificate = SSL_SESSION_get0_peer(ticket);
    return certificate != nullptr && X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0;
}

TlsTicket TlsTickets::take(const std::string& peer) {
    const std::lock_guard guard{lock_};
    const auto found = by_peer_.find(peer);
    if (found == by_peer_.end()) return nullptr;
    auto& tickets = found->second;
    while (!tickets.empty() && !is_good(tickets.back().get())) tickets.pop_back();
    if (tickets.empty()) return nullptr;
    // A copy, for OpenSSL spoils what it has used once.
    if (tickets.size() == 1) return TlsTicket{SSL_SESSION_dup(tickets.back().get())};
    auto ticket = std::move(tickets.back());
    tickets.pop_back();
    return ticket;
}

void TlsTickets::keep(const std::string& peer, TlsTicket ticket) {
    const std::lock_guard guard{lock_};
    auto [found, is_new] = by_peer_.try_emplace(peer);
    auto& tickets = found->second;
    if (tickets.size() == most_per_peer) tickets.erase(tickets.begin());
    tickets.push_back(std::move(ticket));
    if (!is_new) return;
    order_.push_back(peer);
    if (order_.size() <= most_peers) return;
    by_peer_.erase(order_.front());
    order_.pop_front();
}

std::size_t TlsTickets::peers() const {
    const std::lock_guard guard{lock_};
    return by_peer_.size();
}

}  // namespace stator::net
