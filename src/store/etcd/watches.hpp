// The watches of a store, all on one stream.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "stator/base/backoff.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/store/watch.hpp"
#include "store/etcd/identity.hpp"
#include "store/etcd/key_guards.hpp"
#include "store/etcd/link.hpp"
#include "store/watch_feeds.hpp"

namespace stator::store::etcd {

/// One feed per prefix: what is there, kept up to date by one watch of etcd, for any number of
/// readers. A feed goes on from the revision that it has seen, on whichever stream; it is read anew
/// where the history is gone or the store is another one. One that nobody reads any more ends with
/// its next change or within seconds.
///
/// On one loop. The driver, a task of the store's scope, owns the stream; it runs while there are
/// feeds. Failures are the link's to report: here they only mean to try again.
class Watches {
public:
    /// Who is told what is seen on the way.
    struct Observer {
        /// The store has become another one.
        std::function<void()> other_store;
        /// As KeyGuards says it.
        KeyGuards::Observer own_changed;
    };
    Watches(
        std::shared_ptr<Link> link,
        std::shared_ptr<Identity> identity,
        TaskScope& scope,
        Observer observer
    );
    Watches(const Watches&) = delete;
    Watches& operator=(const Watches&) = delete;

    /// Errors: those of reading what is there. Cancel safety: throws `cancelled`.
    Task<Watch> watch(std::string prefix) { return feeds_.watch(std::move(prefix)); }
    /// From now on the observer is told of changes to that key after `revision`, which is of our
    /// own write.
    void guard(const std::string& key, std::int64_t revision);
    void unguard(const std::string& key) { guards_.unguard(key); }
    /// The store may be another one: looks now, not when a stream breaks.
    void doubt();
    /// Ends the readers' watches. The scope's tasks have ended.
    void close();

private:
    struct Feed : WatchFeed {
        Feed(std::string prefix_, std::int64_t id_) : WatchFeed{std::move(prefix_)}, id{id_} {}
        const std::int64_t id;           // of the watch, on every stream
        std::int64_t next_revision = 0;  // 0: to be read
        bool reading = false;
        bool streaming = false;  // asked for on this stream
        std::vector<WatchChange> fragments;
    };
    using FeedPtr = std::shared_ptr<Feed>;

    FeedPtr begin(const std::string& prefix);
    Task<> first_read(FeedPtr feed);
    Task<> read(FeedPtr feed);
    Task<> read_again(FeedPtr feed);
    Task<EtcdListing> list_of_now(std::string prefix);
    bool is_kept(const Feed& feed) const;
    void end(const Feed& feed, Error error);
    Task<> drive();
    Task<> session();
    Task<> resume_all();
    Task<> follow(TaskScope* scope);
    Task<> probe(TaskScope* scope);
    bool busy() const noexcept { return !feeds_.all().empty() || !guards_.empty(); }
    void start_driving();
    void stream(Feed& feed);
    Task<> look();
    void now_another();
    void handle(WatchMessage message, TaskScope& scope);
    void handle_cancelled(const FeedPtr& feed, const WatchMessage& message, TaskScope& scope);
    static void apply(Feed& feed, WatchMessage message);
    void drop_unread();

    const std::shared_ptr<Link> link_;
    const std::shared_ptr<Identity> identity_;
    TaskScope& scope_;
    const Observer observer_;
    WatchFeeds<Feed> feeds_;
    KeyGuards guards_;
    std::uint64_t stores_ = 0;  // that were seen to be no more
    bool looking_ = false;
    bool closed_ = false;
    std::int64_t last_id_ = 0;
    bool driving_ = false;
    std::unique_ptr<WatchStream> stream_;
    TaskScope* session_ = nullptr;  // of the stream, while there is one
    TimePoint heard_at_{};
    Backoff backoff_;
};

}  // namespace stator::store::etcd
