#include "stator/discovery/registration.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "discovery/registration_shared.hpp"
#include "stator/base/backoff.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/detail/wait.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::discovery {

using namespace std::chrono_literals;
using Action = RegistrationMachine::Action;
using Answer = RegistrationMachine::Answer;

std::string_view to_string(RegistrationState state) noexcept {
    switch (state) {
        case RegistrationState::unregistered:
            return "unregistered";
        case RegistrationState::registering:
            return "registering";
        case RegistrationState::registered:
            return "registered";
        case RegistrationState::recovering:
            return "recovering";
        case RegistrationState::draining:
            return "draining";
        case RegistrationState::gone:
            return "gone";
    }
    return "unknown";
}

namespace {

/// What the records of a publication that failed may take to go.
constexpr Duration undo_limit = 1s;
/// What a removal has when there is no time left.
constexpr Duration last_try = 50ms;
Task<> pause_until(Deadline deadline) { co_await sleep_until(deadline); }

constexpr BackoffPolicy between_tries{.initial = 20ms, .max = 500ms, .factor = 2.0};

Error deleted_error() {
    return Error{
        ErrorCode::invalid_request, "registration.deleted", "the registration has been deleted"
    };
}

Error exists_error(const std::string& key) {
    return Error{
        ErrorCode::already_exists,
        "registration.exists",
        fmt::format("{} is published already", key)
    };
}

}  // namespace

Registration::Shared::Shared(
    std::shared_ptr<store::KeyValueStore> store_,
    store::Lease lease_,
    Instance instance,
    std::vector<Record> records,
    std::string instead_of
)
    : store{std::move(store_)},
      lease{std::move(lease_)},
      key{instance.key()},
      instead_of_{std::move(instead_of)},
      machine_{records.size()},
      records_{std::move(records)},
      instance_{std::make_shared<const Instance>(std::move(instance))} {}

void Registration::Shared::look_at_lease_locked() {
    const bool taken =
        std::ranges::any_of(records_, [&](const Record& one) { return lease.lost(one.first); });
    machine_.lease_is(lease.state(), taken);
}

RegistrationState Registration::Shared::state() {
    const std::lock_guard guard{lock_};
    look_at_lease_locked();
    return machine_.state();
}

bool Registration::Shared::confirmed() {
    const std::lock_guard guard{lock_};
    look_at_lease_locked();
    return machine_.confirmed();
}

std::shared_ptr<const Instance> Registration::Shared::instance() const {
    const std::lock_guard guard{lock_};
    return instance_;
}

void Registration::Shared::replace(Instance instance, std::string record) {
    auto fresh = std::make_shared<const Instance>(std::move(instance));
    const std::lock_guard guard{lock_};
    instance_ = std::move(fresh);
    records_.back().second = std::move(record);
}

Record Registration::Shared::record(std::size_t index) const {
    const std::lock_guard guard{lock_};
    return records_[index];
}

std::optional<std::size_t> Registration::Shared::take(Action wanted) {
    const std::lock_guard guard{lock_};
    return machine_.take(wanted);
}

void Registration::Shared::answered(Answer answer) {
    bool over = false;
    {
        const std::lock_guard guard{lock_};
        machine_.answered(answer);
        over = machine_.state() == RegistrationState::gone;
    }
    changes.advance();
    if (over) ended.set();
}

/// False if another has it.
Task<bool> Registration::Shared::write(Record record) {
    auto& [at, value] = record;
    if (instead_of_.empty() || at != key)
        co_return co_await store->claim(std::move(at), std::move(value), lease);
    co_return co_await store->replace({instead_of_, std::move(at), std::move(value), lease});
}

Task<Answer> Registration::Shared::create(std::size_t index, std::optional<Error>* failure) {
    const auto at = record(index).first;
    const auto made = co_await as_result(write(record(index)));
    if (made && *made) co_return Answer::done;
    if (made) {
        *failure = exists_error(at);
        co_return Answer::taken;
    }
    *failure = made.error();
    co_return Answer::failed;
}

Task<> Registration::Shared::publish() {
    {
        const std::lock_guard guard{lock_};
        if (!machine_.publish()) throw deleted_error();
    }
    changes.advance();
    std::optional<Error> failure;
    while (const auto step = take(Action::create)) answered(co_await create(*step, &failure));
    bool withdrawn = false;
    Deadline until;
    {
        const std::lock_guard guard{lock_};
        withdrawn = machine_.state() == RegistrationState::draining ||
                    machine_.state() == RegistrationState::gone;
        until = earliest(withdraw_by_, Deadline::in(undo_limit));
    }
    if (!withdrawn) co_return;
    co_await shielded(take_back(until));
    throw failure ? std::move(*failure) : deleted_error();
}

