#include "stator/transport/client_call.hpp"

#include <utility>

namespace stator::transport {

Result<void> ClientCall::open(const CallHead& head, const Bytes* request) {
    if (ended_) return std::unexpected{*error_};
    if (auto sent = send_open(head, request); !sent) return sent;
    open_ = true;
    if (stop_ != CancelReason::none) send_stop(stop_);
    return {};
}

Result<void> ClientCall::open(const CallHead& head, const Bytes& request) {
    return open(head, &request);
}

Result<void> ClientCall::open(const CallHead& head, CallWriter& writer) {
    writer_ = &writer;
    return open(head, nullptr);
}

bool ClientCall::send(Bytes item) {
    if (ended_ || half_closed_) return false;
    const auto status = send_item(std::move(item));
    write_wait_ = status == SendStatus::wait;
    // The answer may come by another way, and be on its way still.
    half_closed_ = status == SendStatus::gone;
    return status != SendStatus::gone;
}

void ClientCall::half_close() noexcept {
    if (ended_ || std::exchange(half_closed_, true)) return;
    send_half_close();
}

void ClientCall::writable() noexcept {
    write_wait_ = false;
    if (writer_ != nullptr) writer_->on_writable();
}

void ClientCall::end_input() noexcept {
    if (writer_ != nullptr) writer_->on_ended();
}

void ClientCall::notify() noexcept {
    woken_ = changed_.has_waiter() || woken_;
    changed_.notify();
}

void ClientCall::take(Bytes message, bool end) {
    accepted_ = true;
    queue_.push(std::move(message), changed_.has_waiter() || woken_);
    ended_ = ended_ || end;
    notify();
    if (end) end_input();
}

void ClientCall::ended() noexcept {
    accepted_ = true;
    ended_ = true;
    notify();
    end_input();
}

void ClientCall::failed(const Error& error, CallFate fate) noexcept {
    error_ = error;
    fate_ = fate;
    accepted_ = accepted_ || fate == CallFate::accepted;
    ended_ = true;
    notify();
    end_input();
}

void ClientCall::mark_accepted() noexcept {
    accepted_ = true;
    notify();
}

Task<> ClientCall::changed() {
    woken_ = false;
    co_await changed_.wait();
}

Task<bool> ClientCall::accepted() {
    while (!accepted_ && !ended_) {
        woken_ = false;
        co_await changed_.wait();
    }
    co_return accepted_;
}

std::optional<Bytes> ClientCall::try_next() {
    if (queue_.empty()) return std::nullopt;
    Bytes message = queue_.pop();
    consumed(message.size());
    return message;
}

Task<std::optional<Bytes>> ClientCall::next() {
    while (queue_.empty() && !ended_) {
        woken_ = false;
        co_await changed_.wait();
    }
    if (auto message = try_next()) co_return message;
    if (error_) throw *error_;
    co_return std::nullopt;
}

void ClientCall::stop(CancelReason reason) noexcept {
    if (ended_) return;
    if (open_) {
        send_stop(reason);
    } else {
        stop_ = reason;
    }
}

void ClientCall::abort(CancelReason reason, Error error) noexcept {
    if (ended_) return;
    if (open_) send_kill(reason);
    error_ = std::move(error);
    fate_ = CallFate::accepted;
    ended_ = true;
    notify();
    end_input();
}

CancelReason ClientCall::drop_reason() const noexcept {
    const auto reason = caller_.cause();
    return reason == CancelReason::none ? CancelReason::requested : reason;
}

}  // namespace stator::transport
