#include "transport/dynamo_link.hpp"

#include <chrono>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "stator/runtime/timer.hpp"

namespace stator::transport {
namespace {

constexpr std::size_t vectors_per_write = 64;
/// What was written gets so long to be read before the socket goes: one that is closed while it
/// holds unread input resets the connection, and the kernels may throw away what is on its way.
constexpr auto longest_linger = std::chrono::milliseconds{100};
/// What lacked may be there after so long.
constexpr auto rest_time = std::chrono::milliseconds{10};

Task<> discard_input(net::Stream* stream) {
    std::array<std::byte, 16384> space;
    const iovec part{space.data(), space.size()};
    while (co_await stream->read_some({&part, 1}) > 0) {
    }
}

Task<> wait_for(Duration time) { co_await sleep_for(time); }

}  // namespace

DynamoLink::DynamoLink(DynamoLinkUser& user, std::size_t most_unwritten, BufferBudget* budget)
    : user_{user}, most_unwritten_{most_unwritten}, budget_{budget} {}

DynamoLink::~DynamoLink() {
    output_.clear();
    book();
}

Task<> DynamoLink::run(std::unique_ptr<net::Stream> stream) {
    stream_ = std::move(stream);
    if (!output_.empty()) touch();
    bool ended_here = false;
    try {
        if (!closed_) co_await read_to_end();
        // A peer that sends nothing more may still want all of the answer.
        co_await over_.wait();
    } catch (const Error& error) {
        ended_here = error.code() == ErrorCode::cancelled && !closed_;
        if (ended_here) {
            user_.cancelled();
            flush();
        }
        lose(error);
    }
    if (ended_here) (void)co_await as_result(shielded(linger()));
    close();
    stream_->close();
    if (helpers_) co_await helpers_->close();
}

Task<> DynamoLink::read_to_end() {
    std::array<iovec, 2> space{};
    while (!closed_) {
        if (paused_ && !finishing_) {
            co_await resumed_.wait();
            continue;
        }
        const auto parts = user_.space(space);
        const auto size = co_await stream_->receive({space.data(), parts});
        if (closed_) co_return;
        if (!size) {
            lose(size.error());
            co_return;
        }
        if (*size == 0) {
            peer_finished_ = true;
            if (finishing_ && output_.empty()) close();
            if (!finishing_) user_.peer_finished();
            co_return;
        }
        ++reads_;
        if (!finishing_) user_.received(*size);
    }
}

Task<> DynamoLink::linger() {
    stream_->shutdown_write();
    co_await with_deadline(Deadline::in(longest_linger), discard_input(stream_.get()));
}

Task<> DynamoLink::close_soon() {
    if (co_await as_result(wait_for(longest_linger))) close();
}

void DynamoLink::rest() {
    pause();
    if (!std::exchange(resting_, true)) helpers().spawn(come_back());
}

Task<> DynamoLink::come_back() {
    const auto rested = co_await as_result(wait_for(rest_time));
    resting_ = false;
    if (rested && !closed_ && !finishing_) user_.rested();
}

void DynamoLink::expect_reader(Duration patience) {
    if (closed_ || std::exchange(watched_, true)) return;
    helpers().spawn(watch_reader(patience));
}

Task<> DynamoLink::watch_reader(Duration patience) {
    auto before = written();
    while (co_await as_result(wait_for(patience)) && !closed_ && !output_.empty()) {
        if (written() == before) {
            lose(Error{
                ErrorCode::disconnected,
                "dynamo.unread",
                fmt::format("{} bytes are not read in time", output_.size())
            });
        }
        before = written();
    }
    watched_ = false;
}

/// What this link holds has changed.
void DynamoLink::book() noexcept {
    if (budget_ == nullptr) return;
    const auto held = output_.size() > unbooked ? output_.size() : 0;
    if (held == booked_) return;
    budget_->windows_changed(booked_, held);
    booked_ = held;
}

/// Everything is written: what the peer still sends is thrown away until it has read that.
void DynamoLink::finish() noexcept {
    if (std::exchange(finished_, true)) return;
    if (peer_finished_) return close();
    stream_->shutdown_write();
    helpers().spawn(close_soon());
}

TaskScope& DynamoLink::helpers() {
    if (!helpers_) helpers_.emplace();
    return *helpers_;
}

void DynamoLink::touch() noexcept {
    if (closed_) return;
    book();
    // Remembered, since others change what the process has left: who was told to wait is woken.
    full_ = full_ || is_full();
    auto& loop = *Loop::current();
    if (output_.size() >= early_write) loop.soon(early_);
    loop.at_turn_end(at_end_);
}

void DynamoLink::resume() noexcept {
    if (!std::exchange(paused_, false)) return;
    resumed_.notify();
}

bool DynamoLink::write_first(net::Outgoing& connection) noexcept {
    if (closed_ || !write_some(connection)) {
        blocked_ = false;  // `run` will see
        return false;
    }
    return output_.empty();
}

template <class Connection>
bool DynamoLink::write_some(Connection& connection) noexcept {
    std::array<iovec, vectors_per_write> vectors;
    const auto count = output_.gather(vectors);
    std::size_t offered = 0;
    for (std::size_t i = 0; i < count; ++i) offered += vectors[i].iov_len;
    const auto written = connection.try_write(std::span{vectors}.first(count));
    if (!written) {
        lose(written.error());
        return false;
    }
    ++writes_;
    output_.written(*written);
    if (*written == offered) return true;
    blocked_ = true;
    return false;
}

void DynamoLink::flush() noexcept {
    if (blocked_ || closed_ || stream_ == nullptr) return;
    while (!output_.empty() && write_some(*stream_)) {
    }
    if (closed_) return;
    if (blocked_) {
        helpers().spawn(write_on());
        if (finishing_) expect_reader(patience_);
    }
    book();
    if (full_ && !is_full()) {
        full_ = false;
        user_.writable();
    }
    if (!output_.empty() || closed_) return;
    user_.all_written();
    if (finishing_ && !closed_) finish();
}

/// Goes on where `flush` had to stop.
Task<> DynamoLink::write_on() {
    const auto ready = co_await as_result(stream_->writable());
    blocked_ = false;
    if (!ready) {
        if (ready.error().code() != ErrorCode::cancelled) lose(ready.error());
        co_return;
    }
    flush();
}

void DynamoLink::lose(const Error& why) noexcept {
    if (std::exchange(closed_, true)) return;
    output_.clear();
    book();
    over_.set();
    resumed_.notify();
    // Its reader may be waiting. One that was cancelled is not, and lingers.
    if (why.code() != ErrorCode::cancelled && stream_) stream_->close();
    user_.lost(why);
}

void DynamoLink::close() noexcept {
    if (std::exchange(closed_, true)) return;
    output_.clear();
    book();
    over_.set();
    resumed_.notify();
    if (stream_) stream_->close();
}

void DynamoLink::close_when_written(Duration patience) noexcept {
    if (closed_ || std::exchange(finishing_, true)) return;
    resumed_.notify();
    patience_ = patience;
    touch();
    if (blocked_) expect_reader(patience);
}

}  // namespace stator::transport
