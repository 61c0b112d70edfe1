#include "stator/events/subscriber.hpp"

#include <utility>

#include "events/event_queue.hpp"

namespace stator::events {

namespace {

/// The queue lives as long as somebody waits for it.
Task<std::optional<EventEnvelope>> next_of(std::shared_ptr<EventQueue> queue) {
    co_return co_await queue->next();
}

}  // namespace

Subscriber::Subscriber(std::shared_ptr<EventQueue> queue) noexcept : queue_{std::move(queue)} {}

Subscriber& Subscriber::operator=(Subscriber&& other) noexcept {
    if (queue_ && queue_ != other.queue_) queue_->abandon();
    queue_ = std::move(other.queue_);
    return *this;
}

Subscriber::~Subscriber() {
    if (queue_) queue_->abandon();
}

Task<std::optional<EventEnvelope>> Subscriber::next() const { return next_of(queue_); }

std::optional<EventEnvelope> Subscriber::try_next() const { return queue_->take(); }

void Subscriber::close() const noexcept { queue_->close(); }

SubscriberCounts Subscriber::counts() const { return queue_->counts(); }

std::vector<SourceCounts> Subscriber::sources() const { return queue_->sources(); }

}  // namespace stator::events
