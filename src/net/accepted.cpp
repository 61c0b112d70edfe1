#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "net/tls_session.hpp"
#include "stator/net/stream.hpp"
#include "stator/runtime/readiness.hpp"

namespace stator::net {

Accepted::Accepted(int descriptor, Address remote) noexcept
    : descriptor_{descriptor}, remote_{std::move(remote)} {}

Result<std::optional<std::size_t>> Accepted::try_read(std::span<std::byte> space) noexcept {
    if (tls_) {
        const iovec part{space.data(), space.size()};
        return tls_->read({&part, 1});
    }
    for (;;) {
        const auto size = ::recv(descriptor_, space.data(), space.size(), MSG_DONTWAIT);
        if (size >= 0) return static_cast<std::size_t>(size);
        if (errno == EAGAIN || errno == EWOULDBLOCK) return std::nullopt;
        if (errno != EINTR) {
            return fail(
                ErrorCode::disconnected, "net.disconnected", std::system_category().message(errno)
            );
        }
    }
}

Task<> Accepted::readable() {
    if (tls_ && tls_->reads_after_write()) return runtime::writable(descriptor_);
    return runtime::readable(descriptor_);
}

void Accepted::reset() noexcept {
    if (descriptor_ < 0) return;
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(std::exchange(descriptor_, -1));
}

}  // namespace stator::net
