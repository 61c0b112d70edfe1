#include "store/etcd/watches.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "store/etcd/entry_of.hpp"
#include "store/etcd/listing.hpp"

namespace stator::store::etcd {

using namespace std::chrono_literals;

namespace {

/// A stream that is silent for so long is asked for a sign of life, and given up without one.
constexpr Duration probe_period = 1s;
constexpr Duration silence = 4s;
constexpr BackoffPolicy between_streams{.initial = 50ms, .max = 2s, .factor = 2.0};

}  // namespace

Watches::Watches(
    std::shared_ptr<Link> link,
    std::shared_ptr<Identity> identity,
    TaskScope& scope,
    Observer observer
)
    : link_{std::move(link)},
      identity_{std::move(identity)},
      scope_{scope},
      observer_{std::move(observer)},
      feeds_{[this](const std::string& prefix) { return begin(prefix); }},
      guards_{observer_.own_changed, [this] { return ++last_id_; }},
      backoff_{between_streams} {}

Watches::FeedPtr Watches::begin(const std::string& prefix) {
    auto feed = std::make_shared<Feed>(prefix, ++last_id_);
    scope_.spawn(first_read(feed));
    return feed;
}

Task<> Watches::first_read(FeedPtr feed) {
    auto outcome = co_await as_result(read(feed));
    if (!outcome) co_return feeds_.fail(*feed, std::move(outcome.error()));
    feed->ready.set();
    start_driving();
}

void Watches::start_driving() {
    if (!std::exchange(driving_, true)) scope_.spawn(drive());
}

/// Everything below the feed's prefix, as one snapshot for its readers if anything is different.
Task<> Watches::read(FeedPtr feed) {
    feed->reading = true;
    auto listing = co_await as_result(list_of_now(feed->prefix));
    feed->reading = false;
    if (!listing) throw std::move(listing.error());
    if (!is_kept(*feed)) co_return;  // nobody reads it any more, nor would end its watch
    Entries entries;
    for (auto& entry : listing->entries) {
        auto key = entry.key;
        entries.emplace_hint(entries.end(), std::move(key), entry_of(std::move(entry)));
    }
    feed->hub->replace(std::move(entries));
    feed->next_revision = listing->revision + 1;
    if (stream_) stream(*feed);
}

/// What a store that is no more has answered does not count: it would be watched from a revision
/// that is yet to come.
Task<EtcdListing> Watches::list_of_now(std::string prefix) {
    for (;;) {
        const auto asked = stores_;
        auto listing = co_await list_all(link_, prefix);
        if (asked == stores_) co_return listing;
    }
}

bool Watches::is_kept(const Feed& feed) const {
    const auto known = feeds_.all().find(feed.prefix);
    return known != feeds_.all().end() && known->second.get() == &feed;
}

/// Of a feed that has readers. What ends it for good, and is not the others', ends it alone: they
/// share its stream, which every other error ends, to be tried again.
Task<> Watches::read_again(FeedPtr feed) {
    auto outcome = co_await as_result(read(feed));
    if (outcome) co_return;
    const auto code = outcome.error().code();
    if (code != ErrorCode::permission_denied && code != ErrorCode::payload_too_large)
        throw std::move(outcome.error());
    end(*feed, std::move(outcome.error()));
}

/// Its readers are told, and whoever asks next begins anew.
void Watches::end(const Feed& feed, Error error) {
    feed.hub->close(std::move(error));
    feeds_.drop(feed);
}

void Watches::stream(Feed& feed) {
    if (std::exchange(feed.streaming, true)) return;
    feed.fragments.clear();
    stream_->create({
        .id = feed.id,
        .key = feed.prefix,
        .range_end = end_of_prefix(feed.prefix),
        .start_revision = feed.next_revision,
    });
}

void Watches::guard(const std::string& key, std::int64_t revision) {
    if (closed_) return;
    guards_.guard(key, revision);
    start_driving();
}

void Watches::doubt() {
    if (!closed_ && !std::exchange(looking_, true)) scope_.spawn(look());
}

Task<> Watches::look() {
    const auto changed = co_await as_result(identity_->changed(link_->call_deadline()));
    looking_ = false;
    if (!changed || !*changed) co_return;
    now_another();
    // What the stream is about is no more.
    if (session_ != nullptr) session_->cancel();
}

/// Everything that is known is of a store that is no more.
void Watches::now_another() {
    sink().count("store_replaced_total", 1);
    sink().report(
        Severity::warn,
        "stator::store",
        "etcd store: it was wiped or restored; everything is read and published anew"
    );
    ++stores_;
    for (const auto& [prefix, feed] : feeds_.all()) feed->next_revision = 0;
    guards_.forget();
    observer_.other_store();
}

Task<> Watches::drive() {
    while (busy()) {
        const auto outcome = co_await as_result(session());
        guards_.pause();
        stream_.reset();
        for (const auto& [prefix, feed] : feeds_.all()) feed->streaming = false;
        if (outcome) continue;
        if (outcome.error().code() == ErrorCode::cancelled) break;
        sink().count("store_watch_streams_lost_total", 1);
        co_await sleep_for(backoff_.next());
    }
    driving_ = false;
}

/// The life of one stream. Ends well when there is nothing to watch, or everything to read anew.
Task<> Watches::session() {
    co_await resume_all();
    TaskScope scope{co_await current_token()};
    session_ = &scope;
    scope.spawn(follow(&scope));
    scope.spawn(probe(&scope));
    for (const auto& [prefix, feed] : feeds_.all()) {
        if (feed->next_revision != 0) {
            stream(*feed);
        } else if (!feed->reading) {
            scope.spawn(read_again(feed));
        }
    }
    guards_.resume(*stream_);
    const auto outcome = co_await as_result(scope.join());
    session_ = nullptr;
    co_await scope.close();
    if (outcome) co_return;
    if (stream_ && outcome.error().code() != ErrorCode::cancelled)
        link_->stream_failed(stream_->member(), outcome.error());
    throw outcome.error();
}

/// Opens the stream, to a store of which it is known whether it is still the same.
Task<> Watches::resume_all() {
    if (co_await identity_->changed(link_->call_deadline())) now_another();
    stream_ = co_await link_->watch();
    heard_at_ = Clock::current().now();
}

/// Reads the stream. Ends, and with it the session, when the stream does or no feed is left.
Task<> Watches::follow(TaskScope* scope) {
    for (bool first = true; busy(); first = false) {
        auto message = co_await stream_->next();
        heard_at_ = Clock::current().now();
        if (first) {
            backoff_.reset();
            link_->stream_works(stream_->member());
        }
        handle(std::move(message), *scope);
    }
    scope->cancel();
}

/// Finds a member that is connected and says nothing any more, and feeds that nobody reads.
Task<> Watches::probe(TaskScope* scope) {
    for (;;) {
        co_await sleep_for(probe_period);
        drop_unread();
        if (!busy()) scope->cancel();
        const auto silent_for = Clock::current().now() - heard_at_;
        if (silent_for > silence)
            throw Error{ErrorCode::unavailable, "store.silent", "the watches have gone silent"};
        if (silent_for >= probe_period) stream_->request_progress();
    }
}

void Watches::drop_unread() {
    feeds_.drop_unread([this](const Feed& feed) {
        if (feed.streaming) stream_->drop(feed.id);
    });
}

void Watches::handle(WatchMessage message, TaskScope& scope) {
    const auto found = std::ranges::find_if(feeds_.all(), [&](const auto& item) {
        return item.second->id == message.id && item.second->streaming;
    });
    if (found == feeds_.all().end()) {
        // Of a guard; or it was dropped meanwhile, or is about the stream as a whole.
        guards_.handle(message);
        return;
    }
    const auto feed = found->second;
    if (message.cancelled) return handle_cancelled(feed, message, scope);
    if (!message.created) apply(*feed, std::move(message));
}

/// The watch is no more. Because its history is gone: everything is read instead.
void Watches::handle_cancelled(const FeedPtr& feed, const WatchMessage& message, TaskScope& scope) {
    feed->streaming = false;
    if (message.compact_revision != 0) {
        sink().count("store_watch_compactions_total", 1);
        feed->next_revision = 0;
        if (!feed->reading) scope.spawn(read_again(feed));
        return;
    }
    if (message.cancel_reason.contains("permission denied")) {
        return end(
            *feed,
            {ErrorCode::permission_denied,
             "store.permission",
             fmt::format("etcd: watching {}: {}", feed->prefix, message.cancel_reason)}
        );
    }
    throw Error{
        ErrorCode::unavailable,
        "store.watch_ended",
        fmt::format("etcd ended a watch: {}", message.cancel_reason)
    };
}

/// A message that comes in pieces counts when it is whole: a stream that breaks off in between is
/// resumed before it, and nothing is told twice.
void Watches::apply(Feed& feed, WatchMessage message) {
    std::ranges::move(message.changes, std::back_inserter(feed.fragments));
    if (message.fragment) return;
    const auto changes = std::exchange(feed.fragments, {});
    for (const auto& change : changes) {
        feed.next_revision = std::max(feed.next_revision, change.entry.mod_revision + 1);
        if (change.removed) {
            feed.hub->remove(change.entry.key);
        } else {
            feed.hub->put(entry_of(change.entry));
        }
    }
    // A sign of life of a watch that is up to date: what was before need not be kept for it.
    if (changes.empty())
        feed.next_revision = std::max(feed.next_revision, message.header.revision + 1);
}

void Watches::close() {
    closed_ = true;
    feeds_.close();
    guards_.clear();
}

}  // namespace stator::store::etcd
