#include "events/event_queue.hpp"

#include <algorithm>
#include <utility>

#include "stator/observe/metrics.hpp"

namespace stator::events {

namespace {

struct Metrics {
    observe::UpDownCounter waiting = observe::metrics().up_down_counter(
        "stator_events_waiting", "Events that wait for a subscriber of this process"
    );
    observe::Counter dropped = observe::metrics().counter(
        "stator_events_dropped_total", "Events that had come and for which there was no room"
    );
    observe::Counter missed = observe::metrics().counter(
        "stator_events_missed_total", "Events that never came, by the gaps between their numbers"
    );
};

const Metrics& metrics() {
    static const Metrics made;
    return made;
}

}  // namespace

EventQueue::EventQueue(SubscribeOptions options) : options_{std::move(options)} {
    room_.set();
    (void)metrics();
}

EventQueue::~EventQueue() {
    metrics().waiting.subtract(static_cast<std::int64_t>(entries_.size()));
}

bool EventQueue::has_room(std::size_t size) const noexcept {
    // One is always taken, whatever its size: its publisher's plane has bounded it.
    return entries_.empty() ||
           (entries_.size() < options_.most_events && bytes_ + size <= options_.most_bytes);
}

bool EventQueue::is_new(const EventEnvelope& event) {
    const auto known = sources_.find(event.publisher_id);
    if (known == sources_.end()) {
        if (sources_.size() >= Subscriber::most_sources) sources_.erase(sources_.begin());
        sources_.emplace(
            event.publisher_id,
            SourceCounts{event.publisher_id, event.sequence, event.sequence, 0, 0}
        );
        return true;
    }
    auto& source = known->second;
    if (event.sequence <= source.last) {
        ++counts_.repeated;
        return false;
    }
    const auto missed = event.sequence - source.last - 1;
    source.last = event.sequence;
    source.missed += missed;
    counts_.missed += missed;
    if (missed > 0) metrics().missed.add(missed);
    return true;
}

void EventQueue::count_drop(std::uint64_t publisher_id) {
    ++counts_.dropped;
    metrics().dropped.add();
    if (const auto known = sources_.find(publisher_id); known != sources_.end())
        ++known->second.dropped;
}

bool EventQueue::replace(EventEnvelope& event, const std::string& key) {
    const auto place = place_of_key_.find(key);
    if (place == place_of_key_.end()) return false;
    auto& entry = entries_[place->second - first_place_];
    bytes_ += size_of(event);
    bytes_ -= size_of(entry.event);
    count_drop(entry.event.publisher_id);
    entry.event = std::move(event);
    while (bytes_ > options_.most_bytes && entries_.size() > 1) count_drop(pop().publisher_id);
    return true;
}

void EventQueue::add(EventEnvelope event, std::string key) {
    bytes_ += size_of(event);
    if (options_.overflow == Overflow::keep_latest)
        place_of_key_[key] = first_place_ + entries_.size();
    entries_.push_back({std::move(event), std::move(key)});
    metrics().waiting.add();
    // Under the lock, so that it agrees with the queue; and whoever is woken waits for the lock
    // before it goes on, so this thread is done with its loop by then.
    ready_.set();
}

EventEnvelope EventQueue::pop() {
    auto entry = std::move(entries_.front());
    entries_.pop_front();
    ++first_place_;
    bytes_ -= size_of(entry.event);
    if (options_.overflow == Overflow::keep_latest) place_of_key_.erase(entry.key);
    metrics().waiting.subtract();
    return std::move(entry.event);
}

void EventQueue::put(EventEnvelope event) {
    std::string key;
    if (options_.overflow == Overflow::keep_latest)
        key = options_.key ? options_.key(event) : std::to_string(event.publisher_id);
    const auto size = size_of(event);
    const std::lock_guard guard{lock_};
    if (closed_ || !is_new(event)) return;
    if (options_.overflow == Overflow::keep_latest && replace(event, key)) return;
    const bool makes_room =
        options_.overflow == Overflow::drop_oldest || options_.overflow == Overflow::keep_latest;
    while (makes_room && !has_room(size)) count_drop(pop().publisher_id);
    if (has_room(size)) {
        add(std::move(event), std::move(key));
    } else {
        count_drop(event.publisher_id);
    }
}

void EventQueue::count_unreadable() noexcept {
    const std::lock_guard guard{lock_};
    ++counts_.unreadable;
}

bool EventQueue::blocks(std::size_t size) {
    if (options_.overflow != Overflow::block) return false;
    const std::lock_guard guard{lock_};
    if (closed_ || has_room(size)) return false;
    room_.reset();
    return true;
}

Task<> EventQueue::room() { co_await room_.wait(); }

void EventQueue::on_close(std::move_only_function<void()> then) {
    {
        const std::lock_guard guard{lock_};
        if (!closed_) {
            on_close_ = std::move(then);
            return;
        }
    }
    then();
}

bool EventQueue::closed() const {
    const std::lock_guard guard{lock_};
    return closed_;
}

std::optional<EventEnvelope> EventQueue::take() {
    const std::lock_guard guard{lock_};
    if (entries_.empty()) return std::nullopt;
    auto event = pop();
    ++counts_.delivered;
    if (entries_.empty() && !closed_) ready_.reset();
    if (options_.overflow == Overflow::block) room_.set();
    return event;
}

Task<std::optional<EventEnvelope>> EventQueue::next() {
    for (;;) {
        co_await ready_.wait();
        if (auto event = take()) co_return event;
        if (closed()) co_return std::nullopt;
    }
}

void EventQueue::close() noexcept {
    std::move_only_function<void()> then;
    {
        const std::lock_guard guard{lock_};
        if (std::exchange(closed_, true)) return;
        then = std::move(on_close_);
        ready_.set();
        room_.set();
    }
    if (then) then();
}

void EventQueue::abandon() noexcept {
    close();
    const std::lock_guard guard{lock_};
    while (!entries_.empty()) (void)pop();
}

SubscriberCounts EventQueue::counts() const {
    const std::lock_guard guard{lock_};
    auto counts = counts_;
    counts.waiting = entries_.size();
    return counts;
}

std::vector<SourceCounts> EventQueue::sources() const {
    std::vector<SourceCounts> sources;
    {
        const std::lock_guard guard{lock_};
        sources.reserve(sources_.size());
        for (const auto& [id, source] : sources_) sources.push_back(source);
    }
    std::ranges::sort(sources, {}, &SourceCounts::publisher_id);
    return sources;
}

}  // namespace stator::events
