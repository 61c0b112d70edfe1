// One multiplexed connection, sans I/O: bytes and time in, events and bytes out.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "stator/base/bytes.hpp"
#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"
#include "stator/transport/mux_config.hpp"
#include "stator/transport/mux_handler.hpp"
#include "stator/transport/send_status.hpp"

namespace stator::transport {

enum class MuxRole : std::uint8_t { dialler, acceptor };

/// Numbers for metrics and tests.
struct MuxStats {
    std::uint64_t frames_in = 0;
    std::uint64_t frames_out = 0;
    std::uint64_t dropped_frames = 0;  ///< for streams that were over
    std::uint64_t violations = 0;      ///< of streams; a connection has at most one
    std::size_t streams = 0;           ///< not released
    std::size_t open_streams = 0;      ///< not over on the wire
    std::size_t unsent_answers = 0;    ///< complete and released, but waiting for credit
    std::size_t unwritten = 0;         ///< bytes that gather would give
    std::uint64_t held = 0;            ///< H: charges received and not taken
    std::uint64_t reserved = 0;        ///< of large messages, received or still to come
    std::int64_t credit_out = 0;       ///< what we may still send on the connection
    std::int64_t credit_in = 0;        ///< what the peer may still send on the connection
    Duration round_trip{0};            ///< of the last PING
};

/// The protocol machine of one connection, specified in docs/protocol/mux.md.
///
/// Owned by the connection's driver, which reads into receive_space, writes what gather gives
/// (best once per loop turn: ACCEPT and CREDIT frames are formed there) and keeps a timer at
/// next_timer. One thread. Nothing is cancelled here: streams end by events. Steady state allocates
/// nothing per frame.
class MuxSession {
public:
    /// `config` has passed its check; `handler` outlives the session. A dialler has output at once.
    MuxSession(MuxRole role, const MuxConfig& config, MuxHandler& handler, TimePoint now);
    MuxSession(const MuxSession&) = delete;
    MuxSession& operator=(const MuxSession&) = delete;
    /// Reports nothing; drops everything.
    ~MuxSession();

    // --- input
    /// Where the next bytes go: fills one or two vectors (readv), returns how many. Valid until the
    /// next call of received, feed or receive_space. None once closed.
    std::size_t receive_space(std::array<iovec, 2>& space);
    /// `size` bytes were read into receive_space. Delivers events.
    void received(std::size_t size, TimePoint now);
    /// Bytes that were read elsewhere, e.g. to sniff the protocol. Copies them.
    void feed(std::span<const std::byte> bytes, TimePoint now);

    // --- output
    bool has_output() const noexcept;
    /// Fills `vectors` with what is to be written, in order; returns how many are used. The memory
    /// stays valid and unchanged until `written` has covered it. Call at the end of a loop turn.
    std::size_t gather(std::span<iovec> vectors);
    /// The same before the end of a turn: what is in its final form already.
    std::size_t gather_early(std::span<iovec> vectors) const noexcept;
    /// Bytes in their final form.
    std::size_t output_size() const noexcept;
    /// The first `size` bytes were written. May deliver on_writable and on_uncongested.
    void written(std::size_t size, TimePoint now);

    // --- time
    /// When on_timer should be called; TimePoint::max(): never. May become earlier by open, watch,
    /// and when output appears; a timer that fires early is harmless.
    TimePoint next_timer() const noexcept;
    void on_timer(TimePoint now);
    /// Somebody depends on this connection even while no call is open: watch the peer's liveness.
    void watch(bool wanted, TimePoint now);
    bool suspect() const noexcept;

    // --- end of the connection
    /// Ends it politely, with a reason if there is one; streams end `disconnected`.
    void goodbye(std::optional<Error> error);
    /// The transport is gone. There is no output any more.
    void disconnected(const Error& cause);
    bool closed() const noexcept;
    bool ready() const noexcept;

    // --- caller's side
    /// Opens a call. `first` (null: none) is its first message, `end` says that no other follows;
    /// a message that must wait for credit is kept and sent later, without on_writable if `end`.
    /// Nothing is opened on failure: unavailable ("mux.not_ready", "mux.ids_exhausted",
    /// "mux.closed"), draining ("mux.draining", the peer's or ours), overloaded
    /// ("mux.too_many_streams", "mux.congested"), payload_too_large ("mux.message_too_large",
    /// "mux.head_too_large"), invalid_request ("mux.bad_head").
    Result<StreamId> open(
        const CallHead& head, const Bytes* first, bool end, void* context, TimePoint now
    );
    /// Asks the handler to finish; the stream goes on.
    void stop(StreamId stream, CancelReason reason);
    /// Ends the call at once; nothing more comes of it.
    void kill(StreamId stream, CancelReason reason);

    // --- worker's side
    /// The call is admitted. Costs a frame only if nothing else of the call leaves in this turn.
    void accept(StreamId stream);
    /// No handler saw the call, which ends.
    void refuse(StreamId stream, const Error& error);
    /// Ends the answer with an error, after what was sent before.
    void fail(StreamId stream, const Error& error);

    // --- both
    /// Sends a message; `end`: the last one. After `wait`, not before on_writable.
    SendStatus send(StreamId stream, Bytes message, bool end);
    /// The same from memory that need not outlive the call; copies (once, unless it must wait).
    SendStatus send_copy(StreamId stream, std::span<const std::byte> message, bool end);
    /// Whether the stream may send now: its half is open and no message waits. Tells after `open`
    /// whether the first message has left; if not, on_writable comes.
    bool writable(StreamId stream) const noexcept;
    /// Closes this half, after what was sent before. Ends the call if it is the worker's.
    void end(StreamId stream);
    /// Abandons the call at once in both directions; unsent messages are dropped.
    void reset(StreamId stream, const Error& error);
    /// The application took a message of `size` bytes. Once per message.
    void consumed(StreamId stream, std::size_t size);
    /// The owner has no more interest: no further event, the id is forgotten, its memory free. A
    /// call still going on is killed (caller) or failed as "mux.abandoned" (worker), except that a
    /// worker's answer whose end was given (send with `end`, end, fail) still leaves completely.
    /// Every stream, opened or received, is released once; unknown ids are ignored.
    void release(StreamId stream);
    void* context(StreamId stream) const noexcept;
    void set_context(StreamId stream, void* context) noexcept;

    // --- connection
    /// Tells the peer that the instance (none: every one) takes, or this dialler makes, no more
    /// calls.
    void drain(InstanceId instance, std::string_view reason);
    MuxRole role() const noexcept;
    const mux::Hello& peer() const noexcept;  ///< valid once ready
    MuxStats stats() const noexcept;

private:
    struct Core;
    std::unique_ptr<Core> core_;
};

}  // namespace stator::transport
