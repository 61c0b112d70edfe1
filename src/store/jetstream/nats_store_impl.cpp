// What callers and leases ask of a NatsStore. A key's message carries who keeps it; each write says
// which message it expects to replace, so nothing is written over that was not seen.
#include "store/jetstream/nats_store_impl.hpp"

#include <algorithm>
#include <source_location>
#include <utility>

#include <fmt/format.h>

#include "stator/base/random.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::store {

using namespace std::chrono_literals;
using jetstream::Change;
using jetstream::created_of;
using jetstream::is_kept_by;
using jetstream::is_there;
using jetstream::sequence_of;

namespace {

/// How many keys are written again, or removed, at a time.
constexpr std::size_t keys_at_a_time = 32;

Error lease_revoked() {
    return Error{ErrorCode::unavailable, "store.lease_revoked", "the lease is revoked"};
}

template <class Make>
Task<> in_groups(std::vector<std::string> keys, Make make) {
    for (std::size_t at = 0; at < keys.size(); at += keys_at_a_time) {
        std::vector<Task<>> tasks;
        const auto end = std::min(at + keys_at_a_time, keys.size());
        for (auto i = at; i < end; ++i) tasks.push_back(make(std::move(keys[i])));
        co_await when_all(std::move(tasks));
    }
}

void report(
    Severity severity,
    const std::string& what,
    std::source_location where = std::source_location::current()
) {
    sink().report(severity, "stator::store", fmt::format("nats store: {}", what), where);
}

}  // namespace

NatsStore::Impl::Impl(nats::Client client_, std::shared_ptr<jetstream::Bucket> bucket_)
    : client{std::move(client_)}, bucket{std::move(bucket_)} {}

void NatsStore::Impl::belongs_to(NatsStore& store, TaskScope& scope) {
    store_ = &store;
    watches = std::make_unique<jetstream::Watches>(bucket, scope);
}

NatsStore::Impl::Held NatsStore::Impl::held(const Body& lease) const {
    const auto found = leases_.find(lease.get());
    if (found == leases_.end()) throw lease_revoked();
    return found->second;
}

std::shared_ptr<LeaseBody> NatsStore::Impl::grant(const LeaseOptions& options) {
    const auto ttl = bucket->ttl();
    if (ttl == Duration::zero())
        throw Error{
            ErrorCode::unimplemented,
            "store.no_ttl",
            fmt::format(
                "the keys of the bucket {} stay: nothing would remove those of a lease that is "
                "lost",
                bucket->name()
            )
        };
    if (options.ttl != Duration::zero() && options.ttl != ttl)
        throw Error{
            ErrorCode::invalid_request,
            "store.ttl",
            fmt::format(
                "keys of the bucket {} live for {} ms, no lease for anything else",
                bucket->name(),
                std::chrono::duration_cast<std::chrono::milliseconds>(ttl).count()
            )
        };
    auto body = store_->add_lease(ttl, Duration::zero(), options.bound_to);
    auto fresh = std::make_shared<HeldLease>();
    fresh->owner = fmt::format("{:016x}", thread_random()());
    leases_.emplace(body.get(), std::move(fresh));
    return body;
}

Task<> NatsStore::Impl::refresh(Body lease) {
    const auto mine = held(lease);
    const auto turn = co_await mine->turn.acquire();
    if (lease->token.cancelled()) throw lease_revoked();
    std::vector<std::string> keys;
    for (const auto& [key, value] : lease->keys) keys.push_back(key);
    co_await in_groups(std::move(keys), [&](std::string key) {
        return publish_one(lease, mine, std::move(key));
    });
}

/// Writes the key again as it was written here; creates it if it is gone. Never takes what another
/// has written since.
Task<> NatsStore::Impl::publish_one(Body lease, Held mine, std::string key) {
    const auto turn = co_await gates_.turn_of(key);
    auto last = mine->written[key];
    auto expected = last.sequence;
    for (;;) {
        const auto value = lease->keys.find(key);
        if (value == lease->keys.end() || lease->token.cancelled()) co_return;
        const Entry entry{.key = key, .value = value->second};
        const auto sequence = co_await bucket->write(
            {.key = key,
             .value = entry.value,
             .owner = mine->owner,
             .revision = last.revision,
             .created = last.created,
             .expected = expected}
        );
        if (sequence) {
            last.sequence = *sequence;
            if (last.revision == 0) last.revision = *sequence;
            if (last.created == 0) last.created = *sequence;
            co_return own(entry, lease, *mine, last);
        }
        const auto now = co_await bucket->get(key);
        if (is_there(now) && !is_kept_by(now, mine->owner)) co_return leave_to_others(key, lease);
        if (!is_there(now)) lease->set_state(LeaseState::recovering);
        expected = sequence_of(now);
        last.revision = 0;
        last.created = created_of(now);  // of a write whose answer was not waited for
    }
}

void NatsStore::Impl::leave_to_others(const std::string& key, const Body& lease) {
    if (!lease->set_lost(key, true)) return;
    sink().count("store_keys_lost_total", 1);
    report(Severity::warn, fmt::format("{} is somebody else's by now and is left to them", key));
}

void NatsStore::Impl::is_ours_again(const std::string& key, const Body& lease) {
    if (lease->set_lost(key, false)) report(Severity::info, fmt::format("{} is ours again", key));
}

