// Client: a connection to a NATS server.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "stator/base/deadline.hpp"
#include "stator/nats/message.hpp"
#include "stator/nats/options.hpp"
#include "stator/nats/subscription.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task.hpp"

namespace stator::nats {

class Session;

enum class ConnectionState : std::uint8_t { closed = 0, connected = 1, reconnecting = 2 };

struct ClientCounts {
    std::uint64_t in_messages = 0;
    std::uint64_t in_bytes = 0;
    std::uint64_t out_messages = 0;
    std::uint64_t out_bytes = 0;
    std::uint64_t connects = 0;  ///< how often a connection came about
    std::uint64_t unsent = 0;    ///< messages that were taken and then lost with the connection
};

/// A cheap copy over shared state; thread-safe, any loop. It connects once more whenever the
/// connection is lost, with growing pauses, and the server is told again of every subscription;
/// nothing ends the process.
///
/// A thread of its own writes, since writing may block; nothing here does. While there is no
/// connection nothing is kept for later: publishing fails, requests that wait for an answer end.
///
/// Errors of all: unavailable "nats.disconnected" (nothing was sent), "nats.closed";
/// payload_too_large "nats.too_large" for more than the server takes; overloaded "nats.congested"
/// when too much waits for the socket; invalid_request "nats.subject", "nats.header".
class Client {
public:
    /// Waits for a first connection until `startup_timeout`. Errors: invalid_request
    /// "nats.options"; unimplemented "nats.module"; unauthenticated "nats.authentication" and
    /// unavailable "nats.tls" at once; unavailable "nats.unreachable" with what was wrong last.
    /// Cancel safety: throws `cancelled`; what has begun is ended.
    static Task<Client> connect(Loop& loop, ClientOptions options);

    Client() noexcept = default;
    explicit operator bool() const noexcept { return session_ != nullptr; }

    /// Hands it to the thread that writes; in order. Whether anybody gets it is not known.
    Result<void> publish(Publication message) const;
    /// As `publish`, for whoever has several: they may wait until one is published or
    /// `send_queued`.
    Result<void> queue(Publication message) const;
    void send_queued() const noexcept;
    /// Publishes it and waits for the first answer. Errors: unavailable "nats.no_responders", at
    /// once when nobody has subscribed to the subject; deadline_exceeded "nats.no_reply";
    /// disconnected "nats.connection_lost": it may have been handled. Cancel safety: throws
    /// `cancelled`; the message may be sent, its answer is dropped.
    Task<Message> request(Publication message, Deadline deadline) const;
    /// The same with the options' time.
    Task<Message> request(Publication message) const;
    /// Returns when the server knows of it. Errors: invalid_request "nats.subject";
    /// deadline_exceeded "nats.no_reply". Cancel safety: throws `cancelled`, there is none then.
    Task<Subscription> subscribe(SubscribeOptions options) const;
    /// Waits until the server has got everything that was published before. Errors and cancel
    /// safety: as of `request`.
    Task<> flush(Deadline deadline) const;

    ConnectionState state() const noexcept;
    ClientCounts counts() const noexcept;
    /// The server's limit for payload and headers together, in bytes.
    std::size_t max_payload() const noexcept;
    /// Where it is connected, or was last: "nats://10.0.0.5:4222".
    std::string server() const;
    /// A subject below which nobody else answers: "_INBOX.7n3...".
    static std::string new_inbox();
    /// The loop that it was made for: where services run unless they are told otherwise.
    Loop& loop() const noexcept;

    /// Writes what waits, as far as `deadline` allows, then ends the connection. A server that is
    /// dead or hangs costs no more than that time. Idempotent; every subscription ends. Cancel
    /// safety: throws `cancelled`; it goes on in the background.
    Task<> close(Deadline deadline) const;

private:
    explicit Client(std::shared_ptr<Session> session) noexcept;
    static Task<Client> connect_here(Loop* loop, ClientOptions options);
    std::shared_ptr<Session> session_;
};

}  // namespace stator::nats
