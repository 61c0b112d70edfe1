#include "stator/transport/server_call.hpp"

namespace stator::transport {

void ServerCall::take(Bytes message, bool end) {
    queue_.push(std::move(message), queue_.empty() || readable_.has_waiter() || woken_);
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
    // First: a handler on another loop must not take for a stop what the observer is told.
    token_.cancel(reason);
    if (observer_ != nullptr) observer_->on_kill(reason);
}

std::optional<Bytes> ServerCall::try_next() {
    if (queue_.empty()) return std::nullopt;
    Bytes message = queue_.pop();
    consumed(message.size());
    return message;
}

Task<std::optional<Bytes>> ServerCall::next() {
    while (queue_.empty() && !input_ended_ && !over_) {
        woken_ = false;
        co_await readable_.wait();
    }
    if (kill_reason_ != CancelReason::none && !input_ended_)
        throw Error{ErrorCode::cancelled, "transport.killed", "the caller ended the call"};
    co_return try_next();
}

bool ServerCall::send(Bytes item, bool end) {
    if (over_) return false;
    const auto status = send_item(std::move(item), end);
    if (status == SendStatus::gone) {
        over_ = true;
        return false;
    }
    write_wait_ = status == SendStatus::wait && !end;
    over_ = over_ || end;
    return true;
}

Task<> ServerCall::writable() {
    while (write_wait_ && !over_) co_await writable_.wait();
}

void ServerCall::end() noexcept {
    if (over_) return;
    over_ = true;
    send_end();
}

void ServerCall::fail(const Error& error) noexcept {
    if (over_) return;
    over_ = true;
    send_error(error);
}

void ServerCall::accept() noexcept {
    if (!over_) send_accept();
}

void ServerCall::refuse(const Error& error) noexcept {
    if (over_) return;
    over_ = true;
    send_refusal(error);
}

}  // namespace stator::transport
