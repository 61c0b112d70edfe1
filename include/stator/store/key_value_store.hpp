// KeyValueStore: what every discovery backend can do.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stator/runtime/loop.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/store/entry.hpp"
#include "stator/store/lease.hpp"
#include "stator/store/session.hpp"
#include "stator/store/watch.hpp"

namespace stator::store {

class SessionBody;
class SessionHold;

/// Keys are paths (store/keys.hpp), values bytes of at most 1 MiB. Every call may be awaited from
/// any loop: the work is done on the store's own (a secondary one), so a busy primary pool delays
/// answers but no keep-alive. Every call ends within the backend's own bound; `with_deadline`
/// shortens it. A `put` or `remove` whose answer is lost may be done twice (docs/consistency.md).
///
/// Shared by `shared_ptr`, neither copyable nor movable. Whoever made it ends it with `close`
/// before the loops stop. Common errors: invalid_request "store.key" / "store.value",
/// unavailable "store.closed", and the backend's: see there.
/// Cancel safety of all: throws `cancelled`; a change that had begun may have happened.
class KeyValueStore : public std::enable_shared_from_this<KeyValueStore> {
public:
    KeyValueStore(const KeyValueStore&) = delete;
    KeyValueStore& operator=(const KeyValueStore&) = delete;
    virtual ~KeyValueStore() = default;

    /// "mem", "file", ...
    virtual std::string_view backend() const noexcept = 0;
    Loop& loop() const noexcept { return loop_; }

    /// A new lease, kept alive by the store from now on.
    Task<Lease> grant_lease(LeaseOptions options);

    /// Whether the backend orders what is written and can tell who is gone, which sessions need:
    /// memory, etcd and NATS do, files do not.
    virtual bool has_sessions() const noexcept { return false; }
    /// A new session, renewed by the store from now on. Errors: unimplemented "store.no_sessions";
    /// invalid_request "store.ttl"; the store's.
    Task<Session> open_session(SessionOptions options);

    Task<std::optional<Entry>> get(std::string key);
    /// Everything whose key begins with `prefix`, sorted by key. Expired entries are not listed.
    Task<std::vector<Entry>> list(std::string prefix);

    /// Writes the key, whether it exists or not.
    Task<> put(std::string key, std::string value, Lease lease = {});
    /// Writes the key only if it does not exist: false, and nothing changed, if it does.
    Task<bool> create(std::string key, std::string value, Lease lease = {});
    /// As `create`, but a key that this lease keeps, or has kept, is written over: it may still be
    /// there under what the lease was before it was lost. What another has written stays.
    Task<bool> claim(std::string key, std::string value, Lease lease = {});
    /// As `create`, but a key that exists with the same value is as good as created. With another
    /// value: Error{already_exists}, detail "store.differs".
    Task<> create_or_validate(std::string key, std::string value, Lease lease = {});
    /// False if there was no such key. A key of another owner's lease may come back: its owner
    /// publishes it again. After an error an own key is no longer kept alive.
    Task<bool> remove(std::string key);

    struct Replacement {
        std::string old;
        std::string key;  ///< another one
        std::string value;
        Lease lease{};
    };
    /// Writes `key` in the place of `old`: one change where the backend can, as memory and etcd;
    /// with files and NATS both are there for a moment. False, and nothing changed, if `key` exists
    /// with another value or is another's. After an error one, both or none may be there; it may be
    /// tried again. Errors as well: invalid_request "store.key" when both are the same.
    Task<bool> replace(Replacement change);

    /// Removes the key if it is what was written here under that lease, with that value; what
    /// another has written stays. Of a revoked lease nothing is left to remove.
    Task<> remove_own(std::string key, std::string value, Lease lease = {});

    /// Established when it returns: no later change is missed.
    Task<Watch> watch(std::string prefix);

    /// Revokes this store's leases, removes its other keys where they do not outlive it, ends the
    /// watches (their `next` yields nothing) and waits for everything the store runs. What is not
    /// done at `deadline` is left to run out. Never throws; idempotent.
    Task<> close(Deadline deadline);

protected:
    explicit KeyValueStore(Loop& loop) noexcept : loop_{loop} {}

