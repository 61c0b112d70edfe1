// Reading and writing a socket that nobody waits for.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string_view>

#include "stator/net/address.hpp"

namespace stator::net {

Error disconnected(const Address& remote, std::string_view what);
/// As Stream::try_write.
Result<std::size_t> write_now(
    int descriptor, std::span<const iovec> parts, const Address& remote
) noexcept;

}  // namespace stator::net
