#include "net/descriptor_io.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <system_error>

#include <fmt/format.h>

namespace stator::net {

Error disconnected(const Address& remote, std::string_view what) {
    return Error{
        ErrorCode::disconnected, "net.disconnected", fmt::format("{}: {}", remote.to_string(), what)
    };
}

Result<std::size_t> write_now(
    int descriptor, std::span<const iovec> parts, const Address& remote
) noexcept {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts.data());  // sendmsg does not write through it
    message.msg_iovlen = parts.size();
    for (;;) {
        const auto written = ::sendmsg(descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (written >= 0) return static_cast<std::size_t>(written);
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return 0;
        if (errno != EINTR)
            return std::unexpected{disconnected(remote, std::system_category().message(errno))};
    }
}

}  // namespace stator::net