Task<> NatsStore::Impl::revoke(Body lease) {
    const auto mine = held(lease);
    leases_.erase(lease.get());
    std::erase_if(owners_, [&](const auto& item) { return item.second.lock() == lease; });
    std::vector<std::string> keys;
    for (const auto& [key, value] : std::exchange(lease->keys, {})) keys.push_back(key);
    const auto turn = co_await mine->turn.acquire();
    co_await in_groups(std::move(keys), [&](std::string key) {
        return remove_written(std::move(key), mine);
    });
}

/// What that lease has written goes; what another has written stays.
Task<> NatsStore::Impl::remove_written(std::string key, Held mine) {
    const auto turn = co_await gates_.turn_of(key);
    const auto written = mine->written.find(key);
    auto expected = written == mine->written.end() ? 0 : written->second.sequence;
    for (bool known = expected != 0;; known = true) {
        if (known) {
            const Change removal{
                .key = key, .remove = true, .owner = mine->owner, .expected = expected
            };
            if (co_await bucket->write(removal)) co_return;
        }
        const auto now = co_await bucket->get(key);
        if (!is_kept_by(now, mine->owner)) co_return;
        expected = sequence_of(now);
    }
}

Task<bool> NatsStore::Impl::write(Entry entry, Body lease, Over over) {
    const auto mine = held(lease);
    const auto turn = co_await gates_.turn_of(entry.key);
    std::optional<Written> known;
    if (const auto last = mine->written.find(entry.key); last != mine->written.end())
        known = last->second;
    const auto written = co_await write_over(&entry, mine.get(), over, known);
    if (!written) co_return false;
    if (!lease->token.cancelled()) {
        own(entry, lease, *mine, *written);
        co_return true;
    }
    // Its keys are being removed, and this one was not known.
    mine->written.insert_or_assign(entry.key, *written);
    const Change removal{
        .key = entry.key, .remove = true, .owner = mine->owner, .expected = written->sequence
    };
    (void)co_await as_result(shielded(with_deadline(Deadline::in(1s), bucket->write(removal))));
    throw lease_revoked();
}

bool NatsStore::Impl::may_replace(
    const std::optional<jetstream::Record>& now, const HeldLease* mine, Over over
) {
    if (over == Over::anything || !is_there(now)) return true;
    return over == Over::own && is_kept_by(now, mine->owner);
}

/// Nothing if what is there must not be replaced. What is `known` saves a look.
Task<std::optional<NatsStore::Impl::Written>> NatsStore::Impl::write_over(
    const Entry* entry, const HeldLease* mine, Over over, std::optional<Written> known
) {
    Change change{.key = entry->key, .value = entry->value, .expected = 0};
    if (mine != nullptr) change.owner = mine->owner;
    if (over == Over::anything) {
        if (!known) {
            const auto now = co_await bucket->get(entry->key);
            known = Written{sequence_of(now), 0, created_of(now)};
        }
        change.expected = known->sequence;
        change.created = known->created;
    }
    for (;;) {
        if (const auto sequence = co_await bucket->write(change)) {
            const auto created = change.created == 0 ? *sequence : change.created;
            co_return Written{*sequence, *sequence, created};
        }
        const auto now = co_await bucket->get(entry->key);
        if (!may_replace(now, mine, over)) co_return std::nullopt;
        change.expected = sequence_of(now);
        change.created = created_of(now);
    }
}

Task<bool> NatsStore::Impl::remove(std::string key) {
    disown(key);
    const auto turn = co_await gates_.turn_of(key);
    disown(key);  // it may have been written meanwhile
    for (;;) {
        const auto now = co_await bucket->get(key);
        if (!is_there(now)) co_return false;
        const Change removal{.key = key, .remove = true, .expected = sequence_of(now)};
        if (co_await bucket->write(removal)) co_return true;
    }
}

Task<> NatsStore::Impl::remove_own(std::string key, Body lease) {
    const auto found = leases_.find(lease.get());
    if (found == leases_.end()) co_return;  // revoked: gone with it
    const auto mine = found->second;
    const auto owner = owners_.find(key);
    if (owner != owners_.end() && owner->second.lock() == lease) disown(key);
    co_await remove_written(std::move(key), mine);
}

Task<std::uint64_t> NatsStore::Impl::put_lasting(std::string key, std::string value) {
    if (bucket->ttl() != Duration::zero())
        throw Error{
            ErrorCode::unimplemented,
            "store.keys_expire",
            fmt::format("keys of the bucket {} run out", bucket->name())
        };
    const Entry entry{.key = std::move(key), .value = std::move(value)};
    const auto written = co_await write_over(&entry, nullptr, Over::anything, std::nullopt);
    co_return written ? written->revision : 0;  // anything may be written over
}

/// In the key's turn.
void NatsStore::Impl::own(const Entry& entry, const Body& lease, HeldLease& mine, Written written) {
    const auto owner = owners_.find(entry.key);
    if (owner != owners_.end() && owner->second.lock() != lease) disown(entry.key);
    owners_.insert_or_assign(entry.key, lease);
    lease->keys.insert_or_assign(entry.key, entry.value);
    mine.written.insert_or_assign(entry.key, written);
    is_ours_again(entry.key, lease);
}

void NatsStore::Impl::disown(const std::string& key) {
    const auto owner = owners_.find(key);
    if (owner == owners_.end()) return;
    if (const auto lease = owner->second.lock()) {
        lease->keys.erase(key);
        lease->set_lost(key, false);
        const auto mine = leases_.find(lease.get());
        if (mine != leases_.end()) mine->second->written.erase(key);
    }
    owners_.erase(owner);
}

}  // namespace stator::store
