#include "stator/store/lease.hpp"

#include <algorithm>

#include "stator/runtime/timer.hpp"
#include "stator/store/key_value_store.hpp"
#include "store/lease_body.hpp"

namespace stator::store {

using namespace std::chrono_literals;

std::string_view to_string(LeaseState state) noexcept {
    switch (state) {
        case LeaseState::alive:
            return "alive";
        case LeaseState::recovering:
            return "recovering";
        case LeaseState::revoked:
            return "revoked";
    }
    return "unknown";
}

LeaseBody::LeaseBody(
    std::weak_ptr<KeyValueStore> store_, Terms terms_, const CancellationToken& bound_to
)
    : store{std::move(store_)},
      terms{terms_},
      token{bound_to.child_token()},
      attempted_at_{Clock::current().now().time_since_epoch().count()},
      renewed_at_{attempted_at_.load()} {}

bool LeaseBody::set_state(LeaseState state) noexcept {
    auto old = state_.load(std::memory_order_acquire);
    do {
        if (old == state || old == LeaseState::revoked) return false;
    } while (!state_.compare_exchange_weak(old, state, std::memory_order_acq_rel));
    if (state == LeaseState::recovering) recoveries_.fetch_add(1, std::memory_order_relaxed);
    changes_.advance();
    return true;
}

void LeaseBody::lose() noexcept {
    if (is_lost_.exchange(true, std::memory_order_relaxed)) return;
    losses_.fetch_add(1, std::memory_order_relaxed);
    changes_.advance();
}

bool LeaseBody::set_lost(const std::string& key, bool lost) {
    {
        const std::lock_guard guard{lost_lock_};
        const bool changed = lost ? lost_.insert(key).second : lost_.erase(key) != 0;
        if (!changed) return false;
    }
    changes_.advance();
    return true;
}

bool LeaseBody::lost(const std::string& key) const {
    const std::lock_guard guard{lost_lock_};
    return lost_.contains(key);
}

void LeaseBody::attempted(TimePoint when) noexcept {
    attempted_at_.store(when.time_since_epoch().count(), std::memory_order_relaxed);
}

void LeaseBody::renewed(TimePoint when) noexcept {
    // A renewal that has waited for another was begun before that one.
    const auto known = renewed_at_.load(std::memory_order_relaxed);
    const auto at = std::max(known, when.time_since_epoch().count());
    renewed_at_.store(at, std::memory_order_relaxed);
    is_lost_.store(false, std::memory_order_relaxed);
}

Deadline LeaseBody::next_renewal() const noexcept {
    const TimePoint last{Duration{attempted_at_.load(std::memory_order_relaxed)}};
    if (terms.period > Duration::zero()) return Deadline::at(last + terms.period);
    const TimePoint end{Duration{renewed_at_.load(std::memory_order_relaxed)} + terms.ttl};
    // The nearer the end the more often, but a lost lease is no reason to hurry any more.
    const auto least = std::clamp<Duration>(terms.ttl / 20, 100ms, 1s);
    return Deadline::at(last + std::max<Duration>((end - last) / 2, least));
}

Duration LeaseBody::slack(TimePoint now) const noexcept {
    const TimePoint end{Duration{renewed_at_.load(std::memory_order_relaxed)} + terms.ttl};
    return std::max(end - now, Duration::zero());
}

void LeaseBody::finish(std::optional<Error> error) {
    error_ = std::move(error);
    finished_.set();
}

Task<> LeaseBody::finished() {
    co_await finished_.wait();
    if (error_) throw *error_;
}

std::uint64_t Lease::id() const noexcept { return body_ ? body_->terms.id : 0; }
Duration Lease::ttl() const noexcept { return body_ ? body_->terms.ttl : Duration::zero(); }
LeaseState Lease::state() const noexcept { return body_ ? body_->state() : LeaseState::alive; }
std::uint64_t Lease::recoveries() const noexcept { return body_ ? body_->recoveries() : 0; }
std::uint64_t Lease::losses() const noexcept { return body_ ? body_->losses() : 0; }

Duration Lease::slack() const noexcept {
    return body_ ? body_->slack(Clock::current().now()) : Duration::max();
}

Deadline Lease::next_renewal() const noexcept {
    return body_ ? body_->next_renewal() : Deadline::never();
}

const CancellationToken& Lease::token() const noexcept {
    static const CancellationToken never;
    return body_ ? body_->token : never;
}

namespace {

/// The keep-alive sees the token and removes the keys: it alone does, so nothing races with it.
Task<> revoke_body(std::shared_ptr<LeaseBody> body) {
    body->token.cancel();
    co_await body->finished();
}

Task<LeaseState> wait_for_state(std::shared_ptr<LeaseBody> body, LeaseState seen) {
    for (;;) {
        const auto version = body->changes().version();
        if (const auto state = body->state(); state != seen) co_return state;
        co_await body->changes().wait_past(version);
    }
}

Task<> wait_for_version(std::shared_ptr<LeaseBody> body, std::uint64_t seen) {
    (void)co_await body->changes().wait_past(seen);
}

Task<> nothing() { co_return; }

Task<> never() { (void)co_await sleep_until(Deadline::never()); }

Task<LeaseState> never_changes() {
    co_await sleep_until(Deadline::never());
    co_return LeaseState::alive;
}

}  // namespace

Task<> Lease::renew(std::shared_ptr<LeaseBody> body, std::shared_ptr<KeyValueStore> store) {
    co_await on_loop(store->loop(), store->renew(std::move(body)));
}

Task<> Lease::refresh() const {
    auto store = body_ ? body_->store.lock() : nullptr;
    if (!store || body_->token.cancelled()) return nothing();
    return renew(body_, std::move(store));
}

Task<> Lease::revoke() const { return body_ ? revoke_body(body_) : nothing(); }

bool Lease::lost(const std::string& key) const { return body_ && body_->lost(key); }

std::uint64_t Lease::version() const noexcept { return body_ ? body_->changes().version() : 0; }

Task<> Lease::wait_past(std::uint64_t seen) const {
    return body_ ? wait_for_version(body_, seen) : never();
}

Task<LeaseState> Lease::wait_for_change(LeaseState seen) const {
    return body_ ? wait_for_state(body_, seen) : never_changes();
}

}  // namespace stator::store
