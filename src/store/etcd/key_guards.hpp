// The keys that a store keeps, watched so that what others do to them is known at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/etcd/link.hpp"

namespace stator::store::etcd {

/// The first `most_single` keys have a watch each, which tells of nothing else. The others share
/// one with all of their bucket: it tells of what is not ours, too, which is passed over; but
/// whoever keeps thousands of keys has not thousands of watches to be resumed.
///
/// A part of Watches, on its loop: a watch goes on from the revision that it has seen, on whichever
/// stream.
class KeyGuards {
public:
    static constexpr std::size_t most_single = 256;

    /// A guarded key was written under that lease of etcd (0: none); without one, it was removed,
    /// or may have been. It may end guards.
    using Observer = std::function<void(const std::string& key, std::optional<std::int64_t> lease)>;
    /// Of a new watch.
    using NextId = std::function<std::int64_t()>;

    KeyGuards(Observer observer, NextId next_id)
        : observer_{std::move(observer)}, next_id_{std::move(next_id)} {}
    KeyGuards(const KeyGuards&) = delete;
    KeyGuards& operator=(const KeyGuards&) = delete;

    /// From now on the observer is told of changes to that key after `revision`, which is of our
    /// own write.
    void guard(const std::string& key, std::int64_t revision);
    void unguard(const std::string& key);
    bool empty() const noexcept { return guards_.empty(); }

    /// They are on that stream, until `pause`, which comes before its end.
    void resume(WatchStream& stream);
    void pause();
    /// The store has become another one: a key is watched again once it is written there.
    void forget();
    void clear();

    /// False if it is not about them. Throws Error{unavailable}, detail "store.watch_ended".
    bool handle(WatchMessage& message);

private:
    /// A watch, of one key or of what begins with a prefix.
    struct Range {
        std::string end;  // as etcd has it; empty: one key
        std::int64_t id = 0;
        std::int64_t next_revision = 0;  // 0: of a store that is no more
        std::size_t guards = 0;
        bool streaming = false;
        std::vector<WatchChange> fragments;
    };
    using Ranges = std::map<std::string, Range, std::less<>>;
    struct Guard {
        Ranges::iterator range;
        std::int64_t next_revision = 0;  // what is before is known; 0: as of the range
    };

    Ranges::iterator range_for(const std::string& key);
    void watch_from(Ranges::iterator range, std::int64_t revision);
    void stream(Ranges::iterator range);
    void end_stream(Range& range);
    void erase(Ranges::iterator range);
    void handle_cancelled(Ranges::iterator range, const WatchMessage& message);
    void apply(Ranges::iterator range, const WatchMessage& message);
    std::vector<std::string> keys_of(Ranges::iterator range) const;

    const Observer observer_;
    const NextId next_id_;
    std::map<std::string, Guard, std::less<>> guards_;
    Ranges ranges_;  // by the key or the prefix
    std::map<std::int64_t, Ranges::iterator> by_id_;
    std::size_t singles_ = 0;
    WatchStream* stream_ = nullptr;
};

}  // namespace stator::store::etcd
