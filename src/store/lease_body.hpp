// What a Lease handle shares with its store.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "stator/base/error.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/version_gate.hpp"
#include "stator/store/lease.hpp"

namespace stator::store {

class KeyValueStore;

/// Thread-safe apart from `keys` and what renewals use, which belong to the store's loop. Kept by
/// the handles and by the store's keep-alive, whichever is longer.
class LeaseBody {
public:
    struct Terms {
        std::uint64_t id = 0;
        Duration ttl{};
        Duration period{};  ///< between renewals; zero: half of what is left
    };
    LeaseBody(std::weak_ptr<KeyValueStore> store, Terms terms, const CancellationToken& bound_to);

    const std::weak_ptr<KeyValueStore> store;
    const Terms terms;
    /// Cancelled to revoke: by the owner, by what it is bound to, by the store's close.
    const CancellationToken token;

    /// What the lease keeps: key and value, for publishing again.
    std::map<std::string, std::string> keys;
    /// One that was asked for before its time waits for its turn. It has not looked yet: who asks
    /// then needs no other.
    bool renewal_due = false;
    Semaphore renewal_turn{1};  ///< of those that were asked for

    LeaseState state() const noexcept { return state_.load(std::memory_order_acquire); }
    /// True if that is a change; `revoked` is never left.
    bool set_state(LeaseState state) noexcept;
    std::uint64_t recoveries() const noexcept {
        return recoveries_.load(std::memory_order_relaxed);
    }
    /// The backend has dropped it, or may have: counted once until it is renewed.
    void lose() noexcept;
    std::uint64_t losses() const noexcept { return losses_.load(std::memory_order_relaxed); }
    VersionGate& changes() noexcept { return changes_; }

    /// Somebody else holds the key, or no longer; true if that is a change.
    bool set_lost(const std::string& key, bool lost);
    bool lost(const std::string& key) const;

    void attempted(TimePoint when) noexcept;
    void renewed(TimePoint when) noexcept;
    Deadline next_renewal() const noexcept;
    Duration slack(TimePoint now) const noexcept;

    /// The removal of the keys is over, with or without an error.
    void finish(std::optional<Error> error);
    /// Waits for `finish` and throws its error.
    Task<> finished();

private:
    std::atomic<LeaseState> state_{LeaseState::alive};
    std::atomic<std::uint64_t> recoveries_{0};
    std::atomic<std::uint64_t> losses_{0};
    std::atomic<bool> is_lost_{false};
    std::atomic<Duration::rep> attempted_at_;
    std::atomic<Duration::rep> renewed_at_;
    VersionGate changes_;
    mutable std::mutex lost_lock_;
    std::set<std::string, std::less<>> lost_;
    std::optional<Error> error_;  // written before `finished_` is set, read after
    Event finished_;
};

}  // namespace stator::store
