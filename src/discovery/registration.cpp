#include "stator/discovery/registration.hpp"

#include <algorithm>
#include <utility>

#include "discovery/registration_shared.hpp"
#include "stator/base/backoff.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::discovery {

std::string_view to_string(RegistrationState state) noexcept {
    switch (state) {
        case RegistrationState::registered:
            return "registered";
        case RegistrationState::recovering:
            return "recovering";
        case RegistrationState::deleted:
            return "deleted";
    }
    return "unknown";
}

Registration::Shared::Shared(
    std::shared_ptr<store::KeyValueStore> store_, store::Lease lease_, Instance instance
)
    : store{std::move(store_)},
      lease{std::move(lease_)},
      key{instance.key()},
      instance_{std::make_shared<const Instance>(std::move(instance))} {}

RegistrationState Registration::Shared::state() const noexcept {
    if (deleting()) return RegistrationState::deleted;
    switch (lease.state()) {
        case store::LeaseState::alive:
            return RegistrationState::registered;
        case store::LeaseState::recovering:
            return RegistrationState::recovering;
        case store::LeaseState::revoked:
            break;
    }
    return RegistrationState::deleted;
}

std::shared_ptr<const Instance> Registration::Shared::instance() const {
    const std::lock_guard guard{lock_};
    return instance_;
}

void Registration::Shared::replace(Instance instance) {
    auto fresh = std::make_shared<const Instance>(std::move(instance));
    const std::lock_guard guard{lock_};
    instance_ = std::move(fresh);
}

bool Registration::Shared::begin_deletion() noexcept {
    if (deleting_.exchange(true, std::memory_order_acq_rel)) return false;
    deletion_begun.advance();
    return true;
}

void Registration::Shared::end_deletion(bool confirmed) noexcept {
    confirmed_.store(confirmed, std::memory_order_release);
    deletion_ended.set();
}

namespace {

using namespace std::chrono_literals;

Error deleted_error() {
    return Error{
        ErrorCode::invalid_request, "registration.deleted", "the registration has been deleted"
    };
}

}  // namespace

RegistrationState Registration::state() const noexcept {
    return shared_ ? shared_->state() : RegistrationState::deleted;
}

std::shared_ptr<const Instance> Registration::instance() const {
    return shared_ ? shared_->instance() : nullptr;
}

std::string Registration::key() const { return shared_ ? shared_->key : std::string{}; }

Task<> Registration::update(Instance changed) const {
    const auto shared = shared_;
    if (!shared || shared->deleting()) throw deleted_error();
    if (changed.key() != shared->key)
        throw Error{
            ErrorCode::invalid_request,
            "registration.identity",
            "a registration stays with one instance of one endpoint"
        };
    if (const auto checked = changed.check(); !checked) throw checked.error();
    auto record = to_record(changed);
    if (!record) throw record.error();
    co_await shared->store->put(shared->key, std::move(*record), shared->lease);
    shared->replace(std::move(changed));
    // Deleted meanwhile: whichever came second at the store, it must not be there.
    if (shared->deleting()) {
        co_await shared->store->remove(shared->key);
        throw deleted_error();
    }
}

namespace {

/// Tries until it succeeds, the error is final, or time is up.
Task<bool> remove_key(
    std::shared_ptr<store::KeyValueStore> store, std::string key, Deadline deadline
) {
    Backoff backoff{BackoffPolicy{.initial = 20ms, .max = 500ms, .factor = 2.0}};
    for (;;) {
        const auto removed = co_await as_result(with_deadline(deadline, store->remove(key)));
        if (removed) co_return true;
        if (!removed.error().retryable() || deadline.passed()) co_return false;
        co_await sleep_until(earliest(deadline, Deadline::in(backoff.next())));
    }
}

constexpr Duration last_try = 50ms;

/// The latest first: an instance leaves before its models. False when one is still there.
Task<bool> remove_keys(
    std::shared_ptr<store::KeyValueStore> store, std::vector<std::string> keys, Deadline deadline
) {
    bool removed = true;
    for (auto key = keys.rbegin(); key != keys.rend(); ++key) {
        // Even when time is up each is tried once: a store keeps no key alive that was to go.
        const auto bound = removed ? deadline : std::max(deadline, Deadline::in(last_try));
        removed = co_await remove_key(store, *key, bound) && removed;
    }
    co_return removed;
}

Task<> wait_until_ended(Event* ended) { co_await ended->wait(); }

}  // namespace

Task<> Registration::Shared::take_back() {
    (void)co_await remove_keys(store, std::exchange(keys, {}), Deadline::in(1s));
}

Task<bool> Registration::unpublish(Deadline deadline) const {
    const auto shared = shared_;
    if (!shared) co_return true;
    if (!shared->begin_deletion()) {
        (void)co_await as_result(with_deadline(deadline, wait_until_ended(&shared->deletion_ended))
        );
        co_return shared->confirmed();
    }
    const auto removed = co_await as_result(remove_keys(shared->store, shared->keys, deadline));
    // A revoked lease has taken the records along.
    const bool confirmed =
        (removed && *removed) || shared->lease.state() == store::LeaseState::revoked;
    shared->end_deletion(confirmed);
    if (!removed) throw removed.error();
    co_return confirmed;
}

namespace {

Task<> lease_change(store::Lease lease, store::LeaseState seen) {
    (void)co_await lease.wait_for_change(seen);
}

Task<> gate_change(VersionGate* gate) { (void)co_await gate->wait_past(0); }

}  // namespace

Task<RegistrationState> Registration::wait_for_change(RegistrationState seen) const {
    const auto shared = shared_;
    if (!shared) co_return RegistrationState::deleted;
    for (;;) {
        const auto lease = shared->lease.state();
        if (const auto state = shared->state(); state != seen) co_return state;
        std::vector<Task<>> changes;
        changes.push_back(lease_change(shared->lease, lease));
        if (!shared->deleting()) changes.push_back(gate_change(&shared->deletion_begun));
        co_await when_any(std::move(changes));
    }
}

}  // namespace stator::discovery
