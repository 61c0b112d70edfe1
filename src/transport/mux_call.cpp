#include "stator/transport/mux_call.hpp"

#include <utility>

#include <fmt/format.h>

namespace stator::transport {

MuxCall::~MuxCall() {
    if (stream_ == 0) return;
    const auto reason = caller_.cause();
    if (!ended_)
        connection_->session_.kill(
            stream_, reason == CancelReason::none ? CancelReason::requested : reason
        );
    connection_->session_.release(stream_);
    connection_->touch();
}

Result<void> MuxCall::open(const OpenHead& head, const Bytes& request) {
    return opened(connection_->session_.open(head, &request, true, this, connection_->loop_.now()));
}

Result<void> MuxCall::open(const OpenHead& head, CallWriter& writer) {
    writer_ = &writer;
    return opened(connection_->session_.open(head, nullptr, false, this, connection_->loop_.now()));
}

Result<void> MuxCall::opened(Result<StreamId> stream) noexcept {
    if (!stream) return std::unexpected{std::move(stream).error()};
    stream_ = *stream;
    connection_->touch();
    return {};
}

bool MuxCall::send(Bytes item) {
    if (ended_ || half_closed_) return false;
    const auto size = item.size();
    const auto status = connection_->session_.send(stream_, std::move(item), false);
    connection_->touch();
    if (status == SendStatus::too_large) {
        throw Error{
            ErrorCode::payload_too_large,
            "mux.message_too_large",
            fmt::format(
                "an item of {} bytes; the worker takes at most {}",
                size,
                connection_->peer().max_message
            )
        };
    }
    write_wait_ = status == SendStatus::wait;
    return status != SendStatus::gone;
}

void MuxCall::half_close() noexcept {
    if (ended_ || std::exchange(half_closed_, true)) return;
    connection_->session_.end(stream_);
    connection_->touch();
}

void MuxCall::writable() noexcept {
    write_wait_ = false;
    if (writer_ != nullptr) writer_->on_writable();
}

void MuxCall::end_input() noexcept {
    if (writer_ != nullptr) writer_->on_ended();
}

void MuxCall::notify() noexcept {
    woken_ = changed_.has_waiter() || woken_;
    changed_.notify();
}

void MuxCall::take(Bytes message, bool end) {
    accepted_ = true;
    const bool taken_soon =
        (changed_.has_waiter() || woken_) && queue_.size() < MessageQueue::burst;
    queue_.push(taken_soon ? std::move(message) : message.compact());
    ended_ = ended_ || end;
    notify();
    if (end) end_input();
}

void MuxCall::ended() noexcept {
    accepted_ = true;
    ended_ = true;
    notify();
    end_input();
}

void MuxCall::failed(const Error& error, CallFate fate) {
    error_ = error;
    fate_ = fate;
    accepted_ = accepted_ || fate == CallFate::accepted;
    ended_ = true;
    notify();
    end_input();
}

void MuxCall::mark_accepted() noexcept {
    accepted_ = true;
    notify();
}

Task<bool> MuxCall::accepted() {
    while (!accepted_ && !ended_) {
        woken_ = false;
        co_await changed_.wait();
    }
    co_return accepted_;
}

std::optional<Bytes> MuxCall::try_next() {
    if (queue_.empty()) return std::nullopt;
    Bytes message = queue_.pop();
    connection_->session_.consumed(stream_, message.size());
    connection_->touch();  // credit may have to be told
    return message;
}

Task<std::optional<Bytes>> MuxCall::next() {
    while (queue_.empty() && !ended_) {
        woken_ = false;
        co_await changed_.wait();
    }
    if (auto message = try_next()) co_return message;
    if (error_) throw *error_;
    co_return std::nullopt;
}

void MuxCall::stop(CancelReason reason) {
    if (stream_ == 0 || ended_) return;
    connection_->session_.stop(stream_, reason);
    connection_->touch();
}

void MuxCall::abort(CancelReason reason, Error error) {
    if (stream_ == 0 || ended_) return;
    connection_->session_.kill(stream_, reason);
    connection_->touch();
    error_ = std::move(error);
    fate_ = CallFate::accepted;
    ended_ = true;
    notify();
    end_input();
}

}  // namespace stator::transport
