#include "stator/store/key_value_store.hpp"

#include <algorithm>
#include <source_location>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/store/keys.hpp"
#include "store/lease_body.hpp"
#include "store/session_body.hpp"

namespace stator::store {

namespace {

constexpr std::size_t max_value_size = std::size_t{1} << 20U;
/// How long the removal of a lease's keys may take.
constexpr Duration revoke_timeout = std::chrono::seconds{5};

void check_key(std::string_view key) {
    if (const auto parts = split_key(key); !parts) throw parts.error();
}

void check_prefix(std::string_view prefix) {
    if (const auto parts = split_prefix(prefix); !parts) throw parts.error();
}

void report(
    Severity severity,
    std::string_view backend,
    std::string_view what,
    std::source_location where = std::source_location::current()
) {
    sink().report(severity, "stator::store", fmt::format("{} store: {}", backend, what), where);
}

}  // namespace

void KeyValueStore::check_open() const {
    if (closing_.load(std::memory_order_acquire))
        throw Error{ErrorCode::unavailable, "store.closed", "the store is closed"};
}

void KeyValueStore::check_write(std::string_view key, std::string_view value) {
    check_key(key);
    if (value.empty() || value.size() > max_value_size)
        throw Error{
            ErrorCode::invalid_request,
            "store.value",
            fmt::format("the value of {} has {} bytes, not 1 to 1 MiB", key, value.size())
        };
}

Task<Lease> KeyValueStore::grant_lease(LeaseOptions options) {
    return here(grant_here(std::move(options)));
}

Task<Lease> KeyValueStore::grant_here(LeaseOptions options) {
    co_return Lease{co_await do_grant_lease(std::move(options))};
}

Task<std::optional<Entry>> KeyValueStore::get(std::string key) {
    check_key(key);
    co_return co_await here(do_get(std::move(key)));
}

Task<std::vector<Entry>> KeyValueStore::list(std::string prefix) {
    check_prefix(prefix);
    co_return co_await here(do_list(std::move(prefix)));
}

Task<> KeyValueStore::put(std::string key, std::string value, Lease lease) {
    check_write(key, value);
    co_await here(put_here({std::move(key), std::move(value), std::move(lease)}));
}

Task<bool> KeyValueStore::create(std::string key, std::string value, Lease lease) {
    check_write(key, value);
    co_return co_await here(create_here({std::move(key), std::move(value), std::move(lease)}));
}

Task<bool> KeyValueStore::claim(std::string key, std::string value, Lease lease) {
    check_write(key, value);
    co_return co_await here(claim_here({std::move(key), std::move(value), std::move(lease)}));
}

Task<> KeyValueStore::create_or_validate(std::string key, std::string value, Lease lease) {
    // Twice: an entry that is gone when it is compared leaves the place free.
    for (int attempt = 0; attempt < 2; ++attempt) {
        if (co_await create(key, value, lease)) co_return;
        const auto existing = co_await get(key);
        if (existing && existing->value == value) co_return;
        if (existing) break;
    }
    throw Error{
        ErrorCode::already_exists, "store.differs", fmt::format("{} exists with another value", key)
    };
}

Task<bool> KeyValueStore::remove(std::string key) {
    check_key(key);
    co_return co_await here(do_remove(std::move(key)));
}

Task<bool> KeyValueStore::replace(Replacement change) {
    check_key(change.old);
    check_write(change.key, change.value);
    if (change.old == change.key)
        throw Error{
            ErrorCode::invalid_request,
            "store.key",
            fmt::format("{} cannot take its own place", change.key)
        };
    co_return co_await here(replace_here(std::move(change)));
}

Task<> KeyValueStore::remove_own(std::string key, std::string value, Lease lease) {
    check_write(key, value);
    if (lease.state() == LeaseState::revoked) co_return;
    co_await here(remove_own_here({std::move(key), std::move(value), std::move(lease)}));
}

Task<Watch> KeyValueStore::watch(std::string prefix) {
    check_prefix(prefix);
    co_return co_await here(do_watch(std::move(prefix)));
}

Task<> KeyValueStore::put_here(Write write) {
    auto body = co_await body_for(std::move(write.lease));
    co_await do_put(std::move(write.key), std::move(write.value), std::move(body));
}

Task<bool> KeyValueStore::create_here(Write write) {
    auto body = co_await body_for(std::move(write.lease));
    co_return co_await do_create(std::move(write.key), std::move(write.value), std::move(body));
}

Task<bool> KeyValueStore::replace_here(Replacement change) {
    auto body = co_await body_for(std::move(change.lease));
    Entry entry{.key = std::move(change.key), .value = std::move(change.value)};
    co_return co_await do_replace(std::move(change.old), std::move(entry), std::move(body));
}

/// In two steps. The new key comes first: who looks in between still finds one of them.
Task<bool> KeyValueStore::do_replace(
    std::string old, Entry entry, std::shared_ptr<LeaseBody> lease
) {
    if (!co_await do_create(entry.key, entry.value, lease)) {
        // One that was tried before and got half of the way has left it.
        const auto known = lease->keys.find(entry.key);
        if (known == lease->keys.end() || known->second != entry.value) co_return false;
    }
    co_await do_remove(std::move(old));
    co_return true;
}

Task<bool> KeyValueStore::claim_here(Write write) {
    auto body = co_await body_for(std::move(write.lease));
    co_return co_await do_claim(std::move(write.key), std::move(write.value), std::move(body));
}

Task<> KeyValueStore::remove_own_here(Write write) {
    // One that is being revoked takes the key along.
    if (write.lease && write.lease.token().cancelled()) co_return;
    auto body = co_await body_for(std::move(write.lease));
    co_await do_remove_own(std::move(write.key), std::move(write.value), std::move(body));
}

Task<bool> KeyValueStore::do_claim(
    std::string key, std::string value, std::shared_ptr<LeaseBody> lease
) {
    if (co_await do_create(key, value, lease)) co_return true;
    if (!lease->keys.contains(key)) co_return false;
    co_await do_put(std::move(key), std::move(value), std::move(lease));
    co_return true;
}

Task<> KeyValueStore::do_remove_own(
    std::string key, std::string value, std::shared_ptr<LeaseBody> lease
) {
    if (!lease->keys.contains(key)) {
        const auto found = co_await do_get(key);
        if (!found || found->value != value) co_return;
    }
    (void)co_await do_remove(std::move(key));
}

Task<std::shared_ptr<LeaseBody>> KeyValueStore::body_for(Lease lease) {
    if (!lease) {
        if (!own_lease_) {
            auto own = co_await do_grant_lease({});
            if (!own_lease_) own_lease_ = std::move(own);
        }
        co_return own_lease_;
    }
    if (lease.body_->store.lock().get() != this)
        throw Error{ErrorCode::invalid_request, "store.lease", "the lease is another store's"};
    if (lease.body_->token.cancelled())
        throw Error{ErrorCode::unavailable, "store.lease_revoked", "the lease is revoked"};
    co_return std::move(lease.body_);
}

std::shared_ptr<LeaseBody> KeyValueStore::add_lease(
    Duration ttl, Duration period, const CancellationToken& bound_to
) {
    check_open();  // a close may have begun while the backend was asked
    auto body = std::make_shared<LeaseBody>(
        weak_from_this(),
        LeaseBody::Terms{.id = ++last_lease_id_, .ttl = ttl, .period = period},
        bound_to
    );
    leases_.push_back(body);
    scope_.spawn(keep_alive(body));
    return body;
}

/// Reports transitions, not attempts.
Task<> KeyValueStore::renew(std::shared_ptr<LeaseBody> lease) {
    const auto begun = loop_.now();
    sink().gauge("lease_slack_seconds", std::chrono::duration<double>{lease->slack(begun)}.count());
    lease->attempted(begun);
    if (lease->slack(begun) == Duration::zero()) lease->lose();
    auto outcome = co_await as_result(do_refresh(lease));
    if (outcome) {
        lease->renewed(begun);
        if (lease->set_state(LeaseState::alive))
            report(Severity::info, backend(), "the lease's keys are published again");
        co_return;
    }
    if (outcome.error().code() != ErrorCode::cancelled) {
        sink().count("store_refresh_failures_total", 1);
        if (lease->set_state(LeaseState::recovering))
            report(
                Severity::warn,
                backend(),
                fmt::format("cannot renew a lease: {}", outcome.error().what())
            );
    }
    throw std::move(outcome.error());
}

void KeyValueStore::renew_soon(const std::shared_ptr<LeaseBody>& lease) {
    if (lease->token.cancelled() || std::exchange(lease->renewal_due, true)) return;
    scope_.spawn(renew_at_once(lease));
}

namespace {

Task<Permit> turn_to_renew(std::shared_ptr<LeaseBody> lease) {
    co_return co_await lease->renewal_turn.acquire();
}

}  // namespace

/// Two at a time at most, one of which waits, however often the keys change meanwhile.
Task<> KeyValueStore::renew_at_once(std::shared_ptr<LeaseBody> lease) {
    const auto turn = co_await as_result(with_token(lease->token, turn_to_renew(lease)));
    lease->renewal_due = false;
    if (!turn) co_return;
    (void)co_await as_result(with_token(lease->token, renew(lease)));
}

/// The life of a lease: renewals until its token fires, then the removal of its keys. The removal
/// must happen when the store's scope ends, too, and is bounded instead.
Task<> KeyValueStore::keep_alive(std::shared_ptr<LeaseBody> lease) {
    while (co_await sleep_until(lease->next_renewal(), lease->token))
        (void)co_await as_result(with_token(lease->token, renew(lease)));
    const auto until = earliest(Deadline::in(revoke_timeout), close_by_);
    auto outcome = co_await as_result(with_token(leaving_, with_deadline(until, do_revoke(lease))));
    lease->set_state(LeaseState::revoked);
    std::erase(leases_, lease);
    if (!outcome)
        report(
            Severity::warn,
            backend(),
            fmt::format("keys of a revoked lease run out by themselves: {}", outcome.error().what())
        );
    lease->finish(outcome ? std::nullopt : std::optional{outcome.error()});
}

Task<> KeyValueStore::close(Deadline deadline) {
    const auto self = shared_from_this();
    co_await shielded(on_loop(loop_, close_here(deadline)));
}

Task<> KeyValueStore::close_here(Deadline deadline) {
    if (closing_.exchange(true, std::memory_order_acq_rel)) {
        co_await closed_.wait();
        co_return;
    }
    close_by_ = deadline;
    TaskScope in_time;
    if (!deadline.is_never()) in_time.spawn(leave_at(deadline));
    const auto leases = leases_;
    for (const auto& lease : leases) lease->token.cancel(CancelReason::shutdown);
    for (const auto& item : sessions_) {
        if (const auto session = item.lock()) session->token.cancel(CancelReason::shutdown);
    }
    for (const auto& lease : leases) (void)co_await as_result(lease->finished());
    co_await scope_.close(CancelReason::shutdown);
    (void)co_await as_result(do_close());
    own_lease_ = nullptr;
    co_await in_time.close(CancelReason::shutdown);
    closed_.set();
}

/// Removals may have begun before anybody knew when the store would be closed.
Task<> KeyValueStore::leave_at(Deadline deadline) {
    co_await sleep_until(deadline);
    leaving_.cancel(CancelReason::shutdown);
}

}  // namespace stator::store
