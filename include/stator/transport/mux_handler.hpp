// What a multiplexed session tells its owner.
#pragma once

#include <cstdint>
#include <string_view>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/base/instance_id.hpp"
#include "stator/runtime/cancellation_token.hpp"
#include "stator/transport/call_fate.hpp"
#include "stator/transport/call_head.hpp"
#include "stator/transport/mux_hello.hpp"

namespace stator::transport {

using StreamId = std::uint32_t;

/// Receives the events of one session, called from inside MuxSession's methods.
///
/// Callbacks may call any method of the session except its destructor, received, feed, written,
/// gather, on_timer and disconnected; they must not throw. `context` is what open or on_open set.
/// A stream ends with exactly one of: on_message with `end` / on_end (caller), on_error (caller),
/// on_kill / on_reset (worker); or with none if this side ended it. No event of a stream comes
/// after its end or its release.
class MuxHandler {
public:
    virtual ~MuxHandler() = default;

    /// The handshake is complete: calls may be opened, `peer` has the other side's limits.
    virtual void on_ready(const mux::Hello& peer) = 0;

    // --- worker's side
    /// A call. `first` is its first message (null: none, or still incomplete and to come by
    /// on_message); `end`: no further message follows. `head` lives until this returns. The result
    /// becomes the stream's context. Answer with accept, refuse, send, end or fail, now or later,
    /// and release the stream in the end, whatever happened.
    virtual void* on_open(StreamId stream, const CallHead& head, const Bytes* first, bool end) = 0;
    virtual void on_stop(StreamId stream, void* context, CancelReason reason) = 0;
    virtual void on_kill(StreamId stream, void* context, CancelReason reason) = 0;
    /// The peer abandoned the call or the connection is gone; like a kill with a cause.
    virtual void on_reset(StreamId stream, void* context, const Error& error) = 0;

    // --- caller's side
    /// An ACCEPT frame came. A message, an end or an unrefused error imply acceptance without it.
    virtual void on_accept(StreamId stream, void* context) = 0;
    virtual void on_error(StreamId stream, void* context, const Error& error, CallFate fate) = 0;

    // --- both
    /// A whole message; `end`: the last one. Give its credit back with `consumed` when it is taken.
    /// It is a slice of a receive block: what is queued for longer should be `compact()`ed.
    virtual void on_message(StreamId stream, void* context, Bytes message, bool end) = 0;
    /// The other side's half was closed without a further message.
    virtual void on_end(StreamId stream, void* context) = 0;
    /// The message for which `send` said `wait` has left; the next may be sent.
    virtual void on_writable(StreamId stream, void* context) = 0;

    // --- connection
    /// `open` may be tried again after it failed with "mux.congested".
    virtual void on_uncongested() {}
    /// The instance (none: all of this peer) takes no new calls.
    virtual void on_drain(InstanceId instance, std::string_view reason) = 0;
    virtual void on_suspect() = 0;
    virtual void on_healthy() = 0;
    /// Stream ids run out: open a new connection for further calls. Comes once.
    virtual void on_replace() {}
    /// The peer broke the contract on one stream (its end is reported apart): for counters.
    virtual void on_violation(StreamId, std::string_view /*detail*/) {}
    /// The connection is over; the ends of all streams were reported before. Write what `gather`
    /// still gives, if the transport works, and close. Comes exactly once.
    virtual void on_closed(const Error& error) = 0;
};

}  // namespace stator::transport
