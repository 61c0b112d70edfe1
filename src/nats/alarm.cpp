#include "nats/alarm.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <system_error>

#include "stator/base/error.hpp"

namespace stator::nats {

Alarm::Alarm() : descriptor_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
    if (descriptor_ >= 0) return;
    throw Error{ErrorCode::unavailable, "nats.descriptor", std::generic_category().message(errno)};
}

Alarm::~Alarm() { ::close(descriptor_); }

void Alarm::ring() noexcept {
    if (rung_.exchange(true)) return;
    const std::uint64_t one = 1;
    (void)!::write(descriptor_, &one, sizeof one);  // cannot fail: it is read before it overflows
}

void Alarm::quiet() noexcept {
    std::uint64_t rings = 0;
    (void)!::read(descriptor_, &rings, sizeof rings);
    // Only now: who rings from here on writes again.
    rung_.store(false);
}

}  // namespace stator::nats