    /// A lease that is renewed every `period` from now on; zero: when half of what is left to it is
    /// over. On the loop.
    std::shared_ptr<LeaseBody> add_lease(
        Duration ttl, Duration period, const CancellationToken& bound_to
    );
    /// Renews before its time: keys are known to be missing. On the loop.
    void renew_soon(const std::shared_ptr<LeaseBody>& lease);
    /// One renewal, with its outcome in the lease's state. On the loop. Errors: the backend's.
    Task<> renew(std::shared_ptr<LeaseBody> lease);
    static const std::shared_ptr<LeaseBody>& body_of(const Lease& lease) noexcept {
        return lease.body_;
    }
    TaskScope& scope() noexcept { return scope_; }
    /// When `close` must have ended; never before it begins. On the loop.
    Deadline close_by() const noexcept { return close_by_; }

private:
    friend class Lease;
    friend class Session;
    /// What a backend implements. Called on `loop()` with checked arguments, not after `close`;
    /// a lease is never null, its token may be cancelled at any suspension.
    virtual Task<std::shared_ptr<LeaseBody>> do_grant_lease(LeaseOptions options) = 0;
    /// Renews what the lease keeps and publishes again what is missing, saying so by `recovering`.
    virtual Task<> do_refresh(std::shared_ptr<LeaseBody> lease) = 0;
    /// Removes the lease's keys. Called once; nothing is written under the lease afterwards.
    virtual Task<> do_revoke(std::shared_ptr<LeaseBody> lease) = 0;
    virtual Task<std::optional<Entry>> do_get(std::string key) = 0;
    virtual Task<std::vector<Entry>> do_list(std::string prefix) = 0;
    virtual Task<> do_put(std::string key, std::string value, std::shared_ptr<LeaseBody> lease) = 0;
    virtual Task<bool> do_create(
        std::string key, std::string value, std::shared_ptr<LeaseBody> lease
    ) = 0;
    virtual Task<bool> do_remove(std::string key) = 0;
    virtual Task<bool> do_replace(std::string old, Entry entry, std::shared_ptr<LeaseBody> lease);
    /// These two look first and write then, unless a backend can do better.
    virtual Task<bool> do_claim(
        std::string key, std::string value, std::shared_ptr<LeaseBody> lease
    );
    virtual Task<> do_remove_own(
        std::string key, std::string value, std::shared_ptr<LeaseBody> lease
    );
    virtual Task<Watch> do_watch(std::string prefix) = 0;
    /// Called only where there are sessions. `ttl` may be zero.
    virtual Task<std::shared_ptr<SessionHold>> do_open_session(Duration ttl);
    /// Ends the watches. The leases are revoked by then, and the tasks of the scope have ended.
    virtual Task<> do_close() = 0;

    struct Write {
        std::string key;
        std::string value;
        Lease lease;
    };
    void check_open() const;
    static void check_write(std::string_view key, std::string_view value);
    Task<std::shared_ptr<LeaseBody>> body_for(Lease lease);
    Task<Lease> grant_here(LeaseOptions options);
    Task<> put_here(Write write);
    Task<bool> create_here(Write write);
    Task<bool> replace_here(Replacement change);
    Task<bool> claim_here(Write write);
    Task<> remove_own_here(Write write);
    /// Runs the backend's work on the loop, with the store kept alive meanwhile.
    template <class T>
    Task<T> here(Task<T> work) {
        check_open();
        const auto self = shared_from_this();
        co_return co_await on_loop(loop_, std::move(work));
    }
    Task<> close_here(Deadline deadline);
    Task<> leave_at(Deadline deadline);
    Task<> renew_at_once(std::shared_ptr<LeaseBody> lease);
    Task<> keep_alive(std::shared_ptr<LeaseBody> lease);
    Task<Session> open_session_here(SessionOptions options);
    Task<> keep_session(std::shared_ptr<SessionBody> session);
    Task<> end_session(std::shared_ptr<SessionBody> session);
    Task<GuardedReply> write_in_session(std::shared_ptr<SessionBody> session, GuardedWrite write);

    Loop& loop_;
    std::atomic<bool> closing_{false};
    Deadline close_by_;                                           // on the loop, as what follows
    const CancellationToken leaving_{CancellationToken::make()};  // ends what close waits for
    std::vector<std::shared_ptr<LeaseBody>> leases_;
    std::vector<std::weak_ptr<SessionBody>> sessions_;
    std::shared_ptr<LeaseBody> own_lease_;  // of keys that were written without one
    std::uint64_t last_lease_id_ = 0;
    Event closed_;
    TaskScope scope_;
};

}  // namespace stator::store
