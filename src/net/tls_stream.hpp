// TLS over a TCP socket as a stream.
#pragma once

#include <memory>
#include <utility>

#include "net/tcp_stream.hpp"
#include "net/tls_session.hpp"
#include "stator/base/deadline.hpp"

namespace stator::net {

/// As Stream, with the handshake in whatever waits first. `close` says farewell, a destructor does
/// not: the peer can tell an end from a cut.
class TlsStream final : public Stream {
public:
    TlsStream(std::unique_ptr<TcpStream> socket, std::unique_ptr<TlsSession> session) noexcept
        : socket_{std::move(socket)}, session_{std::move(session)} {}

    Task<std::size_t> read_some(std::span<const iovec> space) override;
    Task<Result<std::size_t>> receive(std::span<const iovec> space) override;
    Result<std::size_t> try_write(std::span<const iovec> parts) noexcept override;
    Task<> writable() override;
    void shutdown_write() noexcept override;
    void close() noexcept override;
    const Address& local() const noexcept override { return socket_->local(); }
    const Address& remote() const noexcept override { return socket_->remote(); }

    /// Errors: see Security. Cancel safety: throws `cancelled`; may be called again.
    Task<> shake_hands();
    TcpStream& socket() noexcept { return *socket_; }

private:
    Task<> reads_again();
    std::unique_ptr<TcpStream> socket_;
    std::unique_ptr<TlsSession> session_;  // uses the socket
};

}  // namespace stator::net
