// WatchFeeds: what a store that is told of changes keeps for those who watch it.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "stator/base/error.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/task.hpp"
#include "stator/store/watch.hpp"
#include "store/watch_hub.hpp"

namespace stator::store {

/// What is there below a prefix, kept up to date by tasks of the store, for any number of readers.
/// What a backend needs for that, it adds. On the store's loop.
struct WatchFeed {
    explicit WatchFeed(std::string prefix_) : prefix{std::move(prefix_)} {}
    /// Nobody reads it, or is about to.
    bool unread() const { return ready.is_set() && callers == 0 && !hub->watched(); }

    const std::string prefix;
    const std::shared_ptr<WatchHub> hub = std::make_shared<WatchHub>();
    std::size_t callers = 0;       // that are about to subscribe
    std::optional<Error> failure;  // of its first read
    Event ready;                   // it has been read, or could not be
};

/// The feeds of a store, one per prefix. On its loop.
template <std::derived_from<WatchFeed> Feed>
class WatchFeeds {
public:
    using Ptr = std::shared_ptr<Feed>;
    /// Makes a feed and has it read by a task of the store: its first caller may give up.
    using Begin = std::function<Ptr(const std::string& prefix)>;

    explicit WatchFeeds(Begin begin) : begin_{std::move(begin)} {}
    WatchFeeds(const WatchFeeds&) = delete;
    WatchFeeds& operator=(const WatchFeeds&) = delete;

    /// Once the feed has been read. Errors: those of reading it. Cancel safety: throws `cancelled`.
    Task<Watch> watch(std::string prefix) {
        const auto feed = at(prefix);
        ++feed->callers;
        const auto waited = co_await as_result(until_ready(feed));
        --feed->callers;
        if (!waited) throw waited.error();
        if (const auto failure = feed->failure) throw *failure;
        co_return Watch{feed->hub->subscribe(std::move(prefix))};
    }

    /// The feed, which the caller holds, could not be read, or not before the store's tasks ended
    /// (`cancelled`): those who wait for it are told, and whoever asks next begins again.
    void fail(Feed& feed, Error error) {
        drop(feed);
        const bool closing = error.code() == ErrorCode::cancelled;
        feed.failure = closing
                           ? Error{ErrorCode::unavailable, "store.closed", "the store is closed"}
                           : std::move(error);
        feed.ready.set();
    }
    /// Whoever asks next begins a new one; this one lives as long as somebody holds it.
    void drop(const Feed& feed) {
        const auto known = feeds_.find(feed.prefix);
        if (known != feeds_.end() && known->second.get() == &feed) feeds_.erase(known);
    }
    /// Drops those that nobody reads, each after a call of `dropped`.
    template <std::invocable<Feed&> Dropped>
    void drop_unread(Dropped dropped) {
        std::erase_if(feeds_, [&](const auto& item) {
            if (!item.second->unread()) return false;
            dropped(*item.second);
            return true;
        });
    }
    /// Ends the readers' watches.
    void close() {
        for (const auto& [prefix, feed] : feeds_) feed->hub->close();
        feeds_.clear();
    }

    const std::map<std::string, Ptr, std::less<>>& all() const noexcept { return feeds_; }

private:
    Ptr at(const std::string& prefix) {
        if (const auto known = feeds_.find(prefix); known != feeds_.end()) return known->second;
        return feeds_.emplace(prefix, begin_(prefix)).first->second;
    }
    static Task<> until_ready(Ptr feed) { co_await feed->ready.wait(); }

    const Begin begin_;
    std::map<std::string, Ptr, std::less<>> feeds_;
};

}  // namespace stator::store
