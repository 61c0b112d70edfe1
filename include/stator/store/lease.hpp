// Lease: what keeps keys in a store.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "stator/base/deadline.hpp"
#include "stator/runtime/cancellation_token.hpp"
#include "stator/runtime/task.hpp"

namespace stator::store {

enum class LeaseState : std::uint8_t {
    alive = 1,       ///< The backend holds every key of the lease, as far as is known.
    recovering = 2,  ///< Keys were lost, or cannot be renewed: they are being published again.
    revoked = 3,     ///< Ended by its owner; the keys are gone or run out by themselves.
};

std::string_view to_string(LeaseState state) noexcept;

/// What a new lease is bound to.
struct LeaseOptions {
    /// Cancelled: the lease is revoked and the store drops its keys.
    CancellationToken bound_to;
    /// How long keys outlive their owner; zero: the backend's own. The file backend knows one TTL
    /// for a whole folder and refuses others (invalid_request, detail "store.ttl").
    Duration ttl{};
};

class KeyValueStore;
class LeaseBody;

/// A cheap copyable handle; thread-safe. The lease itself belongs to its store and ends when its
/// token is cancelled, at `revoke`, or when the store is closed; never by being lost: a store that
/// loses the keys of a lease is `recovering` and gets them back, under the same names. A lease is a
/// proof of liveness, not an identity: what a key is called never depends on it.
class Lease {
public:
    /// No lease: keys live as long as the store object that wrote them.
    Lease() noexcept = default;

    explicit operator bool() const noexcept { return body_ != nullptr; }
    friend bool operator==(const Lease&, const Lease&) = default;

    /// For logs and for telling leases of one store apart.
    std::uint64_t id() const noexcept;
    Duration ttl() const noexcept;
    LeaseState state() const noexcept;
    /// How often `recovering` was entered.
    std::uint64_t recoveries() const noexcept;
    /// How often its keys were lost all at once: the backend had dropped the lease, or it was not
    /// renewed for as long as it lasts. Counted once until it is renewed.
    std::uint64_t losses() const noexcept;
    /// Time until the backend may drop the keys if nothing is renewed; zero when overdue.
    Duration slack() const noexcept;
    /// When the store renews it next.
    Deadline next_renewal() const noexcept;
    /// Cancelled when the lease is revoked, for whatever reason.
    const CancellationToken& token() const noexcept;

    /// Renews now, and publishes again what was lost. Called by the store's own keep-alive; calling
    /// it besides is harmless. Errors: the backend's; the state says `recovering` then, and the
    /// keep-alive tries again. Cancel safety: throws `cancelled`; renewing goes on by itself.
    Task<> refresh() const;
    /// Removes the keys and ends the lease; returns when that is confirmed. Idempotent.
    /// Errors: the backend's; the lease is revoked all the same and its keys run out by themselves.
    /// Cancel safety: throws `cancelled`; the lease is revoked all the same.
    Task<> revoke() const;
    /// Whether somebody else has taken the key over: it is theirs until they let go of it, and
    /// comes back to this lease then.
    bool lost(const std::string& key) const;
    /// Counts changes: of the state, of what is lost to others, and losses of all keys.
    std::uint64_t version() const noexcept;
    /// Returns once `version` is above `seen`. Cancel safety: throws `cancelled`.
    Task<> wait_past(std::uint64_t seen) const;
    /// The state, once it is another one than `seen`. Cancel safety: throws `cancelled`.
    Task<LeaseState> wait_for_change(LeaseState seen) const;

private:
    friend class KeyValueStore;
    explicit Lease(std::shared_ptr<LeaseBody> body) noexcept : body_{std::move(body)} {}
    static Task<> renew(std::shared_ptr<LeaseBody> body, std::shared_ptr<KeyValueStore> store);
    std::shared_ptr<LeaseBody> body_;
};

}  // namespace stator::store
