// Keys of NATS: Ed25519 in the server's spelling.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace stator::nats {

/// The public key ("U...") of a seed ("SU..."); nothing if it is none, or mistyped: it has a check
/// sum. The spelling is base32 of a type, the key and a CRC-16, as NATS documents it.
std::optional<std::string> public_key_of(std::string_view seed);

}  // namespace stator::nats
