#include "component/input_feed.hpp"

#include <exception>
#include <utility>

#include "stator/runtime/loop.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline component {

namespace {

// A source whose items are all ready would otherwise keep its loop until it is done.
constexpr int items_per_turn = 64;
// What an empty item counts as while it is kept.
constexpr std::size_t item_overhead = 32;

Task<> wait_for(Event* event) { co_await event->wait(); }

}  // namespace

void InputFeed::attach(transport::ClientCall& call, TaskScope& scope) {
    call_ = &call;
    sent_ = 0;
    if (!std::exchange(started_, true)) {
        token_ = scope.token().child_token();
        scope.spawn_on(*Loop::current(), run(shared_from_this()), token_);
    }
    // It failed before there was anybody to tell.
    if (failure_) call.abort(CancelReason::requested, *failure_);
    changed_.notify();
}

void InputFeed::detach() noexcept {
    if (call_ != nullptr) std::exchange(call_, nullptr)->set_writer(nullptr);
}

void InputFeed::accepted() noexcept {
    holding_ = false;
    drop_sent();
    changed_.notify();
}

void InputFeed::on_ended() noexcept {
    // While it holds, the route decides whether another worker is asked.
    if (!holding_) close(CancelReason::parent);
}

void InputFeed::close(CancelReason reason) noexcept {
    if (std::exchange(closing_, true)) return;
    if (pulling_) token_.cancel(reason);
    changed_.notify();
}

Task<> InputFeed::closed() {
    close(CancelReason::parent);
    if (started_) co_await shielded(wait_for(&over_));
}

Task<> InputFeed::run(std::shared_ptr<InputFeed> feed) {
    std::optional<Error> failure;
    try {
        co_await feed->pull();
    } catch (...) {
        failure = to_error(std::current_exception());
    }
    feed->pulling_ = false;
    if (feed->source_.at_yield()) co_await shielded(feed->source_.close());
    feed->source_ = {};
    if (failure && !feed->closing_) feed->fail(*failure);
    feed->over_.set();
}

Task<> InputFeed::pull() {
    for (int sent = 1; !closing_;) {
        if (!may_go_on()) {
            co_await changed_.wait();
        } else if (sent_ < items_.size()) {
            send_next();
            if (sent++ % items_per_turn == 0) co_await yield();
        } else if (source_ended_) {
            call_->half_close();
        } else {
            co_await take_next();
        }
    }
}

bool InputFeed::may_go_on() const noexcept {
    if (call_ == nullptr || !call_->can_send()) return false;
    return sent_ < items_.size() || source_ended_ || !holding_ || held_size_ < most_held;
}

Task<> InputFeed::take_next() {
    pulling_ = true;
    auto item = co_await source_.next();
    pulling_ = false;
    if (!item) {
        source_ended_ = true;
        co_return;
    }
    if (holding_) held_size_ += item->size() + item_overhead;
    items_.push_back(std::move(*item));
}

void InputFeed::send_next() {
    auto& item = items_[sent_++];
    Bytes message = holding_ ? item : std::move(item);
    if (!holding_) drop_sent();
    (void)call_->send(std::move(message));  // gone: `on_ended` has told
}

void InputFeed::drop_sent() noexcept {
    items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(sent_));
    sent_ = 0;
}

void InputFeed::fail(const Error& error) {
    failure_ = error.with_context("reading the input of the call");
    if (call_ != nullptr) call_->abort(CancelReason::requested, *failure_);
}

}  // namespace stator::inline component
