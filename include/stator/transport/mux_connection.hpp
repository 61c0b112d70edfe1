// The driver of one multiplexed connection: a MuxSession on a socket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "stator/base/report_limit.hpp"
#include "stator/net/stream.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/signal.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/transport/mux_session.hpp"
#include "stator/transport/server_call.hpp"

namespace stator::transport {

class MuxCall;
class MuxConnection;
class MuxServerCall;

/// Told what happens to a connection as a whole. Called on its loop; must not throw.
class ConnectionObserver {
public:
    virtual ~ConnectionObserver() = default;
    virtual void on_suspect(MuxConnection&) noexcept {}
    virtual void on_healthy(MuxConnection&) noexcept {}
    /// `instance` none: every instance behind the connection.
    virtual void on_drain(MuxConnection&, InstanceId /*instance*/) noexcept {}
    virtual void on_closed(MuxConnection&, const Error&) noexcept {}
};

/// Reads, writes and keeps time for one session; everything that one turn of the loop produced
/// leaves in one write at its end.
///
/// Shared by whoever makes calls on it and the tasks of the calls it serves; `run` keeps it going
/// and must be running for anything to happen. Loop-affine. Cancelling `run` says goodbye, kills
/// what it serves and closes.
class MuxConnection : public std::enable_shared_from_this<MuxConnection>, MuxHandler {
public:
    struct Options {
        MuxConfig config{};
        ConnectionObserver* observer = nullptr;  ///< outlives the connection
        CallDispatcher* dispatcher = nullptr;    ///< of an acceptor; outlives the connection
        CancellationToken requests{};            ///< the parent of every served call's token
        ReportLimit* violations = nullptr;       ///< of the peers' errors; none: each is reported
    };
    /// `sniffed`: what was read from `stream` already, for an acceptor.
    MuxConnection(
        MuxRole role, std::unique_ptr<net::Stream> stream, Options options, Bytes sniffed = {}
    );
    MuxConnection(const MuxConnection&) = delete;
    MuxConnection& operator=(const MuxConnection&) = delete;
    ~MuxConnection() override;

    /// Serves the connection until it ends and every call that it serves has ended, too. Never
    /// throws.
    Task<> run();
    /// Waits for the handshake. Errors: what closed the connection before.
    Task<> ready();

    /// Says goodbye (with a reason, if there is one) and ends; calls end `disconnected`.
    void close(std::optional<Error> reason = {}) noexcept;
    /// Waits until every complete answer has left, those too that wait for the peer's credit; at
    /// once when the connection has ended. Calls that are still being served are not waited for.
    /// Cancel safety: throws `cancelled`.
    Task<> flushed();
    /// Waits, after a call could not be opened for "mux.congested", until another try is worth it,
    /// or the connection has ended. Several may wait. Cancel safety: throws `cancelled`.
    Task<> uncongested();
    /// Tells the peer that `instance` (none: every one) takes no more calls.
    void drain(InstanceId instance, std::string_view reason);
    /// Somebody routes to this peer: watch its liveness even while no call is open.
    void watch(bool wanted);

    bool usable() const noexcept {
        return !closing_ && !session_.closed() && session_.ready() && !replaced_;
    }
    bool closed() const noexcept { return session_.closed(); }
    bool suspect() const noexcept { return session_.suspect(); }
    /// Calls open here, either way.
    std::size_t calls() const noexcept { return session_.stats().streams; }
    MuxStats stats() const noexcept { return session_.stats(); }
    /// How often the socket gave or took bytes.
    std::uint64_t reads() const noexcept { return reads_; }
    std::uint64_t writes() const noexcept { return writes_; }
    const net::Address& remote() const noexcept { return stream_->remote(); }
    const net::Address& local() const noexcept { return stream_->local(); }
    Loop& loop() const noexcept { return loop_; }
    const mux::Hello& peer() const noexcept { return session_.peer(); }

private:
    friend class MuxCall;
    friend class MuxServerCall;

