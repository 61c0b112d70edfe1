#include "stator/store/session.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "stator/base/backoff.hpp"
#include "stator/base/random.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "stator/store/key_value_store.hpp"
#include "stator/store/steady_watch.hpp"
#include "store/queue_place.hpp"
#include "store/session_body.hpp"

namespace stator::store {

using namespace std::chrono_literals;

namespace {

/// How long the removal of a session's keys may take.
constexpr Duration end_timeout = 5s;
/// While the store does not say how a key of a session is.
constexpr BackoffPolicy between_looks{.initial = 20ms, .max = 1s, .factor = 2.0};

}  // namespace

SessionBody::SessionBody(
    std::shared_ptr<KeyValueStore> store_,
    std::shared_ptr<SessionHold> hold_,
    const CancellationToken& bound_to,
    TimePoint begun
)
    : store{std::move(store_)},
      hold{std::move(hold_)},
      id{fmt::format("{:016x}", thread_random()())},
      token{bound_to.child_token()},
      valid_until_{(begun + ttl() - margin()).time_since_epoch().count()} {}

bool SessionBody::alive() const noexcept {
    return !token.cancelled() && Clock::current().now() < valid_until();
}

void SessionBody::renewed(TimePoint when) noexcept {
    valid_until_.store(
        (when + ttl() - margin()).time_since_epoch().count(), std::memory_order_release
    );
}

void SessionBody::lose(std::string why) {
    {
        const std::lock_guard guard{lock_};
        if (token.cancelled() || !why_.empty()) return;
        why_ = std::move(why);
        sink().count("store_sessions_lost_total", 1);
        sink().report(
            Severity::warn, "stator::store", fmt::format("session {} is lost: {}", id, why_)
        );
    }
    token.cancel(CancelReason::peer_gone);
}

bool SessionBody::lost() const {
    const std::lock_guard guard{lock_};
    return !why_.empty();
}

void SessionBody::give_up() noexcept {
    given_up.cancel();
    token.cancel();
}

Error SessionBody::lost_error() const {
    const std::lock_guard guard{lock_};
    return Error{
        ErrorCode::unavailable,
        "store.session_lost",
        why_.empty() ? "the session has ended" : "the session is lost: " + why_
    };
}

namespace {

/// Renews until the session is lost; under its token.
Task<> renew_while_alive(std::shared_ptr<SessionBody> session) {
    const auto period = session->ttl() / 3;
    auto next = Deadline::in(period);
    for (;;) {
        const auto end = Deadline::at(session->valid_until());
        co_await sleep_until(earliest(next, end));
        const auto begun = Clock::current().now();
        if (end.passed()) co_return session->lose("it could not be renewed in time");
        // An attempt may hang with the member that it went to; there must be time for others.
        const auto attempt = Deadline::in(std::max<Duration>(end.remaining() / 3, 50ms));
        const auto renewed =
            co_await as_result(with_deadline(earliest(attempt, end), session->hold->renew()));
        if (renewed && !*renewed) co_return session->lose("the store has dropped it");
        if (renewed) {
            session->renewed(begun);
            next = Deadline::at(begun + period);
            continue;
        }
        if (renewed.error().code() == ErrorCode::cancelled) throw renewed.error();
        sink().count("store_refresh_failures_total", 1);
        next = Deadline::in(std::max<Duration>(end.remaining() / 4, 10ms));
    }
}

struct KeptKey {
    std::string key;
    std::uint64_t created = 0;
};

/// Whether the event shows the key as it was put.
bool shows(const WatchEvent& event, const KeptKey& kept) {
    const auto is_it = [&](const Entry& entry) {
        return entry.key == kept.key && entry.created == kept.created;
    };
    if (event.kind == WatchEvent::Kind::snapshot) return std::ranges::any_of(event.entries, is_it);
    return event.kind == WatchEvent::Kind::put && is_it(event.entry);
}

/// What a watch shows may be from before the key was put; this is from now.
Task<bool> is_gone(std::shared_ptr<KeyValueStore> store, KeptKey kept) {
    Backoff backoff{between_looks};
    for (;;) {
        const auto found = co_await as_result(store->get(kept.key));
        if (found) co_return !*found || (*found)->created != kept.created;
        if (!found.error().retryable()) throw found.error();
        co_await sleep_for(backoff.next());
    }
}

/// As long as the session is renewed, a store that cannot be watched for the moment costs nothing.
Task<SteadyWatch> open_watch(std::shared_ptr<KeyValueStore> store, std::string key) {
    Backoff backoff{between_looks};
    for (;;) {
        auto watch = co_await as_result(SteadyWatch::open(store, key));
        if (watch) co_return std::move(*watch);
        if (!watch.error().retryable()) throw watch.error();
        co_await sleep_for(backoff.next());
    }
}

/// Somebody may remove a key of the session's, or the store be wiped; under its token.
Task<> watch_key(std::shared_ptr<SessionBody> session, KeptKey kept) {
    auto watch = co_await open_watch(session->store, kept.key);
    while (auto event = co_await watch.next()) {
        if (!shows(*event, kept) && co_await is_gone(session->store, kept))
            co_return session->lose(fmt::format("{} was removed", kept.key));
    }
}

Task<> guard_key(std::shared_ptr<SessionBody> session, KeptKey kept) {
    const auto token = session->token;
    const auto ended = co_await as_result(with_token(token, watch_key(session, std::move(kept))));
    if (!ended && !token.cancelled())
        session->lose(fmt::format("its key cannot be watched: {}", ended.error().what()));
}

}  // namespace

Task<Session> KeyValueStore::open_session(SessionOptions options) {
    return here(open_session_here(std::move(options)));
}

Task<Session> KeyValueStore::open_session_here(SessionOptions options) {
    require_sessions(*this);
    if (options.ttl < Duration::zero())
        throw Error{ErrorCode::invalid_request, "store.ttl", "a session lives for some time"};
    const auto begun = loop_.now();
    auto hold = co_await do_open_session(options.ttl);
    if (closing_.load(std::memory_order_acquire)) {
        // Nobody would end it any more.
        (void)co_await as_result(shielded(with_deadline(Deadline::in(end_timeout), hold->end())));
        check_open();
    }
    auto body =
        std::make_shared<SessionBody>(shared_from_this(), std::move(hold), options.bound_to, begun);
    std::erase_if(sessions_, [](const auto& session) { return session.expired(); });
    sessions_.push_back(body);
    scope_.spawn(keep_session(body));
    co_return Session{std::move(body)};
}

/// The life of a session: renewals until its token fires, then the removal of its keys, which must
/// happen when the store's scope ends, too, and is bounded instead.
Task<> KeyValueStore::keep_session(std::shared_ptr<SessionBody> session) {
    const auto renewing =
        co_await as_result(with_token(session->token, renew_while_alive(session)));
    if (!renewing && !session->token.cancelled()) session->lose(renewing.error().what());
    (void)co_await as_result(with_token(leaving_, end_session(session)));
    session->ended.set();
}

Task<> KeyValueStore::end_session(std::shared_ptr<SessionBody> session) {
    // Its holder has only just been told, and goes on for a while. The keys may be there yet.
    if (session->lost()) co_await sleep_for(session->margin(), session->given_up);
    const auto until = earliest(Deadline::in(end_timeout), close_by_);
    co_await with_deadline(until, session->hold->end());
}

Task<GuardedReply> KeyValueStore::write_in_session(
    std::shared_ptr<SessionBody> session, GuardedWrite write
) {
    for (const auto& put : write.puts) check_write(put.key, put.value);
    if (!session->alive()) throw session->lost_error();
    auto outcome = co_await as_result(session->hold->write(write));
    if (!outcome) {
        if (outcome.error().detail() == "store.session_lost")
            session->lose("the store has dropped it");
        throw std::move(outcome.error());
    }
    if (!outcome->done) co_return std::move(*outcome);
    for (const auto& put : write.puts) {
        const bool fresh = std::ranges::any_of(write.guards, [&](const Guard& guard) {
            return guard.key == put.key && guard.created == 0;
        });
        if (fresh) scope_.spawn(guard_key(session, {put.key, outcome->revision}));
    }
    co_return std::move(*outcome);
}

Task<std::shared_ptr<SessionHold>> KeyValueStore::do_open_session(Duration) {
    throw Error{ErrorCode::unimplemented, "store.no_sessions", "this store has no sessions"};
}

struct Session::Owner {
    explicit Owner(std::shared_ptr<SessionBody> body_) : body{std::move(body_)} {}
    Owner(const Owner&) = delete;
    Owner& operator=(const Owner&) = delete;
    ~Owner() { body->give_up(); }
    const std::shared_ptr<SessionBody> body;
};

Session::Session(std::shared_ptr<SessionBody> body)
    : owner_{std::make_shared<Owner>(std::move(body))} {}

const std::string& Session::id() const noexcept { return owner_->body->id; }
Duration Session::ttl() const noexcept { return owner_->body->ttl(); }
const std::shared_ptr<KeyValueStore>& Session::store() const noexcept {
    return owner_->body->store;
}
const CancellationToken& Session::token() const noexcept { return owner_->body->token; }
bool Session::alive() const noexcept { return owner_ && owner_->body->alive(); }

namespace {

Task<> close_body(std::shared_ptr<SessionBody> body) {
    body->give_up();
    co_await body->ended.wait();
}

Task<> lost_body(std::shared_ptr<SessionBody> body) {
    co_await body->token.wait();
    throw body->lost_error();
}

Task<> nothing() { co_return; }

}  // namespace

Task<GuardedReply> Session::write(GuardedWrite write) const {
    const auto& body = owner_->body;
    return body->store->here(body->store->write_in_session(body, std::move(write)));
}

Task<> Session::close() const { return owner_ ? close_body(owner_->body) : nothing(); }

Task<> Session::until_lost() const { return lost_body(owner_->body); }

}  // namespace stator::store
