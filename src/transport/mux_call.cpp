#include "stator/transport/mux_call.hpp"

namespace stator::transport {

namespace {

// How many messages may queue as slices of receive blocks behind a consumer that has been woken: it
// takes them in this turn, so copying them out of their block would be wasted. Beyond that it is a
// consumer that lags.
constexpr std::size_t burst = 1024;

}  // namespace

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
    auto opened = connection_->session_.open(head, &request, true, this, connection_->loop_.now());
    if (!opened) return std::unexpected{opened.error()};
    stream_ = *opened;
    connection_->touch();
    return {};
}

void MuxCall::notify() noexcept {
    woken_ = changed_.has_waiter() || woken_;
    changed_.notify();
}

void MuxCall::take(Bytes message, bool end) {
    accepted_ = true;
    const bool taken_soon = (changed_.has_waiter() || woken_) && queue_.size() < burst;
    queue_.push(taken_soon ? std::move(message) : message.compact());
    ended_ = ended_ || end;
    notify();
}

void MuxCall::ended() noexcept {
    accepted_ = true;
    ended_ = true;
    notify();
}

void MuxCall::failed(const Error& error, CallFate fate) {
    error_ = error;
    fate_ = fate;
    accepted_ = accepted_ || fate == CallFate::accepted;
    ended_ = true;
    notify();
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
    failed(error, CallFate::accepted);
}

}  // namespace stator::transport
