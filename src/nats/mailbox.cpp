#include "nats/mailbox.hpp"

#include <utility>

#include "stator/base/sink.hpp"

namespace stator::nats {

Mailbox::Mailbox(std::size_t most_messages, std::size_t most_bytes, Overflow overflow)
    : most_messages_{most_messages}, most_bytes_{most_bytes}, overflow_{overflow} {}

bool Mailbox::has_room(std::size_t size) const noexcept {
    // One is always taken, whatever its size: the server has bounded it.
    return messages_.empty() || (messages_.size() < most_messages_ && bytes_ + size <= most_bytes_);
}

void Mailbox::put(Message message) {
    const auto size = message.size();
    std::uint64_t dropped = 0;
    {
        const std::lock_guard guard{lock_};
        if (closed_) return;
        while (overflow_ == Overflow::drop_oldest && !has_room(size)) {
            (void)take_locked();
            ++dropped;
        }
        if (has_room(size)) {
            bytes_ += size;
            messages_.push_back(std::move(message));
            // Under the lock, so that it agrees with the queue; and whoever is woken waits for the
            // lock before it goes on, so this thread is done with its loop by then.
            ready_.set();
        } else {
            ++dropped;
        }
        dropped_ += dropped;
    }
    if (dropped > 0) sink().count("nats_messages_dropped_total", dropped);
}

std::optional<Message> Mailbox::take_locked() {
    if (messages_.empty()) return std::nullopt;
    std::optional<Message> message{std::move(messages_.front())};
    messages_.pop_front();
    bytes_ -= message->size();
    if (messages_.empty() && !closed_) ready_.reset();
    return message;
}

std::optional<Message> Mailbox::take() {
    const std::lock_guard guard{lock_};
    return take_locked();
}

void Mailbox::close() noexcept {
    const std::lock_guard guard{lock_};
    closed_ = true;
    ready_.set();
}

Task<std::optional<Message>> Mailbox::next() {
    for (;;) {
        co_await ready_.wait();
        const std::lock_guard guard{lock_};
        if (auto message = take_locked()) co_return message;
        if (closed_) co_return std::nullopt;
    }
}

std::size_t Mailbox::size() const {
    const std::lock_guard guard{lock_};
    return messages_.size();
}

std::uint64_t Mailbox::dropped() const {
    const std::lock_guard guard{lock_};
    return dropped_;
}

}  // namespace stator::nats
