#include "stator/transport/mux_connection.hpp"

#include <array>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/transport/mux_call.hpp"
#include "stator/transport/mux_server_call.hpp"

namespace stator::transport {

namespace {

constexpr std::size_t vectors_per_write = 64;
constexpr auto longest_linger = std::chrono::milliseconds{100};

Task<> discard_input(net::Stream* stream) {
    std::array<std::byte, 16384> space;
    const iovec part{space.data(), space.size()};
    while (co_await stream->read_some({&part, 1}) > 0) {
    }
}

}  // namespace

MuxConnection::SessionTimer::SessionTimer(MuxConnection& connection_) noexcept
    : Timer{[](Timer& timer) noexcept {
          MuxConnection& connection = static_cast<SessionTimer&>(timer).connection;
          connection.session_.on_timer(connection.loop_.now());
          connection.touch();
      }},
      connection{connection_} {}

MuxConnection::MuxConnection(
    MuxRole role, std::unique_ptr<net::Stream> stream, Options options, Bytes sniffed
)
    : loop_{*Loop::current()},
      stream_{std::move(stream)},
      sniffed_{std::move(sniffed)},
      observer_{options.observer},
      dispatcher_{options.dispatcher},
      requests_{std::move(options.requests)},
      violations_{options.violations},
      session_{role, options.config, *this, loop_.now()},
      flush_hook_{*this},
      early_hook_{*this},
      timer_{*this},
      calls_{requests_} {}

MuxConnection::~MuxConnection() {
    loop_.remove_timer(timer_);
    if (flush_hook_.linked()) runtime::detail::TurnHooks::remove(flush_hook_);
}

Task<> MuxConnection::run() {
    const auto self = shared_from_this();
    // Not in the constructor: a call in these bytes takes a share of this connection.
    read_at_ = loop_.now();
    if (!sniffed_.empty()) session_.feed(std::exchange(sniffed_, {}).span(), read_at_);
    touch();
    loops_.spawn(read_loop());
    loops_.spawn(write_loop());
    if (auto ended = co_await as_result(wait_until_over()); !ended) {
        close(Error{ErrorCode::unavailable, "mux.shutdown", "the process is ending"});
    }
    co_await loops_.close();
    // The session's end has killed them one by one; this waits until they have unwound.
    co_await calls_.close(CancelReason::peer_gone);
    if (closing_ && !lost_ && session_.role() == MuxRole::acceptor) {
        (void)co_await as_result(shielded(linger()));
    }
    stream_->close();
}

/// Lets the last answers arrive: a socket that is closed while it holds unread input resets the
/// connection, and the kernels may throw away what the peer has not read yet.
Task<> MuxConnection::linger() {
    stream_->shutdown_write();
    co_await with_deadline(Deadline::in(longest_linger), discard_input(stream_.get()));
}

bool MuxConnection::all_left() const noexcept {
    if (session_.closed()) return true;
    // What is still being served keeps writing; its end is somebody else's business.
    return session_.stats().unsent_answers == 0 && (!session_.has_output() || calls_.size() > 0);
}

Task<> MuxConnection::flushed() {
    const auto self = shared_from_this();
    while (!all_left()) {
        flush_awaited_ = true;
        all_left_.reset();
        co_await all_left_.wait();
    }
}

Task<> MuxConnection::uncongested() {
    if (session_.closed()) co_return;
    uncongested_.reset();
    co_await uncongested_.wait();
}

Task<> MuxConnection::wait_until_over() { co_await over_.wait(); }

Task<> MuxConnection::ready() {
    while (!session_.ready() && !session_.closed()) {
        changed_.reset();
        co_await changed_.wait();
    }
    if (session_.closed())
        throw end_.value_or(Error{ErrorCode::disconnected, "mux.closed", "the connection is closed"}
        );
}

Task<> MuxConnection::read_loop() {
    std::array<iovec, 2> space{};
    std::optional<Error> failure;
    try {
        for (;;) {
            const auto parts = session_.receive_space(space);
            if (parts == 0) break;
            const auto size = co_await stream_->read_some({space.data(), parts});
            if (size == 0) {
                failure.emplace(
                    ErrorCode::disconnected,
                    "net.end_of_stream",
                    fmt::format("{} closed the connection", remote().to_string())
                );
                break;
            }
            ++reads_;
            read_at_ = loop_.now();
            session_.received(size, read_at_);
            touch();
        }
    } catch (const Error& error) {
        failure = error;
    }
    if (failure) lost(*failure);
}

/// Goes on where `flush` had to stop.
Task<> MuxConnection::write_loop() {
    std::optional<Error> failure;
    try {
        for (;;) {
            co_await blocked_.wait();
            co_await stream_->writable();
            write_blocked_ = false;
            flush();
        }
    } catch (const Error& error) {
        failure = error;
    }
    lost(*failure);
}

void MuxConnection::flush_early() noexcept {
    if (write_blocked_ || lost_ || session_.closed()) return;
    std::array<iovec, vectors_per_write> vectors;
    write(std::span{vectors}.first(session_.gather_early(vectors)));
}

/// False when the socket is of no more use.
bool MuxConnection::write(std::span<const iovec> vectors) noexcept {
    std::size_t offered = 0;
    for (const auto& vector : vectors) offered += vector.iov_len;
    const auto written = stream_->try_write(vectors);
    if (!written) {
        lost(written.error());
        return false;
    }
    ++writes_;
    if (*written > 0) session_.written(*written, loop_.now());
    if (*written < offered) {
        write_blocked_ = true;
        blocked_.notify();
    }
    return true;
}

void MuxConnection::flush() noexcept {
    std::array<iovec, vectors_per_write> vectors;
    while (!write_blocked_ && session_.has_output()) {
        const auto count = session_.gather(vectors);
        if (count == 0 || !write({vectors.data(), count})) break;
    }
    if (refused_ > 0 && !write_blocked_ && !session_.has_output()) refusals_written();
    if (flush_awaited_ && all_left()) all_left_.set();
    // A goodbye that the peer does not take is not waited for.
    if (session_.closed()) over_.set();
    arm_timer();
}

void MuxConnection::note_refusal() {
    if (!refusal_seconds_) {
        refusal_seconds_ = observe::metrics().histogram(
            "stator_mux_refusal_seconds",
            "From the read that brought a request to the write of its refusal",
            observe::duration_buckets()
        );
    }
    if (refused_++ == 0) refused_since_ = read_at_;
}

void MuxConnection::refusals_written() noexcept {
    if (!refusal_seconds_) return;
    const std::chrono::duration<double> taken = loop_.now() - refused_since_;
    for (; refused_ > 0; --refused_) refusal_seconds_->observe(taken.count());
}

void MuxConnection::arm_timer() noexcept {
    const auto next = session_.closed() ? TimePoint::max() : session_.next_timer();
    if (timer_.waiting() && timer_.when <= next) return;  // early is harmless
    loop_.remove_timer(timer_);
    if (next == TimePoint::max()) return;
    timer_.when = next;
    loop_.add_timer(timer_);
}

void MuxConnection::lost(const Error& cause) noexcept {
    if (cause.code() == ErrorCode::cancelled) return;  // `run` ends the loops itself
    lost_ = true;
    if (!session_.closed()) session_.disconnected(cause);
    if (flush_awaited_) all_left_.set();
    over_.set();
}

void MuxConnection::close(std::optional<Error> reason) noexcept {
    closing_ = true;
    if (!session_.closed()) session_.goodbye(std::move(reason));
    flush();
    over_.set();
}

SendStatus MuxConnection::send(StreamId stream, Bytes item, bool end) {
    const auto size = item.size();
    const auto status = session_.send(stream, std::move(item), end);
    touch();
    if (status == SendStatus::too_large) {
        throw Error{
            ErrorCode::payload_too_large,
            "mux.message_too_large",
            fmt::format(
                "an item of {} bytes; the {} takes at most {}",
                size,
                session_.role() == MuxRole::dialler ? "worker" : "caller",
                peer().max_message
            )
        };
    }
    return status;
}

void MuxConnection::drain(InstanceId instance, std::string_view reason) {
    if (session_.closed()) return;
    session_.drain(instance, reason);
    touch();
}

void MuxConnection::watch(bool wanted) {
    session_.watch(wanted, loop_.now());
    touch();
}

void MuxConnection::on_ready(const mux::Hello&) { changed_.set(); }

void* MuxConnection::on_open(StreamId stream, const CallHead& head, const Bytes* first, bool end) {
    auto* const served =
        new MuxServerCall{shared_from_this(), stream, calls_.token().child_token()};
    std::unique_ptr<ServerCall> call{served};
    if (first != nullptr) {
        served->take(*first, end);
    } else if (end) {
        served->half_closed();
    }
    auto token = served->token();
    auto serving = dispatcher_->dispatch(call, head);
    if (!serving) {
        served->refuse(serving.error());
        note_refusal();
        return nullptr;
    }
    if (serving->accepted) session_.accept(stream);
    Loop& where = serving->loop == nullptr ? loop_ : *serving->loop;
    calls_.spawn_on(where, std::move(serving->task), std::move(token));
    return served;
}

void MuxConnection::on_stop(StreamId, void* context, CancelReason reason) {
    if (context != nullptr) static_cast<MuxServerCall*>(context)->stopped(reason);
}

void MuxConnection::on_kill(StreamId, void* context, CancelReason reason) {
    if (context != nullptr) static_cast<MuxServerCall*>(context)->killed(reason);
}

void MuxConnection::on_reset(StreamId, void* context, const Error&) {
    if (context != nullptr) static_cast<MuxServerCall*>(context)->killed(CancelReason::peer_gone);
}

void MuxConnection::on_accept(StreamId, void* context) {
    if (context != nullptr) static_cast<MuxCall*>(context)->mark_accepted();
}

void MuxConnection::on_error(StreamId, void* context, const Error& error, CallFate fate) {
    if (context != nullptr) static_cast<MuxCall*>(context)->failed(error, fate);
}

void MuxConnection::on_message(StreamId, void* context, Bytes message, bool end) {
    if (context == nullptr) return;
    if (session_.role() == MuxRole::dialler) {
        static_cast<MuxCall*>(context)->take(std::move(message), end);
    } else {
        static_cast<MuxServerCall*>(context)->take(std::move(message), end);
    }
}

void MuxConnection::on_end(StreamId, void* context) {
    if (context == nullptr) return;
    if (session_.role() == MuxRole::dialler) {
        static_cast<MuxCall*>(context)->ended();
    } else {
        static_cast<MuxServerCall*>(context)->half_closed();
    }
}

void MuxConnection::on_writable(StreamId, void* context) {
    if (context == nullptr) return;
    if (session_.role() == MuxRole::dialler) {
        static_cast<MuxCall*>(context)->writable();
    } else {
        static_cast<MuxServerCall*>(context)->sent();
    }
}

void MuxConnection::on_drain(InstanceId instance, std::string_view) {
    if (observer_ != nullptr) observer_->on_drain(*this, instance);
}

void MuxConnection::on_suspect() {
    if (observer_ != nullptr) observer_->on_suspect(*this);
}

void MuxConnection::on_healthy() {
    if (observer_ != nullptr) observer_->on_healthy(*this);
}

void MuxConnection::on_violation(StreamId, std::string_view) {
    sink().count("mux_stream_violations_total", 1);
}

void MuxConnection::report_violation(const Error& error) const {
    sink().count("mux_connection_violations_total", 1);
    std::uint64_t held_back = 0;
    if (violations_ != nullptr) {
        const auto admitted = violations_->admit(loop_.now());
        if (!admitted) return;
        held_back = *admitted;
    }
    sink().report(
        Severity::warn,
        "stator::transport",
        fmt::format("{}: {}{}", remote().to_string(), error.what(), and_unreported(held_back))
    );
}

void MuxConnection::on_closed(const Error& error) {
    end_ = error;
    changed_.set();
    uncongested_.set();
    if (error.code() == ErrorCode::protocol) report_violation(error);
    touch();  // writes the goodbye, then ends
    if (observer_ != nullptr) observer_->on_closed(*this, error);
}

}  // namespace stator::transport
