// One call, from the worker's side, whatever request plane it came by.
#pragma once

#include <memory>
#include <optional>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/net/address.hpp"
#include "stator/runtime/cancellation_token.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/signal.hpp"
#include "stator/runtime/task.hpp"
#include "stator/transport/call_head.hpp"
#include "stator/transport/message_queue.hpp"
#include "stator/transport/send_status.hpp"

namespace stator::transport {

/// Told by the caller's cancellations, on the call's loop. Must not throw.
class CallObserver {
public:
    virtual ~CallObserver() = default;
    virtual void on_stop(CancelReason reason) noexcept = 0;
    virtual void on_kill(CancelReason reason) noexcept = 0;
};

/// Owned by the task that serves the call; dropping it before an end was sent fails the call as
/// abandoned. Loop-affine. The task runs under `token`, which a kill (or the loss of the caller)
/// cancels.
class ServerCall {
public:
    ServerCall(const ServerCall&) = delete;
    ServerCall& operator=(const ServerCall&) = delete;
    virtual ~ServerCall() = default;

    static void* operator new(std::size_t size) { return runtime::detail::take_frame(size); }
    static void operator delete(void* block, std::size_t size) noexcept {
        runtime::detail::give_frame(block, size);
    }

    const CancellationToken& token() const noexcept { return token_; }
    /// `observer` must live until the call is dropped or another one is set. It is told of a stop
    /// that has come before it.
    void observe(CallObserver* observer) noexcept;

    /// The next request message; nothing once the caller's half is closed and all of it taken, or
    /// the answer has ended. Errors: `cancelled` (transport.killed) when the caller killed the call
    /// or is gone: what came is not all of it. Cancel safety: throws `cancelled`, no message is
    /// lost. One `next` at a time.
    Task<std::optional<Bytes>> next();
    /// A message that is there already, without waiting.
    std::optional<Bytes> try_next();

    /// Whether `send` may be called now; else wait for `writable`.
    bool can_send() const noexcept { return !write_wait_; }
    /// Sends an item. False when nobody wants it any more (killed, reset, connection lost).
    /// Errors (thrown): `payload_too_large`. Precondition: can_send().
    bool send(Bytes item, bool end);
    /// Waits until the item before has left. Cancel safety: throws `cancelled`.
    Task<> writable();
    /// Ends the answer after what was sent.
    void end() noexcept;
    /// Ends the answer with an error after what was sent.
    void fail(const Error& error) noexcept;
    /// Tells the caller that the call has been accepted, where Serving::accepted was false.
    void accept() noexcept;
    /// Ends a call that has not been accepted: it may be sent elsewhere.
    void refuse(const Error& error) noexcept;

    /// Its items are annotated objects of Dynamo's planes, not values: there they are not wrapped
    /// once more. Before the first item.
    void set_annotated(bool annotated) noexcept { annotated_ = annotated; }

    /// Nothing more is sent or taken: who waits for a request message gets nothing. For a reader
    /// that outlives the answer.
    void close_input() noexcept;

    bool over() const noexcept { return over_; }
    /// Why the caller ended it (none while it did not).
    CancelReason kill_reason() const noexcept { return kill_reason_; }
    virtual const net::Address& peer() const noexcept = 0;

protected:
    bool annotated() const noexcept { return annotated_; }
    explicit ServerCall(CancellationToken token) noexcept : token_{std::move(token)} {}

    // What the plane tells.
    void take(Bytes message, bool end);
    void half_closed() noexcept;
    void sent() noexcept;
    void stopped(CancelReason reason) noexcept;
    void killed(CancelReason reason) noexcept;

private:
    // What the plane is asked for, while the answer has not ended.
    /// Throws for an item that is too large.
    virtual SendStatus send_item(Bytes item, bool end) = 0;
    virtual void send_end() noexcept = 0;
    virtual void send_error(const Error& error) noexcept = 0;
    virtual void send_accept() noexcept {}
    virtual void send_refusal(const Error& error) noexcept { send_error(error); }
    /// A request message of that size was taken.
    virtual void consumed(std::size_t size) noexcept = 0;

    void wake_reader() noexcept;

    CancellationToken token_;
    CallObserver* observer_ = nullptr;
    CancelReason stop_reason_ = CancelReason::none;
    MessageQueue queue_;
    Signal readable_;
    Signal writable_;
    CancelReason kill_reason_ = CancelReason::none;
    bool input_ended_ = false;
    bool woken_ = false;  // the reader has been woken and will take what is queued in this turn
    bool write_wait_ = false;
    bool over_ = false;
    bool annotated_ = false;
};

/// The task that serves a call.
struct Serving {
    Task<> task;
    Loop* loop = nullptr;  ///< where it starts; null: the call's own
    /// False: the task will say whether it accepts or refuses the call.
    bool accepted = true;
};

/// Decides about incoming calls. Called on the call's loop, from inside the parser: it must not
/// block or throw. The error is what the call is refused with.
class CallDispatcher {
public:
    virtual ~CallDispatcher() = default;
    /// `call` is moved from only when a task is returned. A task that starts on another loop uses
    /// and drops the call on its own loop all the same.
    virtual Result<Serving> dispatch(std::unique_ptr<ServerCall>& call, const CallHead& head) = 0;
};

}  // namespace stator::transport
