// What went wrong in TLS, in words that help.
#pragma once

#include <string_view>

#include <openssl/ssl.h>

#include "stator/net/address.hpp"

namespace stator::net {

/// Of the failure in OpenSSL's queue. Whoever dialled gets `unavailable`, since no call was made
/// yet; whoever accepted gets `unauthenticated` where certificates are to blame, else `protocol`.
Error tls_failure(const SSL* ssl, const Address& peer, bool server, bool established);

/// Of a connection that went away without a farewell. `unavailable` for a dialler's handshake,
/// else `disconnected`.
Error lost_in_tls(const Address& peer, bool server, bool established, std::string_view how);

}  // namespace stator::net
