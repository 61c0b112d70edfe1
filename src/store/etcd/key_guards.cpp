#include "store/etcd/key_guards.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "stator/store/keys.hpp"
#include "store/etcd/listing.hpp"

namespace stator::store::etcd {

namespace {

/// With "/": what all keys of a bucket begin with.
std::string bucket_of(const std::string& key) {
    const auto parts = split_key(key);
    return parts ? std::string{parts->bucket} + "/" : key;
}

}  // namespace

KeyGuards::Ranges::iterator KeyGuards::range_for(const std::string& key) {
    const bool single = singles_ < most_single;
    const auto name = single ? key : bucket_of(key);
    const auto [range, fresh] = ranges_.try_emplace(name);
    ++range->second.guards;
    if (!fresh) return range;
    if (single) {
        ++singles_;
    } else {
        range->second.end = end_of_prefix(name);
    }
    range->second.id = next_id_();
    by_id_.emplace(range->second.id, range);
    return range;
}

void KeyGuards::guard(const std::string& key, std::int64_t revision) {
    auto at = guards_.find(key);
    if (at == guards_.end()) at = guards_.emplace(key, Guard{.range = range_for(key)}).first;
    auto& guard = at->second;
    const bool followed = guard.next_revision != 0;
    guard.next_revision = std::max(guard.next_revision, revision + 1);
    if (!followed) watch_from(guard.range, guard.next_revision);
}

/// What others did to a key before it was guarded may have gone by already.
void KeyGuards::watch_from(Ranges::iterator range, std::int64_t revision) {
    auto& watch = range->second;
    if (watch.next_revision == 0 || revision < watch.next_revision) {
        end_stream(watch);
        by_id_.erase(watch.id);
        watch.id = next_id_();  // what still comes of the old one is told again
        by_id_.emplace(watch.id, range);
        watch.next_revision = revision;
    }
    stream(range);
}

void KeyGuards::stream(Ranges::iterator range) {
    auto& watch = range->second;
    if (stream_ == nullptr || watch.next_revision == 0 || watch.streaming) return;
    watch.streaming = true;
    stream_->create(
        {.id = watch.id,
         .key = range->first,
         .range_end = watch.end,
         .start_revision = watch.next_revision}
    );
}

void KeyGuards::end_stream(Range& range) {
    if (stream_ != nullptr && range.streaming) stream_->drop(range.id);
    range.streaming = false;
    range.fragments.clear();
}

void KeyGuards::unguard(const std::string& key) {
    const auto at = guards_.find(key);
    if (at == guards_.end()) return;
    const auto range = at->second.range;
    guards_.erase(at);
    if (--range->second.guards != 0) return;
    end_stream(range->second);
    erase(range);
}

void KeyGuards::erase(Ranges::iterator range) {
    if (range->second.end.empty()) --singles_;
    by_id_.erase(range->second.id);
    ranges_.erase(range);
}

void KeyGuards::resume(WatchStream& stream_now) {
    stream_ = &stream_now;
    for (auto range = ranges_.begin(); range != ranges_.end(); ++range) stream(range);
}

void KeyGuards::pause() {
    stream_ = nullptr;
    for (auto& [name, range] : ranges_) end_stream(range);
}

void KeyGuards::forget() {
    for (auto& [name, range] : ranges_) range.next_revision = 0;
    for (auto& [key, guard] : guards_) guard.next_revision = 0;
}

void KeyGuards::clear() {
    guards_.clear();
    by_id_.clear();
    ranges_.clear();
    singles_ = 0;
}

bool KeyGuards::handle(WatchMessage& message) {
    const auto found = by_id_.find(message.id);
    if (found == by_id_.end()) return false;
    const auto range = found->second;
    auto& watch = range->second;
    if (!watch.streaming || watch.next_revision == 0) return true;
    if (message.cancelled) {
        handle_cancelled(range, message);
    } else if (!message.created) {
        // A message that comes in pieces counts when it is whole, or its rest would not come again.
        std::ranges::move(message.changes, std::back_inserter(watch.fragments));
        if (!message.fragment) apply(range, message);
    }
    return true;
}

void KeyGuards::handle_cancelled(Ranges::iterator range, const WatchMessage& message) {
    auto& watch = range->second;
    watch.streaming = false;
    watch.fragments.clear();
    const auto keys = keys_of(range);
    if (message.compact_revision != 0) {
        watch.next_revision = message.compact_revision;
        stream(range);
        // What happened before is not known any more: it may have been anything.
        for (const auto& key : keys) observer_(key, std::nullopt);
        return;
    }
    if (message.cancel_reason.contains("permission denied")) {
        for (const auto& key : keys) guards_.erase(key);  // renewals have to do
        return erase(range);
    }
    throw Error{
        ErrorCode::unavailable,
        "store.watch_ended",
        fmt::format("etcd ended a watch: {}", message.cancel_reason)
    };
}

void KeyGuards::apply(Ranges::iterator range, const WatchMessage& message) {
    auto& next = range->second.next_revision;
    const auto changes = std::exchange(range->second.fragments, {});
    std::vector<std::pair<std::string, std::optional<std::int64_t>>> told;
    for (const auto& [removed, entry] : changes) {
        next = std::max(next, entry.mod_revision + 1);
        const auto guard = guards_.find(entry.key);
        if (guard == guards_.end() || guard->second.range != range) continue;
        if (entry.mod_revision < guard->second.next_revision) continue;
        guard->second.next_revision = entry.mod_revision + 1;
        told.emplace_back(entry.key, removed ? std::nullopt : std::optional{entry.lease});
    }
    // A sign of life of a watch that is up to date: what was before need not be kept for it.
    if (changes.empty()) next = std::max(next, message.header.revision + 1);
    for (const auto& [key, lease] : told) observer_(key, lease);
}

std::vector<std::string> KeyGuards::keys_of(Ranges::iterator range) const {
    std::vector<std::string> keys;
    for (const auto& [key, guard] : guards_) {
        if (guard.range == range) keys.push_back(key);
    }
    return keys;
}

}  // namespace stator::store::etcd
