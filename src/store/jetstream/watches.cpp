#include "store/jetstream/watches.hpp"

#include <algorithm>
#include <utility>

#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::store::jetstream {

using namespace std::chrono_literals;

namespace {

constexpr BackoffPolicy between_readers{.initial = 20ms, .max = 1s, .factor = 2.0};
constexpr Duration shortest_heartbeat = 100ms;  // that the server takes
constexpr Duration longest_heartbeat = 1s;
/// Of the life of a key: how often one that should be gone, and is not, is asked for.
constexpr int looks = 10;

Duration heartbeat_for(Duration ttl) {
    if (ttl == Duration::zero()) return longest_heartbeat;
    return std::clamp<Duration>(ttl / looks, shortest_heartbeat, longest_heartbeat);
}

/// Everything, when the reader is complete.
Task<Entries> collect(Reader* reader) {
    Entries entries;
    while (!reader->complete()) {
        auto record = co_await reader->next();
        if (!record) continue;
        if (record->removed) {
            entries.erase(record->entry.key);
        } else {
            auto key = record->entry.key;
            entries.insert_or_assign(std::move(key), std::move(record->entry));
        }
    }
    co_return entries;
}

}  // namespace

Task<std::vector<Entry>> list_all(std::shared_ptr<Bucket> bucket, std::string prefix) {
    const auto until = bucket->deadline();
    for (;;) {
        auto entries =
            co_await as_result([](std::shared_ptr<Bucket> in, std::string below) -> Task<Entries> {
                const auto reader =
                    co_await Reader::open(std::move(in), std::move(below), longest_heartbeat);
                auto all = co_await as_result(collect(reader.get()));
                co_await shielded(reader->close());
                if (!all) throw all.error();
                co_return std::move(*all);
            }(bucket, prefix));
        if (entries) {
            std::vector<Entry> listed;
            listed.reserve(entries->size());
            for (auto& [key, entry] : *entries) listed.push_back(std::move(entry));
            co_return listed;
        }
        const auto& error = entries.error();
        if (error.detail() == "nats.no_stream") {
            co_await bucket->ensure(until);
        } else if (!error.retryable() && error.code() != ErrorCode::deadline_exceeded) {
            throw error;
        }
        if (until.passed()) throw error;
        co_await sleep_until(earliest(until, Deadline::in(between_readers.initial)));
    }
}

Watches::Watches(std::shared_ptr<Bucket> bucket, TaskScope& scope)
    : bucket_{std::move(bucket)},
      scope_{scope},
      heartbeat_{heartbeat_for(bucket_->ttl())},
      feeds_{[this](const std::string& prefix) { return begin(prefix); }} {}

Watches::FeedPtr Watches::begin(const std::string& prefix) {
    auto feed = std::make_shared<Feed>(prefix, between_readers);
    scope_.spawn(run(feed));
    return feed;
}

Task<> Watches::run(FeedPtr feed) {
    for (;;) {
        const auto outcome = co_await as_result(follow(feed));
        if (outcome) co_return;  // nobody reads it
        // Whoever asks next begins again; whoever has a snapshot waits.
        if (!feed->ready.is_set()) co_return feeds_.fail(*feed, outcome.error());
        if (outcome.error().code() == ErrorCode::cancelled) co_return;
        sink().count("store_watch_streams_lost_total", 1);
        if (outcome.error().detail() == "nats.no_stream")
            (void)co_await as_result(bucket_->ensure(bucket_->deadline()));
        co_await sleep_for(feed->backoff.next());
    }
}

/// As long as one reader lasts. Ends well when nobody reads the feed any more.
Task<> Watches::follow(FeedPtr feed) {
    const auto reader = co_await Reader::open(bucket_, feed->prefix, heartbeat_);
    const auto outcome = co_await as_result(follow_with(feed.get(), reader.get()));
    const bool cancelled = !outcome && outcome.error().code() == ErrorCode::cancelled;
    // At the end the connection goes, and what was made for it.
    if (!cancelled) co_await reader->close();
    if (!outcome) throw outcome.error();
}

Task<> Watches::follow_with(Feed* feed, Reader* reader) {
    co_await read_all(feed, reader);
    feed->backoff.reset();
    feed->ready.set();
    for (;;) {
        if (auto record = co_await reader->next()) apply(*feed, std::move(*record));
        if (Clock::current().now() - feed->looked_at < heartbeat_) continue;
        if (feed->unread()) co_return feeds_.drop(*feed);
        co_await drop_ended(feed);
        feed->looked_at = Clock::current().now();
    }
}

Task<> Watches::read_all(Feed* feed, Reader* reader) {
    auto entries = co_await collect(reader);
    feed->ends.clear();
    if (bucket_->ttl() != Duration::zero()) {
        // How long they have been there is not known. Those that are kept are written again soon.
        const auto soon = Clock::current().now() + bucket_->ttl() / 2;
        for (const auto& [key, entry] : entries) feed->ends.emplace(key, soon);
    }
    feed->hub->replace(std::move(entries));
}

void Watches::apply(Feed& feed, Record record) const {
    if (record.removed) {
        feed.ends.erase(record.entry.key);
        feed.hub->remove(record.entry.key);
        return;
    }
    if (bucket_->ttl() != Duration::zero())
        feed.ends.insert_or_assign(record.entry.key, Clock::current().now() + bucket_->ttl());
    // That it was written again to keep it is no change.
    const auto known = feed.hub->find(record.entry.key);
    if (known && known->revision == record.entry.revision) return;
    feed.hub->put(std::move(record.entry));
}

/// What is written meanwhile waits in the reader, and is applied after this.
Task<> Watches::drop_ended(Feed* feed) {
    const auto now = Clock::current().now();
    std::vector<std::string> due;
    for (const auto& [key, end] : feed->ends) {
        if (end <= now) due.push_back(key);
    }
    for (auto& key : due) {
        const auto found = co_await as_result(bucket_->get(key));
        if (!found || is_there(*found)) {
            feed->ends.insert_or_assign(std::move(key), now + bucket_->ttl() / looks);
            continue;
        }
        feed->ends.erase(key);
        feed->hub->remove(key);
    }
}

}  // namespace stator::store::jetstream
