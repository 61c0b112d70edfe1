// What callers and leases ask of an EtcdStore.
#include "store/etcd/etcd_store_impl.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"

namespace stator::store {

using namespace std::chrono_literals;

namespace {

/// How many keys are published again at a time.
constexpr std::size_t keys_at_a_time = 32;
/// A renewal has half of what is left, but not less than this.
constexpr Duration shortest_renewal = 500ms;

Error lease_revoked() {
    return Error{ErrorCode::unavailable, "store.lease_revoked", "the lease is revoked"};
}

/// What the key is instead, of a `put_if` that did not put it.
const EtcdEntry* entry_in(const EtcdTransactionReply& reply) {
    if (reply.results.empty() || reply.results.back().entries.empty()) return nullptr;
    return &reply.results.back().entries.front();
}

/// Puts the key if the conditions hold, and says what it is if they do not.
EtcdTransaction put_if(
    std::vector<EtcdCondition> conditions,
    const std::string& key,
    std::string value,
    std::int64_t lease
) {
    return {
        .conditions = std::move(conditions),
        .then = {EtcdOperation::put(key, std::move(value), lease)},
        .otherwise = {EtcdOperation::get(key)},
        .repeatable = true,
    };
}

}  // namespace

EtcdStore::Impl::Impl(EtcdStore& store, std::shared_ptr<etcd::Link> link_)
    : link{std::move(link_)}, store_{store}, identity_{std::make_shared<etcd::Identity>(link)} {
    watches = std::make_unique<etcd::Watches>(
        link,
        identity_,
        store.scope(),
        etcd::Watches::Observer{
            .other_store = [this] { everything_anew(); },
            .own_changed = [this](
                               const std::string& key, std::optional<std::int64_t> lease
                           ) { on_change_of_own(key, lease); },
        }
    );
    link->on_going_back([this] { watches->doubt(); });
}

Task<> EtcdStore::Impl::start() {
    co_await identity_->changed(Deadline::in(link->options().startup_timeout));
}

void EtcdStore::Impl::close() {
    link->on_going_back(nullptr);
    watches->close();
    link->close();
}

EtcdStore::Impl::Held EtcdStore::Impl::held(const Body& lease) const {
    const auto found = leases_.find(lease.get());
    if (found == leases_.end()) throw lease_revoked();
    return found->second;
}

std::int64_t EtcdStore::Impl::id_of(const LeaseBody* lease) const noexcept {
    const auto found = leases_.find(lease);
    return found == leases_.end() ? 0 : found->second->id;
}

Task<EtcdStore::Impl::Body> EtcdStore::Impl::grant(LeaseOptions options) {
    const auto ttl = options.ttl == Duration::zero() ? link->options().lease_ttl : options.ttl;
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(ttl).count();
    if (seconds < 1)
        throw Error{ErrorCode::invalid_request, "store.ttl", "a lease lives at least 1 s"};
    const auto granted = co_await link->call(etcd::GrantRequest{.ttl = seconds});
    auto fresh = std::make_shared<HeldLease>();
    fresh->becomes(granted.lease);
    fresh->ttl = seconds;
    // etcd may give more than was asked for, never less.
    const Duration given = std::chrono::seconds{std::max(granted.ttl, seconds)};
    auto body = store_.add_lease(given, Duration::zero(), options.bound_to);
    fresh->body = body;
    leases_.emplace(body.get(), std::move(fresh));
    co_return body;
}

/// So that a second attempt still has its time. Once it is too late there is no hurry.
Deadline EtcdStore::Impl::renewal_deadline(const LeaseBody& lease) const {
    const auto left = lease.slack(Clock::current().now());
    if (left == Duration::zero()) return link->call_deadline();
    return earliest(link->call_deadline(), Deadline::in(std::max(left / 2, shortest_renewal)));
}

Task<> EtcdStore::Impl::refresh(Body lease) {
    const auto mine = held(lease);
    const auto turn = co_await mine->turn.acquire();
    if (lease->token.cancelled()) throw lease_revoked();
    // Not before: the time of one that has waited would be over, and nobody asked.
    const auto deadline = renewal_deadline(*lease);
    const auto asked = Clock::current().now();
    mine->forget_late_writes(asked);
    const auto kept = co_await link->call(etcd::KeepAliveRequest{mine->id}, deadline);
    if (kept.ttl > 0) {
        lease->renewed(asked);  // whatever becomes of the rest
        co_await check_keys(lease, mine);
    } else {
        co_await recover(lease, mine);
    }
}

/// The lease is lost: a new one, and every key again under it.
Task<> EtcdStore::Impl::recover(Body lease, Held mine) {
    lease->set_state(LeaseState::recovering);
    lease->lose();
    sink().count("store_leases_lost_total", 1);
    const auto asked = Clock::current().now();
    const auto granted = co_await link->call(etcd::GrantRequest{.ttl = mine->ttl});
    lease->renewed(asked);
    mine->becomes(granted.lease);
    mine->to_remove.clear();  // gone with the old lease
    std::vector<std::string> keys;
    for (const auto& [key, value] : lease->keys) keys.push_back(key);
    co_await publish_again(lease, mine, std::move(keys));
}

/// What others have removed is published again; what was removed here without an answer, removed.
Task<> EtcdStore::Impl::check_keys(Body lease, Held mine) {
    auto known = co_await link->call(etcd::LeaseKeysRequest{mine->id});
    if (known.ttl < 0) co_return co_await recover(lease, mine);
    std::ranges::sort(known.keys);
    std::vector<std::string> missing;
    bool all_lost = true;
    for (const auto& [key, value] : lease->keys) {
        if (std::ranges::binary_search(known.keys, key)) {
            is_ours_again(key, lease);  // of a write without an answer
            continue;
        }
        all_lost = all_lost && lease->lost(key);
        missing.push_back(key);
    }
    const auto pending = mine->to_remove;
    for (const auto& [key, removal] : pending) {
        // Unless it was written again since.
        if (!lease->keys.contains(key))
            co_await remove_kept(mine, {.key = key, .value = removal.value});
        removed(*mine, key);
    }
    if (missing.empty()) co_return;
    // What others hold is no news.
    if (!all_lost) lease->set_state(LeaseState::recovering);
    co_await publish_again(lease, mine, std::move(missing));
}

void EtcdStore::Impl::to_be_removed(HeldLease& mine, const Entry& entry) {
    const auto late = mine.unanswered.find(entry.key);
    mine.to_remove.insert_or_assign(
        entry.key,
        HeldLease::Removal{
            .value = entry.value,
            .certain_from = late == mine.unanswered.end() ? TimePoint{} : late->second,
        }
    );
}

/// It has been; once more at the next renewal if that was not certain.
void EtcdStore::Impl::removed(HeldLease& mine, const std::string& key) {
    const auto at = mine.to_remove.find(key);
    if (at == mine.to_remove.end() || Clock::current().now() < at->second.certain_from) return;
    mine.to_remove.erase(at);
    mine.unanswered.erase(key);
}

/// Only what a lease of ours keeps goes; of a copy without leases, what has our value.
Task<> EtcdStore::Impl::remove_kept(Held mine, Entry entry) {
    auto condition = EtcdCondition::kept_by(entry.key, mine->id);
    for (;;) {
        EtcdTransaction removal{.repeatable = true};
        removal.conditions = {condition};
        removal.then = {EtcdOperation::remove(entry.key)};
        removal.otherwise = {EtcdOperation::get(entry.key)};
        const auto reply = co_await link->call(std::move(removal));
        const auto* const now = reply.succeeded ? nullptr : entry_in(reply);
        if (now == nullptr) co_return;
        if (!mine->wrote(*now, entry.value)) co_return;
        condition = EtcdCondition::unchanged_since(entry.key, now->mod_revision);
    }
}

Task<> EtcdStore::Impl::publish_again(Body lease, Held mine, std::vector<std::string> keys) {
    for (std::size_t at = 0; at < keys.size(); at += keys_at_a_time) {
        std::vector<Task<>> tasks;
        const auto end = std::min(at + keys_at_a_time, keys.size());
        for (auto i = at; i < end; ++i)
            tasks.push_back(publish_one(lease, mine, std::move(keys[i])));
        co_await when_all(std::move(tasks));
    }
}

/// Takes the key over as it was written here; creates it if it is gone. Never takes what another
/// has written since.
Task<> EtcdStore::Impl::publish_one(Body lease, Held mine, std::string key) {
    const auto turn = co_await gates_.turn_of(key);
    const auto written = mine->written.find(key);
    auto condition = written == mine->written.end()
                         ? EtcdCondition::absent(key)
                         : EtcdCondition::unchanged_since(key, written->second);
    for (;;) {
        const auto value = lease->keys.find(key);
        if (value == lease->keys.end() || lease->token.cancelled()) co_return;
        Entry entry{.key = key, .value = value->second};
        const auto reply = co_await link->call(put_if({condition}, key, entry.value, mine->id));
        const auto* const now = entry_in(reply);
        if (reply.succeeded) {
            entry.revision = static_cast<std::uint64_t>(reply.header.revision);
            if (!mine->to_remove.contains(key)) own(entry, lease, *mine);
            co_return;
        }
        if (now == nullptr) {
            condition = EtcdCondition::absent(key);
        } else if (now->lease == mine->id) {
            co_return is_ours_again(key, lease);  // written here meanwhile
        } else if (mine->wrote(*now, entry.value)) {
            condition = EtcdCondition::unchanged_since(key, now->mod_revision);
        } else {
            co_return leave_to_others(key, lease);
        }
    }
}

/// It is theirs until they let go of it; every renewal looks, and so does whoever sees it go.
void EtcdStore::Impl::leave_to_others(const std::string& key, const Body& lease) {
    if (!lease->set_lost(key, true)) return;
    sink().count("store_keys_lost_total", 1);
    sink().report(
        Severity::warn,
        "stator::store",
        fmt::format("etcd store: {} is somebody else's by now and is left to them", key)
    );
}

void EtcdStore::Impl::is_ours_again(const std::string& key, const Body& lease) {
    if (!lease->set_lost(key, false)) return;
    sink().report(
        Severity::info, "stator::store", fmt::format("etcd store: {} is ours again", key)
    );
}

/// Somebody has changed or removed a key of ours: there is something to do before the renewal,
/// unless it is theirs anyway and they go on writing it.
void EtcdStore::Impl::on_change_of_own(const std::string& key, std::optional<std::int64_t> by) {
    const auto owner = owners_.find(key);
    const auto lease = owner == owners_.end() ? nullptr : owner->second.lock();
    const auto mine = lease ? leases_.find(lease.get()) : leases_.end();
    if (mine == leases_.end()) return;
    if (by && (mine->second->ids.contains(*by) || lease->lost(key))) return;
    store_.renew_soon(lease);
}

Task<> EtcdStore::Impl::revoke(Body lease) {
    const auto mine = held(lease);
    leases_.erase(lease.get());
    std::erase_if(owners_, [&](const auto& item) {
        if (item.second.lock() != lease) return false;
        watches->unguard(item.first);
        return true;
    });
    const auto keys = std::exchange(lease->keys, {});
    const auto turn = co_await mine->turn.acquire();
    const auto revoked = co_await as_result(link->call(etcd::RevokeRequest{mine->id}));
    if (revoked) co_return;
    if (revoked.error().code() != ErrorCode::not_found) throw revoked.error();
    // Lost before, and perhaps not only it: in a copy the keys are there without it.
    for (const auto& [key, value] : keys) co_await remove_kept(mine, {.key = key, .value = value});
}

Task<bool> EtcdStore::Impl::write(Entry entry, Body lease, Over over) {
    for (bool first = true;; first = false) {
        const auto mine = held(lease);
        auto written = co_await as_result(write_once(entry, lease, mine, over));
        if (written) co_return *written;
        if (!first || written.error().detail() != "store.lease_not_found")
            throw std::move(written.error());
        // Lost, and not noticed until now.
        co_await store_.renew(lease);
    }
}

Task<bool> EtcdStore::Impl::write_once(Entry entry, Body lease, Held mine, Over over) {
    const auto turn = co_await gates_.turn_of(entry.key);
    std::vector<EtcdCondition> conditions;
    if (over != Over::anything) conditions.push_back(EtcdCondition::absent(entry.key));
    const auto id = mine->id;
    mine->to_remove.erase(entry.key);
    const auto attempt = [&] {
        mine->unanswered.insert_or_assign(entry.key, link->call_deadline().when());
        return link->call(put_if(conditions, entry.key, entry.value, id));
    };
    auto reply = co_await attempt();
    while (over == Over::own && !reply.succeeded) {
        const auto* const now = entry_in(reply);
        if (now != nullptr && !mine->ids.contains(now->lease)) break;
        // Still there under what the lease was before: whoever else has it by then keeps it.
        conditions = {
            now == nullptr ? EtcdCondition::absent(entry.key)
                           : EtcdCondition::unchanged_since(entry.key, now->mod_revision)
        };
        reply = co_await attempt();
    }
    mine->unanswered.erase(entry.key);
    // Nothing suspends from here on: a lease that is alive now knows of the key before it ends.
    if (lease->token.cancelled()) throw lease_revoked();
    if (!reply.succeeded) {
        // A creation that was repeated may meet itself.
        const auto* const now = entry_in(reply);
        if (!reply.repeated || now == nullptr || now->lease != id || now->value != entry.value)
            co_return false;
    }
    entry.revision = static_cast<std::uint64_t>(reply.header.revision);
    // Unless it is to be removed again by now.
    if (!mine->to_remove.contains(entry.key)) own(entry, lease, *mine);
    co_return true;
}

/// From now on it is nobody's, even if the caller gives up while somebody else has the key's turn.
EtcdStore::Impl::Held EtcdStore::Impl::give_up(const Entry& entry, const Body& lease) {
    const auto mine = held(lease);
    const auto owner = owners_.find(entry.key);
    if (owner != owners_.end() && owner->second.lock() == lease) disown(entry.key);
    to_be_removed(*mine, entry);
    return mine;
}

/// What a lease of ours keeps goes, whatever its value; what another keeps stays.
Task<> EtcdStore::Impl::remove_own(Entry entry, Body lease) {
    if (!leases_.contains(lease.get())) co_return;  // revoked: gone with it
    give_up(entry, lease);
    const auto turn = co_await gates_.turn_of(entry.key);
    if (!leases_.contains(lease.get())) co_return;
    const auto mine = give_up(entry, lease);  // it may have been written meanwhile
    co_await remove_kept(mine, entry);
    removed(*mine, entry.key);
}

/// The lease that keeps the key here, which it gives up; nothing if there is none.
EtcdStore::Impl::Held EtcdStore::Impl::give_up(const std::string& key) {
    const auto owner = owners_.find(key);
    if (owner == owners_.end()) return nullptr;
    const auto lease = owner->second.lock();
    if (lease) return give_up({.key = key, .value = lease->keys[key]}, lease);
    disown(key);
    return nullptr;
}

Task<bool> EtcdStore::Impl::remove(std::string key) {
    auto mine = give_up(key);
    const auto turn = co_await gates_.turn_of(key);
    if (auto since = give_up(key)) mine = std::move(since);
    EtcdTransaction removal{.repeatable = true};
    removal.then = {EtcdOperation::remove(key)};
    const auto reply = co_await link->call(std::move(removal));
    if (mine) removed(*mine, key);
    const bool existed = !reply.results.empty() && reply.results.front().count > 0;
    co_return existed || (reply.repeated && mine);
}

Task<bool> EtcdStore::Impl::replace(std::string old, Entry entry, Body lease) {
    for (bool first = true;; first = false) {
        const auto mine = held(lease);
        auto replaced = co_await as_result(replace_once(old, entry, lease, mine));
        if (replaced) co_return *replaced;
        if (!first || replaced.error().detail() != "store.lease_not_found")
            throw std::move(replaced.error());
        // Lost, and not noticed until now.
        co_await store_.renew(lease);
    }
}

Task<bool> EtcdStore::Impl::replace_once(std::string old, Entry entry, Body lease, Held mine) {
    // The same order for everybody: two that go each other's way do not wait for each other.
    const auto first = co_await gates_.turn_of(std::min(old, entry.key));
    const auto second = co_await gates_.turn_of(std::max(old, entry.key));
    mine->to_remove.erase(entry.key);
    auto condition = EtcdCondition::absent(entry.key);
    for (;;) {
        const auto id = mine->id;
        auto change = put_if({std::move(condition)}, entry.key, entry.value, id);
        change.then.push_back(EtcdOperation::remove(old));
        mine->unanswered.insert_or_assign(entry.key, link->call_deadline().when());
        const auto reply = co_await as_result(link->call(std::move(change)));
        if (lease->token.cancelled()) throw lease_revoked();
        if (!reply) {
            // Perhaps it is done: then the next look at the keys undoes it, `old` is still ours.
            to_be_removed(*mine, entry);
            throw reply.error();
        }
        mine->unanswered.erase(entry.key);
        if (reply->succeeded) {
            entry.revision = static_cast<std::uint64_t>(reply->header.revision);
            break;
        }
        // Of an attempt before, whose answer was lost.
        const auto* const now = entry_in(*reply);
        if (now == nullptr || now->lease != id || now->value != entry.value) co_return false;
        condition = EtcdCondition::unchanged_since(entry.key, now->mod_revision);
    }
    disown(old);
    mine->to_remove.erase(old);
    own(entry, lease, *mine);
    co_return true;
}

/// In the key's turn.
void EtcdStore::Impl::own(const Entry& entry, const Body& lease, HeldLease& mine) {
    const auto owner = owners_.find(entry.key);
    if (owner != owners_.end() && owner->second.lock() != lease) disown(entry.key);
    owners_.insert_or_assign(entry.key, lease);
    lease->keys.insert_or_assign(entry.key, entry.value);
    mine.written.insert_or_assign(entry.key, static_cast<std::int64_t>(entry.revision));
    is_ours_again(entry.key, lease);
    watches->guard(entry.key, static_cast<std::int64_t>(entry.revision));
}

void EtcdStore::Impl::disown(const std::string& key) {
    const auto owner = owners_.find(key);
    if (owner == owners_.end()) return;
    watches->unguard(key);
    if (const auto lease = owner->second.lock()) {
        lease->keys.erase(key);
        lease->set_lost(key, false);
        const auto mine = leases_.find(lease.get());
        if (mine != leases_.end()) mine->second->written.erase(key);
    }
    owners_.erase(owner);
}

void EtcdStore::Impl::everything_anew() {
    for (const auto& [lease, mine] : leases_) {
        if (const auto body = mine->body.lock()) store_.renew_soon(body);
    }
}

}  // namespace stator::store
