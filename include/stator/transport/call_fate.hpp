// CallFate: how far a call got that ended with an error.
#pragma once

#include <cstdint>

namespace stator::transport {

enum class CallFate : std::uint8_t {
    refused,       ///< The worker said that no handler saw it: it may be sent elsewhere.
    not_accepted,  ///< No sign of acceptance came; a handler may have begun it all the same.
    accepted,
};

}  // namespace stator::transport
