// One call, from the caller's side, whatever request plane it is on.
#pragma once

#include <optional>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/runtime/cancellation_token.hpp"
#include "stator/runtime/signal.hpp"
#include "stator/runtime/task.hpp"
#include "stator/transport/call_fate.hpp"
#include "stator/transport/call_head.hpp"
#include "stator/transport/message_queue.hpp"
#include "stator/transport/send_status.hpp"

namespace stator::transport {

/// Told by a call whose request is a stream what becomes of it, on the connection's loop and from
/// inside its parser. Must not throw, nor drop the call.
class CallWriter {
public:
    virtual ~CallWriter() = default;
    /// `can_send` is true again.
    virtual void on_writable() noexcept = 0;
    /// The call has ended: nothing that is sent will be read.
    virtual void on_ended() noexcept = 0;
};

/// Lives in the frame of the coroutine that makes the call; pinned. Loop-affine: the loop on which
/// it was made. Dropping it while the call goes on kills the call at the worker. One `next` at a
/// time.
class ClientCall {
public:
    ClientCall(const ClientCall&) = delete;
    ClientCall& operator=(const ClientCall&) = delete;
    virtual ~ClientCall() = default;

    /// Sends the call with its only request message. A stop that came before goes with it. Errors:
    /// what an `abort` before has said, else the plane's; nothing was sent then. After "overloaded"
    /// with detail "mux.congested" it may be tried again when `openable` returns.
    Result<void> open(const CallHead& head, const Bytes& request);
    /// Sends a call whose request is a stream (client streaming, bidirectional); its items follow
    /// by `send`. `writer` must live until the call is dropped or another one is set. Errors: as
    /// above.
    Result<void> open(const CallHead& head, CallWriter& writer);
    /// Waits until another try to open is worth it: the connection has room, is gone, or the call
    /// was aborted. Cancel safety: throws `cancelled`.
    virtual Task<> openable() = 0;
    void set_writer(CallWriter* writer) noexcept { writer_ = writer; }

    /// Whether `send` may be called now; else `writer` is told when. False once the call has ended,
    /// or nobody wants any more of it.
    bool can_send() const noexcept { return !write_wait_ && !ended_ && !half_closed_; }
    /// Sends a request item. False when nobody wants it any more.
    /// Errors (thrown): `payload_too_large`; the call goes on. Precondition: can_send().
    bool send(Bytes item);
    /// Closes the request half after what was sent; items of the answer may still come.
    void half_close() noexcept;

    /// Waits until the worker has accepted the call or it has ended; true unless it ended
    /// unaccepted. Cancel safety: throws `cancelled`; drop the call to kill it.
    Task<bool> accepted();
    /// The next message; nothing at the end. Throws the error with which the call ended; `fate`
    /// tells whether it may be sent elsewhere. Cancel safety: throws `cancelled`, no message is
    /// lost.
    Task<std::optional<Bytes>> next();
    /// What has arrived already, without waiting.
    std::optional<Bytes> try_next();
    /// Nothing more will arrive: ended, and everything taken.
    bool finished() const noexcept { return ended_ && queue_.empty(); }

    /// Asks the worker to finish early.
    void stop(CancelReason reason) noexcept;
    /// Kills the call at the worker; here it ends with `error`, whose fate is `accepted`: it is not
    /// to be sent elsewhere. Does nothing once it has ended.
    void abort(CancelReason reason, Error error) noexcept;
    /// When the call is dropped the worker is told why `token` was cancelled; `requested` if it was
    /// not.
    void set_drop_reason_from(CancellationToken token) noexcept { caller_ = std::move(token); }

    bool is_accepted() const noexcept { return accepted_; }
    const std::optional<Error>& error() const noexcept { return error_; }
    CallFate fate() const noexcept { return fate_; }

protected:
    ClientCall() = default;

    // What the plane tells.
    void take(Bytes message, bool end);
    void ended() noexcept;
    void failed(const Error& error, CallFate fate) noexcept;
    void mark_accepted() noexcept;
    void writable() noexcept;

    bool is_open() const noexcept { return open_; }
    bool over() const noexcept { return ended_; }
    /// For the worker, when the call is dropped.
    CancelReason drop_reason() const noexcept;
    /// Waits for the next event of any kind.
    Task<> changed();

private:
    // What the plane is asked for, the latter ones only while the call is open and not over.
    /// No request: its items follow.
    virtual Result<void> send_open(const CallHead& head, const Bytes* request) = 0;
    /// Throws for one that is too large.
    virtual SendStatus send_item(Bytes item) = 0;
    virtual void send_half_close() noexcept = 0;
    virtual void send_stop(CancelReason reason) noexcept = 0;
    virtual void send_kill(CancelReason reason) noexcept = 0;
    /// A message of that size was taken.
    virtual void consumed(std::size_t size) noexcept = 0;

    Result<void> open(const CallHead& head, const Bytes* request);
    void notify() noexcept;
    void end_input() noexcept;

    MessageQueue queue_;
    Signal changed_;
    std::optional<Error> error_;
    CallFate fate_ = CallFate::not_accepted;
    CancellationToken caller_;
    CallWriter* writer_ = nullptr;            // of a call whose request is a stream
    CancelReason stop_ = CancelReason::none;  // asked for before the call was open
    bool open_ = false;
    bool accepted_ = false;
    bool ended_ = false;
    bool write_wait_ = false;   // the item before has not left
    bool half_closed_ = false;  // no further item will be sent, or be wanted
    bool woken_ = false;  // the consumer has been woken and will take what is queued in this turn
};

}  // namespace stator::transport
