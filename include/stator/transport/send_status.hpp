// SendStatus: what became of a message that was given to a request plane.
#pragma once

#include <cstdint>

namespace stator::transport {

enum class SendStatus : std::uint8_t {
    more,       ///< Taken; the next may follow at once.
    wait,       ///< Taken; the plane says when the next may follow.
    too_large,  ///< Not taken: the peer takes no message of that size.
    gone,       ///< Not taken: the stream is over or this half is closed.
};

}  // namespace stator::transport
