#include "net/tcp_stream.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <fmt/format.h>

#include "net/descriptor_io.hpp"
#include "net/endpoints.hpp"
#include "net/tls_stream.hpp"
#include "stator/runtime/asio.hpp"

namespace stator::net {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using ErrorCodeOf = boost::system::error_code;

namespace {

[[noreturn]] void throw_cancelled() {
    throw Error{ErrorCode::cancelled, "cancelled while waiting for a socket"};
}

std::array<asio::mutable_buffer, 2> buffers_of(std::span<const iovec> space) noexcept {
    std::array<asio::mutable_buffer, 2> parts{};
    for (std::size_t i = 0; i < std::min(space.size(), parts.size()); ++i)
        parts[i] = asio::buffer(space[i].iov_base, space[i].iov_len);
    return parts;
}

asio::any_io_executor current_reactor() { return reactor_of(*Loop::current()); }

}  // namespace

Address to_address(const tcp::endpoint& endpoint) {
    return {endpoint.address().to_string(), endpoint.port()};
}

TcpStream::TcpStream(tcp::socket socket) : socket_{std::move(socket)} {
    ErrorCodeOf code;
    socket_.set_option(tcp::no_delay{true}, code);
    socket_.non_blocking(true, code);
    if (!code) local_ = to_address(socket_.local_endpoint(code));
    if (!code) remote_ = to_address(socket_.remote_endpoint(code));
    if (code) throw Error{ErrorCode::disconnected, "net.disconnected", code.message()};
}

TcpStream::TcpStream(FromListener, tcp::socket socket, Address remote)
    : socket_{std::move(socket)}, remote_{std::move(remote)} {
    ErrorCodeOf code;
    socket_.non_blocking(true, code);
    if (code) throw Error{ErrorCode::disconnected, "net.disconnected", code.message()};
}

TcpStream::TcpStream(Outgoing outgoing)
    : socket_{current_reactor()}, remote_{std::move(outgoing.remote_)} {
    const bool six = remote_.host.find(':') != std::string::npos;
    ErrorCodeOf code;
    socket_.assign(six ? tcp::v6() : tcp::v4(), outgoing.descriptor_, code);
    if (!code) {
        outgoing.descriptor_ = -1;
        socket_.set_option(tcp::no_delay{true}, code);
    }
    if (!code) socket_.native_non_blocking(true, code);
    if (code) throw disconnected(remote_, code.message());
}

Task<std::size_t> TcpStream::read_some(std::span<const iovec> space) {
    const auto parts = buffers_of(space);
    const auto [code, size] = co_await socket_.async_read_some(parts, use_task);
    auto read = outcome(code, size);
    if (!read) throw read.error();
    co_return *read;
}

Task<Result<std::size_t>> TcpStream::receive(std::span<const iovec> space) {
    const auto parts = buffers_of(space);
    const auto [code, size] = co_await socket_.async_read_some(parts, use_task);
    co_return outcome(code, size);
}

Result<std::size_t> TcpStream::try_write(std::span<const iovec> parts) noexcept {
    if (!socket_.is_open()) return std::unexpected{disconnected(remote_, "closed")};
    return write_now(socket_.native_handle(), parts, remote_);
}

Task<> TcpStream::writable() { return ready(tcp::socket::wait_write); }
Task<> TcpStream::readable() { return ready(tcp::socket::wait_read); }

void TcpStream::shutdown_write() noexcept {
    ErrorCodeOf ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
}

void TcpStream::close() noexcept {
    ErrorCodeOf ignored;
    socket_.close(ignored);
}

const Address& TcpStream::local() const noexcept {
    ErrorCodeOf ignored;
    if (local_.host.empty()) local_ = to_address(socket_.local_endpoint(ignored));
    return local_;
}

/// Throws `cancelled` only.
Result<std::size_t> TcpStream::outcome(const ErrorCodeOf& code, std::size_t size) const {
    if (!code) return size;
    if (code == asio::error::eof) return 0;
    if (code == asio::error::operation_aborted && socket_.is_open()) throw_cancelled();
    return std::unexpected{disconnected(remote_, code.message())};
}

Task<> TcpStream::ready(tcp::socket::wait_type direction) {
    const auto code = co_await socket_.async_wait(direction, use_task);
    if (!code) co_return;
    if (code == asio::error::operation_aborted && socket_.is_open()) throw_cancelled();
    throw disconnected(remote_, code.message());
}

Accepted::Accepted(Accepted&& other) noexcept
    : descriptor_{std::exchange(other.descriptor_, -1)},
      remote_{std::move(other.remote_)},
      tls_{std::move(other.tls_)} {}

Accepted& Accepted::operator=(Accepted&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(remote_, other.remote_);
    std::swap(tls_, other.tls_);
    return *this;
}

Accepted::~Accepted() {
    if (descriptor_ < 0) return;
    if (tls_) tls_->close();
    ::close(descriptor_);
}

std::unique_ptr<Stream> Accepted::attach() && {
    tcp::socket socket{current_reactor()};
    ErrorCodeOf code;
    const bool six = remote_.host.find(':') != std::string::npos;
    socket.assign(six ? tcp::v6() : tcp::v4(), descriptor_, code);
    if (code) throw Error{ErrorCode::disconnected, "net.disconnected", code.message()};
    descriptor_ = -1;
    auto stream = std::make_unique<TcpStream>(
        TcpStream::FromListener{}, std::move(socket), std::move(remote_)
    );
    if (!tls_) return stream;
    return std::make_unique<TlsStream>(std::move(stream), std::move(tls_));
}

Task<std::unique_ptr<TcpStream>> dial_tcp(Address address) {
    const auto unavailable = [&address](const ErrorCodeOf& code) {
        return Error{
            ErrorCode::unavailable,
            "net.cannot_connect",
            fmt::format("cannot connect to {}: {}", address.to_string(), code.message())
        };
    };
    tcp::socket socket{current_reactor()};
    ErrorCodeOf numeric;
    const auto ip = asio::ip::make_address(address.host, numeric);
    ErrorCodeOf failure;
    if (!numeric) {
        failure = co_await socket.async_connect(tcp::endpoint{ip, address.port}, use_task);
    } else {
        tcp::resolver resolver{current_reactor()};
        auto [code, found] =
            co_await resolver.async_resolve(address.host, std::to_string(address.port), use_task);
        failure = code;
        if (!code) {
            auto [connect_code, endpoint] = co_await asio::async_connect(socket, found, use_task);
            failure = connect_code;
        }
    }
    if (failure == asio::error::operation_aborted) throw_cancelled();
    if (failure) throw unavailable(failure);
    co_return std::make_unique<TcpStream>(std::move(socket));
}

Result<std::unique_ptr<TcpStream>> start_dial_tcp(const Address& address) {
    auto outgoing = Outgoing::open(address);
    if (!outgoing) return std::unexpected{std::move(outgoing).error()};
    if (auto begun = outgoing->connect(); !begun) return std::unexpected{std::move(begun).error()};
    return std::make_unique<TcpStream>(std::move(*outgoing));
}

Task<std::unique_ptr<Stream>> dial(Address address) {
    co_return co_await dial_tcp(std::move(address));
}

Result<std::unique_ptr<Stream>> start_dial(const Address& address) {
    return start_dial_tcp(address);
}

}  // namespace stator::net
