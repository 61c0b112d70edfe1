// The watches of a NatsStore.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "stator/base/backoff.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/store/watch.hpp"
#include "store/jetstream/bucket.hpp"
#include "store/jetstream/reader.hpp"
#include "store/watch_feeds.hpp"

namespace stator::store::jetstream {

/// What is there below a prefix, once.
Task<std::vector<Entry>> list_all(std::shared_ptr<Bucket> bucket, std::string prefix);

/// One feed per prefix, for any number of readers, each with a task of the store's scope and a
/// consumer of the server's. Whenever it may have missed something it is read anew, which readers
/// see as a snapshot if anything is different.
///
/// The server tells nobody that a key has run out: a feed asks for those that were not written for
/// so long. On one loop.
class Watches {
public:
    Watches(std::shared_ptr<Bucket> bucket, TaskScope& scope);
    Watches(const Watches&) = delete;
    Watches& operator=(const Watches&) = delete;

    /// Errors: those of reading what is there. Cancel safety: throws `cancelled`.
    Task<Watch> watch(std::string prefix) { return feeds_.watch(std::move(prefix)); }
    /// Ends the readers' watches. The scope's tasks have ended.
    void close() { feeds_.close(); }

private:
    struct Feed : WatchFeed {
        Feed(std::string prefix_, BackoffPolicy between_readers)
            : WatchFeed{std::move(prefix_)}, backoff{between_readers} {}
        /// When keys may have run out, unless they are written again.
        std::map<std::string, TimePoint, std::less<>> ends;
        TimePoint looked_at{};
        Backoff backoff;  // between readers that have read nothing
    };
    using FeedPtr = std::shared_ptr<Feed>;

    FeedPtr begin(const std::string& prefix);
    Task<> run(FeedPtr feed);
    Task<> follow(FeedPtr feed);
    Task<> follow_with(Feed* feed, Reader* reader);
    Task<> read_all(Feed* feed, Reader* reader);
    void apply(Feed& feed, Record record) const;
    Task<> drop_ended(Feed* feed);

    const std::shared_ptr<Bucket> bucket_;
    TaskScope& scope_;
    const Duration heartbeat_;
    WatchFeeds<Feed> feeds_;
};

}  // namespace stator::store::jetstream
