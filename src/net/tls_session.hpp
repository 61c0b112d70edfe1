// One TLS connection over a socket, for whoever waits for the socket.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/ssl.h>

#include "net/tls_tickets.hpp"
#include "stator/net/address.hpp"

namespace stator::net {

/// Belongs to nobody's loop, but to one at a time. Never waits: what cannot go on says so and is
/// asked again when the socket is readable, or writable if it `wants_write`. The handshake is part
/// of every operation. After a failure every operation fails with it. The socket is not owned.
class TlsSession {
public:
    /// The side that accepted.
    static std::unique_ptr<TlsSession> server(SSL_CTX* context, int socket, Address peer);
    /// The side that dialled: the peer's certificate must hold `name`, a DNS name or an address.
    /// `tickets` of that context and name are used and kept.
    static std::unique_ptr<TlsSession> client(
        SSL_CTX* context,
        int socket,
        Address peer,
        const std::string& name,
        std::string_view protocol,
        std::shared_ptr<TlsTickets> tickets
    );
    /// To be called on the context of dialled sessions: they keep what they are given.
    static void keep_tickets(SSL_CTX* context) noexcept;
    TlsSession(const TlsSession&) = delete;
    TlsSession& operator=(const TlsSession&) = delete;
    ~TlsSession();

    /// True once the handshake is done.
    Result<bool> shake_hands() noexcept;
    bool established() const noexcept { return established_; }
    /// Bytes were read: their number, 0 after the peer's farewell; nothing if there are none yet.
    Result<std::optional<std::size_t>> read(std::span<const iovec> space) noexcept;
    /// As Stream::try_write.
    Result<std::size_t> write(std::span<const iovec> parts) noexcept;
    /// True when nothing waits for the socket to take it.
    Result<bool> flush() noexcept;
    bool wants_write() const noexcept { return !pending_.empty(); }
    /// Whether a reader has to wait until the socket can be written first.
    bool reads_after_write() const noexcept {
        return wants_write() && (!established_ || finished_);
    }
    /// Says farewell after what was written and, as soon as that has left, ends the socket's
    /// sending side.
    void finish() noexcept;
    /// Says farewell if the socket takes it, and touches the socket no more.
    void close() noexcept;

private:
    class Parts;
    TlsSession(SSL_CTX* context, int socket, Address peer);

    static int on_ticket(SSL* ssl, SSL_SESSION* ticket) noexcept;
    void use_ticket();
    static BIO_METHOD* socket_method() noexcept;
    static int on_write(BIO* bio, const char* data, int size) noexcept;
    static int on_read(BIO* bio, char* data, int size) noexcept;
    static long on_control(BIO* bio, int command, long number, void* data) noexcept;
    int receive(BIO* bio, char* data, int size) noexcept;

    Error failed(int result) noexcept;
    Error why(int result) const noexcept;
    Error not_tls() const;
    Error closed() const;
    Error cannot_send(int code) noexcept;
    std::size_t decrypt(const iovec& part, bool only_rest, int& result) noexcept;
    Result<std::optional<std::size_t>> nothing_read(int result) noexcept;
    bool encrypt(Parts& parts) noexcept;
    Result<bool> send(std::span<const std::byte> bytes) noexcept;
    void finish_sending() noexcept;

    struct Free {
        void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
    };
    std::unique_ptr<SSL, Free> ssl_;
    int socket_;
    Address peer_;
    std::shared_ptr<TlsTickets> tickets_;  // of the side that dialled
    bool server_ = false;
    bool established_ = false;
    bool finishing_ = false;  // `finish` was asked for
    bool finished_ = false;   // and the farewell was written
    bool seen_any_ = false;   // of the peer
    bool foreign_ = false;    // it is not TLS what the peer speaks
    bool ended_ = false;      // the socket has no more to read
    bool only_buffered_ = false;
    int read_errno_ = 0;
    std::size_t owed_ = 0;  // see `write`
    std::vector<std::byte> pending_;
    std::optional<Error> failure_;
    std::optional<Error> send_failure_;
};

}  // namespace stator::net
