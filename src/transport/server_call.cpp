#include "stator/transport/server_call.hpp"

#include <fmt/format.h>

namespace stator::transport {

ServerCall::ServerCall(
    std::shared_ptr<MuxConnection> connection, StreamId stream, CancellationToken token
) noexcept
    : connection_{std::move(connection)}, stream_{stream}, token_{std::move(token)} {}

ServerCall::~ServerCall() {
    connection_->session_.release(stream_);
    connection_->touch();
}

void ServerCall::take(Bytes message, bool end) {
    const bool taken_soon = queue_.empty() || ((readable_.has_waiter() || woken_) &&
                                               queue_.size() < MessageQueue::burst);
    queue_.push(taken_soon ? std::move(message) : message.compact());
    input_ended_ = input_ended_ || end;
    wake_reader();
}

void ServerCall::wake_reader() noexcept {
    woken_ = readable_.has_waiter() || woken_;
    readable_.notify();
}

void ServerCall::half_closed() noexcept {
    input_ended_ = true;
    wake_reader();
}

void ServerCall::sent() noexcept {
    write_wait_ = false;
    writable_.notify();
}

void ServerCall::close_input() noexcept {
    over_ = true;
    wake_reader();
}

void ServerCall::observe(CallObserver* observer) noexcept {
    observer_ = observer;
    if (observer_ != nullptr && stop_reason_ != CancelReason::none)
        observer_->on_stop(stop_reason_);
}

void ServerCall::stopped(CancelReason reason) noexcept {
    stop_reason_ = reason;
    if (observer_ != nullptr) observer_->on_stop(reason);
}

void ServerCall::killed(CancelReason reason) noexcept {
    over_ = true;
    kill_reason_ = reason;
    if (observer_ != nullptr) observer_->on_kill(reason);
    token_.cancel(reason);
}

void ServerCall::refuse(const Error& error) noexcept {
    over_ = true;
    connection_->session_.refuse(stream_, error);
}

std::optional<Bytes> ServerCall::try_next() {
    if (queue_.empty()) return std::nullopt;
    Bytes message = queue_.pop();
    connection_->session_.consumed(stream_, message.size());
    connection_->touch();
    return message;
}

Task<std::optional<Bytes>> ServerCall::next() {
    while (queue_.empty() && !input_ended_ && !over_) {
        woken_ = false;
        co_await readable_.wait();
    }
    if (kill_reason_ != CancelReason::none && !input_ended_)
        throw Error{ErrorCode::cancelled, "mux.killed", "the caller ended the call"};
    co_return try_next();
}

bool ServerCall::send(Bytes item, bool end) {
    if (over_) return false;
    const auto size = item.size();
    const auto status = connection_->session_.send(stream_, std::move(item), end);
    connection_->touch();
    switch (status) {
        case SendStatus::more:
            break;
        case SendStatus::wait:
            write_wait_ = !end;
            break;
        case SendStatus::gone:
            over_ = true;
            return false;
        case SendStatus::too_large:
            throw Error{
                ErrorCode::payload_too_large,
                "mux.message_too_large",
                fmt::format(
                    "an item of {} bytes; the caller takes at most {}",
                    size,
                    connection_->peer().max_message
                )
            };
    }
    over_ = over_ || end;
    return true;
}

Task<> ServerCall::writable() {
    while (write_wait_ && !over_) co_await writable_.wait();
}

void ServerCall::end() noexcept {
    if (over_) return;
    over_ = true;
    connection_->session_.end(stream_);
    connection_->touch();
}

void ServerCall::fail(const Error& error) noexcept {
    if (over_) return;
    over_ = true;
    connection_->session_.fail(stream_, error);
    connection_->touch();
}

}  // namespace stator::transport
