#include "store/watch_hub.hpp"

#include <algorithm>
#include <utility>

#include "stator/base/sink.hpp"

namespace stator::store {

void WatchHub::put(Entry entry) {
    const std::lock_guard guard{lock_};
    push_locked(WatchEvent{
        .kind = WatchEvent::Kind::put,
        .entries = {},
        .entry = entry,
        .learned = Clock::current().now(),
    });
    auto key = entry.key;
    entries_.insert_or_assign(std::move(key), std::move(entry));
}

void WatchHub::remove(std::string_view key) {
    const std::lock_guard guard{lock_};
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    Entry gone = std::move(found->second);
    gone.value.clear();
    entries_.erase(found);
    push_locked(WatchEvent{
        .kind = WatchEvent::Kind::removed,
        .entries = {},
        .entry = std::move(gone),
        .learned = Clock::current().now(),
    });
}

void WatchHub::replace(Entries entries) {
    const std::lock_guard guard{lock_};
    if (entries == entries_) return;
    entries_ = std::move(entries);
    resync_locked();
}

void WatchHub::resync() {
    const std::lock_guard guard{lock_};
    resync_locked();
}

void WatchHub::resync_locked() {
    for (WatchQueue* queue : queues_) {
        queue->owe_snapshot_locked();
        queue->filled_.set();
    }
}

void WatchHub::close(std::optional<Error> error) {
    const std::lock_guard guard{lock_};
    if (closed_) return;
    closed_ = true;
    error_ = std::move(error);
    for (WatchQueue* queue : queues_) queue->close_locked(error_);
}

std::optional<Entry> WatchHub::find(std::string_view key) const {
    const std::lock_guard guard{lock_};
    const auto found = entries_.find(key);
    if (found == entries_.end()) return std::nullopt;
    return found->second;
}

std::vector<Entry> WatchHub::list(std::string_view prefix) const {
    const std::lock_guard guard{lock_};
    return list_locked(prefix);
}

std::size_t WatchHub::size() const {
    const std::lock_guard guard{lock_};
    return entries_.size();
}

bool WatchHub::watched() const {
    const std::lock_guard guard{lock_};
    return !queues_.empty();
}

std::shared_ptr<WatchQueue> WatchHub::subscribe(std::string prefix) {
    return std::make_shared<WatchQueue>(shared_from_this(), std::move(prefix));
}

std::vector<Entry> WatchHub::list_locked(std::string_view prefix) const {
    std::vector<Entry> found;
    for (auto at = entries_.lower_bound(prefix);
         at != entries_.end() && at->first.starts_with(prefix);
         ++at)
        found.push_back(at->second);
    return found;
}

void WatchHub::push_locked(const WatchEvent& event) {
    for (WatchQueue* queue : queues_) {
        if (queue->snapshot_due_ || !event.entry.key.starts_with(queue->prefix_)) continue;
        if (queue->deltas_.size() == limit_) {
            queue->owe_snapshot_locked();
            sink().count("store_watch_resyncs_total", 1);
        } else {
            queue->deltas_.push_back(event);
        }
        queue->filled_.set();
    }
}

WatchQueue::WatchQueue(std::shared_ptr<WatchHub> hub, std::string prefix)
    : hub_{std::move(hub)}, prefix_{std::move(prefix)} {
    const std::lock_guard guard{hub_->lock_};
    hub_->queues_.push_back(this);
    if (hub_->closed_) close_locked(hub_->error_);
}

WatchQueue::~WatchQueue() {
    const std::lock_guard guard{hub_->lock_};
    std::erase(hub_->queues_, this);
}

void WatchQueue::owe_snapshot_locked() {
    deltas_.clear();
    if (!snapshot_due_) due_since_ = Clock::current().now();
    snapshot_due_ = true;
}

void WatchQueue::close() {
    const std::lock_guard guard{hub_->lock_};
    close_locked(std::nullopt);
}

void WatchQueue::close_locked(std::optional<Error> error) {
    if (std::exchange(closed_, true)) return;
    error_ = std::move(error);
    filled_.set();
}

/// True when there is something to hand out, be it the end.
bool WatchQueue::take(std::optional<WatchEvent>& event) {
    const std::lock_guard guard{hub_->lock_};
    if (snapshot_due_ && !closed_) {
        snapshot_due_ = false;
        event = WatchEvent{
            .kind = WatchEvent::Kind::snapshot,
            .entries = hub_->list_locked(prefix_),
            .entry = {},
            .learned = due_since_,
        };
        return true;
    }
    if (!deltas_.empty()) {
        event = std::move(deltas_.front());
        deltas_.pop_front();
        return true;
    }
    if (closed_) {
        if (error_) throw *error_;
        return true;
    }
    filled_.reset();  // under the lock, so whoever fills next sets it again
    return false;
}

Task<std::optional<WatchEvent>> WatchQueue::next() {
    std::optional<WatchEvent> event;
    while (!take(event)) co_await filled_.wait();
    co_return event;
}

Watch::Watch(std::shared_ptr<WatchQueue> queue) noexcept : queue_{std::move(queue)} {}

namespace {

Task<std::optional<WatchEvent>> no_event() { co_return std::nullopt; }

}  // namespace

Task<std::optional<WatchEvent>> Watch::next() { return queue_ ? queue_->next() : no_event(); }

std::optional<WatchEvent> Watch::try_next() {
    std::optional<WatchEvent> event;
    if (queue_) queue_->take(event);
    return event;
}

}  // namespace stator::store