    // What the session tells us.
    void on_ready(const mux::Hello& peer) override;
    void* on_open(StreamId stream, const CallHead& head, const Bytes* first, bool end) override;
    void on_stop(StreamId stream, void* context, CancelReason reason) override;
    void on_kill(StreamId stream, void* context, CancelReason reason) override;
    void on_reset(StreamId stream, void* context, const Error& error) override;
    void on_accept(StreamId stream, void* context) override;
    void on_error(StreamId stream, void* context, const Error& error, CallFate fate) override;
    void on_message(StreamId stream, void* context, Bytes message, bool end) override;
    void on_end(StreamId stream, void* context) override;
    void on_writable(StreamId stream, void* context) override;
    void on_drain(InstanceId instance, std::string_view reason) override;
    void on_suspect() override;
    void on_healthy() override;
    void on_replace() override { replaced_ = true; }
    void on_uncongested() override { uncongested_.set(); }
    void on_violation(StreamId stream, std::string_view detail) override;
    void on_closed(const Error& error) override;
    void report_violation(const Error& error) const;

    /// Of a call, either way. Throws payload_too_large for what the peer does not take.
    SendStatus send(StreamId stream, Bytes item, bool end);
    Task<> wait_until_over();
    Task<> linger();
    bool all_left() const noexcept;
    Task<> read_loop();
    Task<> write_loop();
    /// A turn that makes more than this writes in between: its peer need not wait for all of it.
    static constexpr std::size_t early_write = 16U << 10U;
    /// Something may have to be written: at the end of this turn.
    void touch() noexcept {
        if (session_.output_size() >= early_write) loop_.soon(early_hook_);
        loop_.at_turn_end(flush_hook_);
    }
    void flush() noexcept;
    void flush_early() noexcept;
    bool write(std::span<const iovec> vectors) noexcept;
    /// A request that has just been read was refused, or all such refusals are written.
    void note_refusal();
    void refusals_written() noexcept;
    void lost(const Error& cause) noexcept;
    void arm_timer() noexcept;

    /// Calls `work` in a turn of the loop.
    template <void (MuxConnection::*work)() noexcept>
    struct Hook : runtime::detail::TurnHook {
        explicit Hook(MuxConnection& connection_) noexcept
            : TurnHook{[](TurnHook& hook) noexcept {
                  (static_cast<Hook&>(hook).connection.*work)();
              }},
              connection{connection_} {}
        MuxConnection& connection;
    };
    struct SessionTimer : runtime::detail::Timer {
        explicit SessionTimer(MuxConnection& connection) noexcept;
        MuxConnection& connection;
    };

    Loop& loop_;
    std::unique_ptr<net::Stream> stream_;
    Bytes sniffed_;
    ConnectionObserver* observer_;
    CallDispatcher* dispatcher_;
    CancellationToken requests_;
    ReportLimit* violations_;
    MuxSession session_;
    Hook<&MuxConnection::flush> flush_hook_;
    Hook<&MuxConnection::flush_early> early_hook_;
    SessionTimer timer_;
    Signal blocked_;  // the socket takes nothing: the write loop waits for it
    std::uint64_t reads_ = 0;
    std::uint64_t writes_ = 0;
    TimePoint read_at_{};
    TimePoint refused_since_{};                          // when the first of `refused_` was read
    std::uint32_t refused_ = 0;                          // not written yet
    std::optional<observe::Histogram> refusal_seconds_;  // made with the first one
    bool write_blocked_ = false;
    bool closing_ = false;
    bool replaced_ = false;     // stream ids run out
    std::optional<Error> end_;  // why it ended
    Event changed_;             // handshake done, or closed
    bool lost_ = false;         // the socket is of no more use
    Event uncongested_;
    bool flush_awaited_ = false;
    Event all_left_;
    Event over_;       // closed and written: `run` may end
    TaskScope calls_;  // what it serves
    TaskScope loops_;  // reading and writing
};

}  // namespace stator::transport
