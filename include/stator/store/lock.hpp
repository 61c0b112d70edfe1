// Lock: one holder at a time, or many who share it, across processes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "stator/base/deadline.hpp"
#include "stator/store/key_value_store.hpp"
#include "stator/store/session.hpp"

namespace stator::store {

/// As a writer, or as a reader.
enum class LockMode : std::uint8_t {
    exclusive,  ///< held by nobody else
    shared,     ///< held by nobody but others who share it
};
std::string_view to_string(LockMode mode) noexcept;

struct QueuePlace;

struct LockOptions {
    /// Who is waiting, for those who look; empty: the process's number.
    std::string holder{};
    /// How long others wait for a holder that is heard of no more; zero: the store's own.
    Duration ttl{};
    /// Until when to wait for it; where the store is slow, `acquire` then needs up to 5 s to leave.
    Deadline deadline{};
    /// Cancelled: the lock is given back.
    CancellationToken bound_to{};
    LockMode mode = LockMode::exclusive;
};

/// A fair lock: who asked first is served first, by the revision at which each has asked. Those
/// who share it are in together, unless somebody who excludes them asked before: who comes later
/// waits behind that one, so neither kind keeps the other out.
///
/// That revision is the fencing token, too: it grows from holder to holder, so a resource that
/// refuses tokens below the largest it has seen is safe from a holder that was held up for longer
/// than its time and does not know yet. Those who share a lock hold it with different tokens: Fence
/// (store/fence.hpp) is the rule for both kinds. (An etcd that was wiped counts from the
/// beginning.)
///
/// Held as long as its session lives; what can end that is in session.hpp. Movable, one owner;
/// thread-safe. Dropping it gives it back.
///
/// Errors: unimplemented "store.no_sessions" (file); invalid_request "store.name".
class Lock {
public:
    /// Waits for the lock. Errors besides: deadline_exceeded "store.lock_wait" naming the holder;
    /// unavailable "store.session_lost" when the place in the queue was lost; the store's.
    /// Cancel safety: throws `cancelled`; the place is given back.
    static Task<Lock> acquire(
        std::shared_ptr<KeyValueStore> store, std::string name, LockOptions options = {}
    );
    /// The lock, if nobody who would be in its way holds it or waits for it. Errors and cancel
    /// safety: as `acquire`.
    static Task<std::optional<Lock>> try_acquire(
        std::shared_ptr<KeyValueStore> store, std::string name, LockOptions options = {}
    );

    Lock(Lock&&) noexcept = default;
    Lock& operator=(Lock&&) noexcept = default;
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock() = default;

    const std::string& name() const noexcept { return name_; }
    LockMode mode() const noexcept { return mode_; }
    /// The key that stands for the holder: there, and created at `fencing_token`, for as long as
    /// the lock is held, so that a transaction of etcd's can ask for it.
    const std::string& key() const noexcept { return key_; }
    std::uint64_t fencing_token() const noexcept { return created_; }
    /// Cancelled once it is lost (`peer_gone`) or given back.
    const CancellationToken& token() const noexcept { return session_.token(); }
    /// Whether it is held at this moment for certain; right even before the token could fire.
    bool held() const noexcept { return session_.alive(); }
    const Session& session() const noexcept { return session_; }

    /// Gives it back; returns when the next one can have it. As Session::close.
    Task<> release() const { return session_.close(); }

private:
    Lock(std::string name, QueuePlace place) noexcept;

    std::string name_;
    LockMode mode_ = LockMode::exclusive;
    std::string key_;
    std::uint64_t created_ = 0;
    Session session_;
};

}  // namespace stator::store
