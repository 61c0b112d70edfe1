#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <fmt/format.h>

#include "net/descriptor_io.hpp"
#include "net/tcp_stream.hpp"

namespace stator::net {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

namespace {

/// This process, or the machine, has no descriptor, memory or local port left.
bool is_shortage(int code) noexcept {
    return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM ||
           code == EADDRNOTAVAIL || code == EAGAIN;
}

Error cannot_connect(
    const Address& address,
    std::string_view why,
    ErrorCode kind = ErrorCode::unavailable,
    std::string detail = "net.cannot_connect"
) {
    return Error{
        kind, std::move(detail), fmt::format("cannot connect to {}: {}", address.to_string(), why)
    };
}

Error failed_to_connect(const Address& address, int code) {
    const auto why = std::system_category().message(code);
    if (!is_shortage(code)) return cannot_connect(address, why);
    return cannot_connect(address, why, ErrorCode::overloaded, "net.shortage");
}

/// What a peer says that is not read any more. With it unread, closing would reset the connection,
/// and what was written could be lost.
void discard_input(int descriptor) noexcept {
    constexpr int most_reads = 4;
    std::array<std::byte, 256> space;
    for (int i = 0; i < most_reads; ++i) {
        if (::recv(descriptor, space.data(), space.size(), MSG_DONTWAIT) <= 0) return;
    }
}

}  // namespace

Outgoing::Outgoing(int descriptor, Address remote) noexcept
    : descriptor_{descriptor}, remote_{std::move(remote)} {}

Outgoing::Outgoing(Outgoing&& other) noexcept
    : descriptor_{std::exchange(other.descriptor_, -1)}, remote_{std::move(other.remote_)} {}

Outgoing& Outgoing::operator=(Outgoing&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(remote_, other.remote_);
    return *this;
}

Outgoing::~Outgoing() {
    if (descriptor_ < 0) return;
    discard_input(descriptor_);
    ::close(descriptor_);
}

Result<Outgoing> Outgoing::open(Address address) {
    boost::system::error_code code;
    const auto ip = asio::ip::make_address(address.host, code);
    if (code) return std::unexpected{cannot_connect(address, "not a numeric address")};
    const int family = ip.is_v6() ? AF_INET6 : AF_INET;
    const int descriptor =
        ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (descriptor < 0) return std::unexpected{failed_to_connect(address, errno)};
    return Outgoing{descriptor, std::move(address)};
}

Result<void> Outgoing::connect() noexcept {
    boost::system::error_code code;
    const tcp::endpoint endpoint{asio::ip::make_address(remote_.host, code), remote_.port};
    const auto size = static_cast<socklen_t>(endpoint.size());
    if (::connect(descriptor_, endpoint.data(), size) == 0 || errno == EINPROGRESS) return {};
    return std::unexpected{failed_to_connect(remote_, errno)};
}

Result<std::size_t> Outgoing::try_write(std::span<const iovec> parts) noexcept {
    return write_now(descriptor_, parts, remote_);
}

std::unique_ptr<Stream> Outgoing::attach() && {
    return std::make_unique<TcpStream>(std::move(*this));
}

}  // namespace stator::net
