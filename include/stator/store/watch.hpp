// Watch: the entries below a prefix, as a snapshot and then its changes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/runtime/task.hpp"
#include "stator/store/entry.hpp"

namespace stator::store {

struct WatchEvent {
    enum class Kind : std::uint8_t {
        snapshot = 1,  ///< `entries` is everything there is: replaces what the watcher knew
        put = 2,       ///< `entry` is new or has a new value, or was published again
        removed = 3,   ///< `entry.key` is gone (`entry.value` is empty)
    };
    Kind kind = Kind::snapshot;
    std::vector<Entry> entries;
    Entry entry;
    /// When this process learned of it, by the clock of the thread that did.
    TimePoint learned{};
};

class WatchQueue;

/// The first event is a snapshot; deltas follow without a gap. Whenever continuity is lost (an
/// overflow, a reconnect, a slow reader) the next event is a snapshot again. At most 1024 deltas
/// wait for a slow reader: then they are dropped and replaced by a snapshot, so neither memory nor
/// the store depends on it.
///
/// Owned by one reader, movable; one `next` at a time, on any loop. Dropping it unsubscribes.
class Watch {
public:
    Watch() noexcept = default;
    explicit Watch(std::shared_ptr<WatchQueue> queue) noexcept;
    Watch(Watch&&) noexcept = default;
    Watch& operator=(Watch&&) noexcept = default;

    /// The next event; nothing once the store is closed.
    /// Errors: `unavailable` when the backend ended the watch; open a new one then.
    /// Cancel safety: throws `cancelled`; no event is lost.
    Task<std::optional<WatchEvent>> next();
    /// The next event if one waits already: for readers that handle what there is in one go.
    std::optional<WatchEvent> try_next();

private:
    std::shared_ptr<WatchQueue> queue_;
};

}  // namespace stator::store
