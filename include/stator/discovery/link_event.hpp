// What a transport has learnt about an instance or an address.
#pragma once

#include <cstdint>
#include <string_view>

namespace stator::discovery {

enum class LinkEvent : std::uint8_t {
    healthy = 1,   ///< connected, or the first answer after a silence
    silent = 2,    ///< pings are not answered; streams stay
    lost = 3,      ///< the connection ended without being asked to
    refused = 4,   ///< a dial failed
    draining = 5,  ///< it said that it takes no more requests
    gone = 6,      ///< it answered that it is not (or no longer) this instance
    closed = 7,    ///< we closed the connection: nothing is known any more
    refusing = 8,  ///< it refused a request as one that it cannot serve at all, or left it lying
    full = 9,      ///< it refused a request for want of room
};

std::string_view to_string(LinkEvent event) noexcept;

}  // namespace stator::discovery
