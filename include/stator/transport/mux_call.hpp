// One call on a multiplexed connection, from the caller's side.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "stator/base/bytes.hpp"
#include "stator/runtime/signal.hpp"
#include "stator/transport/mux_connection.hpp"

namespace stator::transport {

/// What came in and was not taken yet: first in, first out, no allocation while it stays short.
class MessageQueue {
public:
    /// How many messages may queue as slices of receive blocks behind a consumer that has been
    /// woken: it takes them in this turn, so copying them out of their block would be wasted.
    /// Beyond that it is a consumer that lags.
    static constexpr std::size_t burst = 1024;

    bool empty() const noexcept { return head_ == items_.size(); }
    std::size_t size() const noexcept { return items_.size() - head_; }
    void push(Bytes message) { items_.push_back(std::move(message)); }
    Bytes pop() noexcept {
        Bytes message = std::move(items_[head_++]);
        if (empty()) {
            items_.clear();
            head_ = 0;
        }
        return message;
    }

private:
    std::vector<Bytes> items_;
    std::size_t head_ = 0;
};

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

/// Lives in the frame of the coroutine that makes the call; pinned. Loop-affine: the connection's
/// loop. Dropping it while the call goes on kills the call at the worker. One `next` at a time.
class MuxCall {
public:
    explicit MuxCall(std::shared_ptr<MuxConnection> connection) noexcept
        : connection_{std::move(connection)} {}
    MuxCall(const MuxCall&) = delete;
    MuxCall& operator=(const MuxCall&) = delete;
    ~MuxCall();

    /// Sends the call with its only request message. Errors: as MuxSession::open; nothing was sent
    /// then.
    Result<void> open(const OpenHead& head, const Bytes& request);
    /// Sends a call whose request is a stream (client streaming, bidirectional); its items follow
    /// by `send`. `writer` must live until the call is dropped or another one is set. Errors: as
    /// above.
    Result<void> open(const OpenHead& head, CallWriter& writer);
    void set_writer(CallWriter* writer) noexcept { writer_ = writer; }

    /// Whether `send` may be called now; else `writer` is told when. False once the call has ended.
    bool can_send() const noexcept { return !write_wait_ && !ended_ && !half_closed_; }
    /// Sends a request item. False when nobody wants it any more: the call has ended.
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

    void stop(CancelReason reason);
    /// Kills the call at the worker; here it ends with `error`, whose fate is `accepted`: it is not
    /// to be sent elsewhere. Does nothing once it has ended.
    void abort(CancelReason reason, Error error);
    /// When the call is dropped the worker is told why `token` was cancelled; `requested` if it was
    /// not.
    void set_drop_reason_from(CancellationToken token) noexcept { caller_ = std::move(token); }

    bool is_accepted() const noexcept { return accepted_; }
    const std::optional<Error>& error() const noexcept { return error_; }
    CallFate fate() const noexcept { return fate_; }
    MuxConnection& connection() const noexcept { return *connection_; }

private:
    friend class MuxConnection;
    void take(Bytes message, bool end);
    void ended() noexcept;
    void failed(const Error& error, CallFate fate);
    void mark_accepted() noexcept;
    void writable() noexcept;
    void notify() noexcept;
    void end_input() noexcept;
    Result<void> opened(Result<StreamId> stream) noexcept;

    std::shared_ptr<MuxConnection> connection_;
    StreamId stream_ = 0;
    MessageQueue queue_;
    Signal changed_;
    std::optional<Error> error_;
    CallFate fate_ = CallFate::not_accepted;
    CancellationToken caller_;
    CallWriter* writer_ = nullptr;  // of a call whose request is a stream
    bool accepted_ = false;
    bool ended_ = false;
    bool write_wait_ = false;   // the item before has not left
    bool half_closed_ = false;  // no further item will be sent
    bool woken_ = false;  // the consumer has been woken and will take what is queued in this turn
};

}  // namespace stator::transport
