// A connected byte stream: a TCP socket, perhaps with TLS in between.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "stator/net/address.hpp"
#include "stator/runtime/task.hpp"

namespace stator::net {

class TlsSession;

/// Belongs to one loop. One reader and one writer at a time; closing ends both.
class Stream {
public:
    Stream() = default;
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    virtual ~Stream() = default;

    /// Reads at least one byte into `space` (one or two parts, filled in order); 0 at the end of
    /// the stream. Both the parts and their memory must stay until it completes. Errors:
    /// `disconnected`. Cancel safety: throws `cancelled`; nothing was read.
    virtual Task<std::size_t> read_some(std::span<const iovec> space) = 0;
    /// The same where a lost connection is no exception but the usual end.
    virtual Task<Result<std::size_t>> receive(std::span<const iovec> space) = 0;
    /// Writes what the kernel takes at once, in the order of `parts`; 0 when it takes nothing now.
    /// What was not taken is offered again first. Errors: `disconnected`. Never waits.
    virtual Result<std::size_t> try_write(std::span<const iovec> parts) noexcept = 0;
    /// Waits until `try_write` may take something. Errors: `disconnected`. Cancel safety: throws
    /// `cancelled`.
    virtual Task<> writable() = 0;
    /// Sends FIN after what was written; reading goes on.
    virtual void shutdown_write() noexcept = 0;
    /// Ends both directions; pending operations fail with `disconnected`. Idempotent.
    virtual void close() noexcept = 0;

    virtual const Address& local() const noexcept = 0;
    virtual const Address& remote() const noexcept = 0;
};

/// An accepted connection that belongs to no loop yet. Move-only; closes what nobody took.
class Accepted {
public:
    /// Of a listener, which has set what its connections inherit.
    Accepted(int descriptor, Address remote) noexcept;
    Accepted(Accepted&& other) noexcept;
    Accepted& operator=(Accepted&& other) noexcept;
    ~Accepted();
    /// A stream on the current loop. Errors (thrown): `disconnected` when the peer is gone already.
    std::unique_ptr<Stream> attach() &&;

    /// Reads what is there, on any loop, before it is known where the connection belongs: nothing
    /// if there is nothing yet, 0 at the end of the stream. Never waits. Errors: `disconnected`.
    Result<std::optional<std::size_t>> try_read(std::span<std::byte> space) noexcept;
    /// Waits on the current loop until `try_read` has something to say. Cancel safety: throws
    /// `cancelled`; nothing was read.
    Task<> readable();
    /// Closes so that the peer sees a reset.
    void reset() noexcept;

private:
    friend class Security;
    int descriptor_;
    Address remote_;
    std::unique_ptr<TlsSession> tls_;
};

/// A connection from here that belongs to no loop yet: what is said in one write needs none.
/// Move-only. Closing says a FIN: what was written still reaches the peer.
class Outgoing {
public:
    /// A socket towards a numeric address. Errors: as start_dial.
    static Result<Outgoing> open(Address address);
    /// Begins to connect, as start_dial does. Once. Errors: the same.
    Result<void> connect() noexcept;
    Outgoing(Outgoing&& other) noexcept;
    Outgoing& operator=(Outgoing&& other) noexcept;
    ~Outgoing();

    /// As Stream::try_write.
    Result<std::size_t> try_write(std::span<const iovec> parts) noexcept;
    /// A stream on the current loop. Errors (thrown): `disconnected`. Precondition: connect().
    std::unique_ptr<Stream> attach() &&;

private:
    friend class TcpStream;
    Outgoing(int descriptor, Address remote) noexcept;
    int descriptor_;
    Address remote_;
};

/// Connects to `address` (resolving a name, trying each address in turn), TCP_NODELAY set.
/// Errors: `unavailable` (refused, unreachable, unknown name), retryable; the caller bounds it with
/// `with_deadline`. Cancel safety: throws `cancelled`, the socket is closed.
Task<std::unique_ptr<Stream>> dial(Address address);

/// Begins to connect to a numeric address and does not wait: until the peer has answered,
/// `try_write` takes nothing and both waits wait; if it refuses, all three fail. Nothing bounds
/// that but the kernel. What the peer's kernel accepts at once, as on loopback, can be written to
/// at once. Errors: `unavailable` "net.cannot_connect" (no number, no route, refused at once),
/// `overloaded` "net.shortage" (no descriptor, memory or local port left).
Result<std::unique_ptr<Stream>> start_dial(const Address& address);

}  // namespace stator::net
