// SteadyWatch: a watch that begins again when its backend has ended it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "stator/base/backoff.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::store {

/// A Watch that outlives what can be lived through: after an error that may pass it is opened
/// again, with growing pauses, and its next event is a snapshot as after every loss of continuity.
///
/// Owned by one reader, movable; one `next` at a time, on any loop. Dropping it unsubscribes.
class SteadyWatch {
public:
    /// Established when it returns. Errors and cancel safety: as KeyValueStore::watch.
    static Task<SteadyWatch> open(std::shared_ptr<KeyValueStore> store, std::string prefix);

    const std::shared_ptr<KeyValueStore>& store() const noexcept { return store_; }
    const std::string& prefix() const noexcept { return prefix_; }

    /// The next event; nothing once the store is closed. Errors: those of the store that do not
    /// pass (permission_denied, ...). Cancel safety: throws `cancelled`; no event is lost.
    Task<std::optional<WatchEvent>> next();
    /// The next event if one waits already.
    std::optional<WatchEvent> try_next();

private:
    SteadyWatch(std::shared_ptr<KeyValueStore> store, std::string prefix, Watch watch);
    Task<bool> open_again();

    std::shared_ptr<KeyValueStore> store_;
    std::string prefix_;
    std::optional<Watch> watch_;  // nothing: to be opened again
    Backoff backoff_;
};

}  // namespace stator::store
