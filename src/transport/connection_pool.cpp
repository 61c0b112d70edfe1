#include "stator/transport/connection_pool.hpp"

#include <fmt/format.h>

namespace stator::transport {

Error unreachable(const std::string& address, const Error& failure) {
    if (failure.code() == ErrorCode::deadline_exceeded) {
        return Error{
            ErrorCode::unavailable,
            "net.connect_timeout",
            fmt::format("no answer from {} within the connect timeout", address)
        };
    }
    // A handshake that breaks off is as good as a refused connection: nobody accepted anything.
    if (failure.code() == ErrorCode::disconnected) {
        return Error{
            ErrorCode::unavailable,
            "net.cannot_connect",
            fmt::format("cannot connect to {}", address)
        }
            .with_cause(failure);
    }
    return failure;
}

}  // namespace stator::transport
