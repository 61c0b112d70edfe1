// A TCP socket as a stream.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include "stator/net/stream.hpp"

namespace stator::net {

class TcpStream final : public Stream {
public:
    /// One that is connected.
    explicit TcpStream(boost::asio::ip::tcp::socket socket);
    /// One that was accepted from `remote`. It does not delay: its listener does not.
    struct FromListener {};
    TcpStream(FromListener, boost::asio::ip::tcp::socket socket, Address remote);
    /// One that is being connected.
    explicit TcpStream(Outgoing outgoing);

    Task<std::size_t> read_some(std::span<const iovec> space) override;
    Task<Result<std::size_t>> receive(std::span<const iovec> space) override;
    Result<std::size_t> try_write(std::span<const iovec> parts) noexcept override;
    Task<> writable() override;
    void shutdown_write() noexcept override;
    void close() noexcept override;
    const Address& local() const noexcept override;
    const Address& remote() const noexcept override { return remote_; }

    /// Waits until there is something to read, or the end. Several tasks may. Errors and cancel
    /// safety: as `writable`.
    Task<> readable();
    /// For system calls that do not block.
    int descriptor() noexcept { return socket_.native_handle(); }

private:
    Result<std::size_t> outcome(const boost::system::error_code& code, std::size_t size) const;
    Task<> ready(boost::asio::ip::tcp::socket::wait_type direction);

    boost::asio::ip::tcp::socket socket_;
    mutable Address local_;  // once somebody asks
    Address remote_;
};

/// As net::dial and net::start_dial.
Task<std::unique_ptr<TcpStream>> dial_tcp(Address address);
Result<std::unique_ptr<TcpStream>> start_dial_tcp(const Address& address);

}  // namespace stator::net
