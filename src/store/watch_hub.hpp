// WatchHub: a view of entries, and the queues of those who watch it.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/error.hpp"
#include "stator/runtime/event.hpp"
#include "stator/store/entry.hpp"
#include "stator/store/watch.hpp"

namespace stator::store {

using Entries = std::map<std::string, Entry, std::less<>>;

/// A backend puts in what it knows; each watcher takes out a snapshot and then the deltas, at its
/// own pace. Thread-safe; lives as long as the store or a watcher needs it.
///
/// Full: a queue holds `limit` deltas. The next one empties it and makes the watcher's next event a
/// snapshot, taken when it asks; counted in store_watch_resyncs_total.
class WatchHub : public std::enable_shared_from_this<WatchHub> {
public:
    explicit WatchHub(std::size_t limit = 1024) noexcept : limit_{limit} {}

    void put(Entry entry);
    /// Does nothing for a key that is not there.
    void remove(std::string_view key);
    /// Makes `entries` all there is: a snapshot for every watcher, if that changes anything.
    void replace(Entries entries);
    /// Makes every watcher's next event a snapshot.
    void resync();
    /// Ends every watch, present and future, after what waits: with the error, or as an end.
    void close(std::optional<Error> error = std::nullopt);

    std::optional<Entry> find(std::string_view key) const;
    std::vector<Entry> list(std::string_view prefix) const;
    std::size_t size() const;
    /// Whether there is a watcher.
    bool watched() const;

    std::shared_ptr<WatchQueue> subscribe(std::string prefix);

private:
    friend class WatchQueue;
    std::vector<Entry> list_locked(std::string_view prefix) const;
    void push_locked(const WatchEvent& event);
    void resync_locked();

    const std::size_t limit_;
    mutable std::mutex lock_;
    Entries entries_;
    std::vector<WatchQueue*> queues_;  // each takes itself out before it dies
    bool closed_ = false;
    std::optional<Error> error_;
};

/// One watcher's queue. All but `next` and `close` under the hub's lock.
class WatchQueue {
public:
    WatchQueue(std::shared_ptr<WatchHub> hub, std::string prefix);
    WatchQueue(const WatchQueue&) = delete;
    WatchQueue& operator=(const WatchQueue&) = delete;
    ~WatchQueue();

    Task<std::optional<WatchEvent>> next();
    /// Ends this watch alone.
    void close();

private:
    friend class WatchHub;
    friend class Watch;
    bool take(std::optional<WatchEvent>& event);
    void close_locked(std::optional<Error> error);
    void owe_snapshot_locked();

    const std::shared_ptr<WatchHub> hub_;
    const std::string prefix_;
    std::deque<WatchEvent> deltas_;
    bool snapshot_due_ = true;
    TimePoint due_since_ = Clock::current().now();
    bool closed_ = false;
    std::optional<Error> error_;
    Event filled_;
};

}  // namespace stator::store