bool Registration::Shared::begin_withdrawal(Deadline deadline) {
    bool over = false;
    bool mine = false;
    {
        const std::lock_guard guard{lock_};
        look_at_lease_locked();
        const auto before = machine_.state();
        if (!machine_.withdraw()) return false;
        if (before == RegistrationState::registering) withdraw_by_ = deadline;
        over = machine_.state() == RegistrationState::gone;
        mine = before != RegistrationState::registering;
    }
    changes.advance();
    if (over) ended.set();
    return mine;
}

/// One try, and the pause after it.
Task<Answer> Registration::Shared::remove(std::size_t index, Deadline deadline) {
    auto [at, value] = record(index);
    const auto bound = std::max(deadline, Deadline::in(last_try));
    const auto removed =
        co_await as_result(with_deadline(bound, store->remove_own(at, std::move(value), lease)));
    if (removed) co_return Answer::done;
    if (removed.error().code() == ErrorCode::cancelled) throw removed.error();
    co_return removed.error().retryable() && !deadline.passed() ? Answer::failed : Answer::given_up;
}

Task<> Registration::Shared::take_back(Deadline deadline) {
    Backoff backoff{between_tries};
    while (const auto step = take(Action::remove)) {
        auto tried = co_await as_result(remove(*step, deadline));
        if (!tried) {
            // Cancelled: the rest is done at once, or runs out.
            deadline = Deadline::in(Duration::zero());
            tried = co_await as_result(shielded(remove(*step, deadline)));
        }
        answered(tried ? *tried : Answer::given_up);
        if (!tried || *tried != Answer::failed) {
            backoff.reset();
        } else {
            (void)co_await as_result(pause_until(earliest(deadline, Deadline::in(backoff.next()))));
        }
    }
}

RegistrationState Registration::state() const noexcept {
    return shared_ ? shared_->state() : RegistrationState::unregistered;
}

std::shared_ptr<const Instance> Registration::instance() const {
    return shared_ ? shared_->instance() : nullptr;
}

std::string Registration::key() const { return shared_ ? shared_->key : std::string{}; }

Task<> Registration::publish() const {
    const auto shared = shared_;
    if (!shared) throw deleted_error();
    co_await shared->publish();
}

namespace {

bool is_published(RegistrationState state) noexcept {
    return state == RegistrationState::registered || state == RegistrationState::recovering;
}

}  // namespace

Task<> Registration::update(Instance changed) const {
    const auto shared = shared_;
    if (!shared || !is_published(shared->state())) throw deleted_error();
    if (changed.key() != shared->key)
        throw Error{
            ErrorCode::invalid_request,
            "registration.identity",
            "a registration stays with one instance of one endpoint"
        };
    if (const auto checked = changed.check(); !checked) throw checked.error();
    auto record = to_record(changed);
    if (!record) throw record.error();
    if (!co_await shared->store->claim(shared->key, *record, shared->lease))
        throw exists_error(shared->key);
    shared->replace(std::move(changed), *record);
    // Withdrawn meanwhile: whichever came second at the store, it must not be there.
    if (!is_published(shared->state())) {
        co_await shared->store->remove_own(shared->key, std::move(*record), shared->lease);
        throw deleted_error();
    }
}

namespace {

Task<> wait_until_ended(Event* ended) { co_await ended->wait(); }

}  // namespace

Task<bool> Registration::unpublish(Deadline deadline) const {
    const auto shared = shared_;
    if (!shared) co_return true;
    if (shared->begin_withdrawal(deadline)) {
        co_await shared->take_back(deadline);
    } else if (shared->state() != RegistrationState::gone) {
        (void)co_await as_result(with_deadline(deadline, wait_until_ended(&shared->ended)));
    }
    if (const auto token = co_await current_token(); token.cancelled())
        runtime::detail::throw_cancelled(token);
    co_return shared->state() == RegistrationState::gone && shared->confirmed();
}

namespace {

Task<> lease_change(store::Lease lease, std::uint64_t seen) { co_await lease.wait_past(seen); }

Task<> gate_change(VersionGate* gate, std::uint64_t seen) { (void)co_await gate->wait_past(seen); }

}  // namespace

Task<RegistrationState> Registration::wait_for_change(RegistrationState seen) const {
    const auto shared = shared_;
    if (!shared) co_return RegistrationState::unregistered;
    for (;;) {
        const auto lease = shared->lease.version();
        const auto own = shared->changes.version();
        if (const auto state = shared->state(); state != seen) co_return state;
        std::vector<Task<>> changes;
        changes.push_back(lease_change(shared->lease, lease));
        changes.push_back(gate_change(&shared->changes, own));
        co_await when_any(std::move(changes));
    }
}

}  // namespace stator::discovery
