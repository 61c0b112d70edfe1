// Locks and barriers over a store that answers late, or not, at the worst moment. One thread, on a
// clock of the test's own.
#include <gtest/gtest.h>

#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "stator/store/group_barrier.hpp"
#include "stator/store/lock.hpp"
#include "stator/store/memory_store.hpp"
#include "stator/testing/seeded_scheduler.hpp"
#include "tests/store/store_fixture.hpp"
#include "tests/store/troubled_store.hpp"

namespace stator::store {
namespace {

using test::error_of;
using test::RecordingSink;
using test::require;
using test::TroubledStore;
using testing::SeededScheduler;
using namespace std::chrono_literals;

constexpr Duration ttl = 10s;

Error no_answer() { return Error{ErrorCode::unavailable, "store.unreachable", "no answer"}; }

TimePoint now() { return Clock::current().now(); }

/// A store in trouble, and another party of the same.
struct Parties {
    std::shared_ptr<TroubledStore> troubled;
    std::shared_ptr<MemoryStore> other;
};

using Body = std::function<Task<>(Parties)>;

Task<> and_close(Parties parties, Body body) {
    const auto ended = co_await as_result(body(parties));
    parties.troubled->let_go();
    co_await parties.troubled->close(Deadline::in(ttl));
    co_await parties.other->close(Deadline::in(ttl));
    if (!ended) throw ended.error();
}

void run(Body body) {
    static int places = 0;
    const MemoryStore::Options options{.name = "troubled " + std::to_string(++places), .ttl = ttl};
    SeededScheduler scheduler{1, 2};
    auto& loop = scheduler.loop(0);
    const Parties parties{
        .troubled = std::make_shared<TroubledStore>(loop, MemoryStore::open(loop, options)),
        .other = MemoryStore::open(scheduler.loop(1), options),
    };
    scheduler.spawn(1, and_close(parties, std::move(body)));
    scheduler.run_to_end();
}

// ---- locks

/// Renewals hang; everything else is done at once.
Task<> not_renewed(Parties parties) {
    const auto lock = co_await Lock::acquire(parties.troubled, "l");
    parties.troubled->before_renewal = []() -> Task<> { co_await sleep_for(1h); };
    auto lose = [](const Lock* of) -> Task<TimePoint> {
        co_await of->token().wait();
        co_return now();
    };
    auto enter = [](std::shared_ptr<MemoryStore> store) -> Task<TimePoint> {
        const auto next = co_await Lock::acquire(store, "l");
        co_return now();
    };
    const auto [lost, entered] = co_await when_all(lose(&lock), enter(parties.other));
    require(entered - lost >= ttl / 10, "the holder had no time to stop");
    require(entered - lost < ttl / 10 + 100ms, "nobody waits for longer");
}

TEST(TroubledLock, OneThatIsLostByTimeIsGivenBackWhenItsHolderHasHadTime) {
    RecordingSink sink;
    run(not_renewed);
    EXPECT_EQ(sink.warnings("could not be renewed in time"), 1U);
}

/// What is lost is left to run out then.
Task<> closed_while_lost(Parties parties) {
    const auto lock = co_await Lock::acquire(parties.troubled, "l");
    parties.troubled->before_renewal = []() -> Task<> { co_await sleep_for(1h); };
    co_await lock.token().wait();
    const auto begun = now();
    co_await parties.troubled->close(Deadline::in(ttl / 100));
    require(now() - begun <= ttl / 100 + 10ms, "closed in its time");
}

TEST(TroubledLock, OneThatIsLostDelaysNoClosingOfItsStore) {
    RecordingSink sink;
    run(closed_while_lost);
}

Task<> unwatchable(Parties parties) {
    std::optional<TimePoint> given_back;
    auto note = [](std::optional<TimePoint>* into) -> Task<> {
        *into = now();
        co_return;
    };
    parties.troubled->before_end = [&] { return note(&given_back); };
    parties.troubled->before_watch = [](std::string prefix) -> Task<> {
        if (prefix == "v1/locks/l/") co_return;
        co_await sleep_for(1s);
        throw Error{ErrorCode::permission_denied, "not this key"};
    };
    const auto lock = co_await Lock::acquire(parties.troubled, "l");
    co_await lock.token().wait();
    const auto lost = now();
    require(lock.token().reason() == CancelReason::peer_gone, "it is lost");
    co_await sleep_for(ttl);
    require(given_back.has_value(), "a lost lock is given back, too");
    require(*given_back - lost >= ttl / 10, "the holder had no time to stop");
}

TEST(TroubledLock, OneWhoseKeyCannotBeWatchedIsGivenBackWhenItsHolderHasHadTime) {
    RecordingSink sink;
    run(unwatchable);
    EXPECT_EQ(sink.warnings("cannot be watched"), 1U);
}

Task<> watched_late(Parties parties) {
    int failures = 0;
    auto fail_thrice = [](std::string prefix, int* times) -> Task<> {
        if (prefix == "v1/locks/l/" || ++*times > 3) co_return;
        co_await sleep_for(1s);
        throw no_answer();
    };
    parties.troubled->before_watch = [&](std::string prefix) {
        return fail_thrice(std::move(prefix), &failures);
    };
    auto lock = co_await Lock::acquire(parties.troubled, "l");
    co_await sleep_for(2 * ttl);
    require(failures > 3, "it is tried until the key is watched");
    require(lock.held(), "it was lost by a store that did not answer for a moment");
    co_await parties.other->remove(lock.key());
    co_await with_deadline(Deadline::in(1s), [](CancellationToken token) -> Task<> {
        co_await token.wait();
    }(lock.token()));
}

TEST(TroubledLock, AStoreThatDoesNotAnswerJustAfterwardsCostsNoLock) {
    RecordingSink sink;
    run(watched_late);
}

Task<> nobody_waits(std::shared_ptr<MemoryStore> store) {
    co_await sleep_for(ttl);
    require((co_await store->list("v1/locks/")).empty(), "a place was left behind");
}

Task<> tried_without_a_list(Parties parties) {
    parties.troubled->before_list = []() -> Task<> { co_await sleep_for(1h); };
    const auto begun = now();
    require(
        co_await error_of(Lock::try_acquire(parties.troubled, "l", {.deadline = Deadline::in(1s)})
        ) == "deadline_exceeded store.lock_wait",
        "the error has its name"
    );
    require(now() - begun < 1100ms, "it ends in its time");
    co_await nobody_waits(parties.other);
    parties.troubled->before_list = []() -> Task<> {
        throw no_answer();
        co_return;
    };
    require(
        co_await error_of(Lock::try_acquire(parties.troubled, "l")) ==
            "unavailable store.unreachable",
        "another error stays what it is"
    );
    require((co_await parties.other->list("v1/locks/")).empty(), "the place is given back before");
}

TEST(TroubledLock, TryingEndsInItsTimeByNameWhereTheQueueCannotBeRead) {
    RecordingSink sink;
    run(tried_without_a_list);
}

Task<> tried_without_an_end(Parties parties) {
    auto held = co_await Lock::acquire(parties.other, "l");
    parties.troubled->before_end = []() -> Task<> { co_await sleep_for(3s); };
    const auto begun = now();
    const auto tried =
        co_await Lock::try_acquire(parties.troubled, "l", {.deadline = Deadline::in(1s)});
    require(!tried, "it is held by another");
    require(now() - begun < 1100ms, "it ends in its time");
    co_await held.release();
    co_await nobody_waits(parties.other);
}

TEST(TroubledLock, TryingEndsInItsTimeWhereThePlaceCannotBeGivenBack) {
    RecordingSink sink;
    run(tried_without_an_end);
}

Task<> tried_without_a_session(Parties parties) {
    parties.troubled->after_write = [](std::string) -> Task<> { co_await sleep_for(1h); };
    require(
        co_await error_of(Lock::try_acquire(parties.troubled, "l", {.deadline = Deadline::in(1s)})
        ) == "deadline_exceeded store.lock_wait",
        "the error has its name"
    );
    co_await nobody_waits(parties.other);
}

TEST(TroubledLock, TryingEndsByNameWhereThePlaceIsNotConfirmed) {
    RecordingSink sink;
    run(tried_without_a_session);
}

// ---- barriers

struct Led {
    Result<std::vector<std::string>> leader = fail(ErrorCode::internal, "not yet");
    Result<std::string> worker = fail(ErrorCode::internal, "not yet");
};

Task<> lead(std::shared_ptr<KeyValueStore> store, BarrierOptions options, Led* led) {
    led->leader = co_await as_result(lead_barrier(store, "g", 1, "data", options));
}

Task<> join(std::shared_ptr<KeyValueStore> store, Led* led) {
    led->worker = co_await as_result(join_barrier(store, "g", "w"));
}

/// What becomes of a barrier of one worker whose leader is disturbed after writes, and given up
/// after `cancelled_after`.
Task<Led> disturbed(
    Parties parties,
    std::function<Task<>(std::string key)> after_write,
    Duration cancelled_after = 1h
) {
    parties.troubled->after_write = std::move(after_write);
    Led led;
    const auto token = CancellationToken::make();
    TaskScope scope;
    scope.spawn(
        with_token(token, lead(parties.troubled, {.ttl = {}, .deadline = Deadline::in(5s)}, &led))
    );
    scope.spawn(join(parties.other, &led));
    scope.spawn([](CancellationToken of, Duration after, const TaskScope* all) -> Task<> {
        const auto until = Deadline::in(after);
        while (!until.passed() && all->size() > 1) co_await sleep_for(100ms);
        of.cancel();
    }(token, cancelled_after, &scope));
    co_await scope.join();
    parties.troubled->after_write = nullptr;
    co_return led;
}

void require_both(const Led& led) {
    require(led.worker.has_value(), "the worker goes on");
    require(led.leader.has_value(), led.leader ? "" : led.leader.error().what());
    require(*led.leader == std::vector<std::string>{"w"}, "and the leader knows with whom");
}

Task<> after_complete(std::string key, Duration late, bool lost) {
    if (!key.ends_with("/complete")) co_return;
    co_await sleep_for(late);
    if (lost) throw no_answer();
}

TEST(TroubledBarrier, IsCompleteWhenTheAnswerComesAfterTheLeadersDeadline) {
    RecordingSink sink;
    run([](Parties parties) -> Task<> {
        require_both(co_await disturbed(parties, [](std::string key) {
            return after_complete(std::move(key), 1h, false);
        }));
    });
}

TEST(TroubledBarrier, IsCompleteWhenTheAnswerNeverComes) {
    RecordingSink sink;
    run([](Parties parties) -> Task<> {
        require_both(co_await disturbed(parties, [](std::string key) {
            return after_complete(std::move(key), 2s, true);
        }));
    });
}

TEST(TroubledBarrier, IsCompleteWhenTheLeaderIsCancelledBeforeTheAnswerComes) {
    RecordingSink sink;
    run([](Parties parties) -> Task<> {
        auto late = [](std::string key) { return after_complete(std::move(key), 1h, false); };
        require_both(co_await disturbed(parties, late, 2s));
    });
}

TEST(TroubledBarrier, IsCompleteWhenEveryAnswerIsLate) {
    RecordingSink sink;
    run([](Parties parties) -> Task<> {
        require_both(co_await disturbed(parties, [](std::string key) -> Task<> {
            if (key.ends_with("/complete")) co_await sleep_for(1h);
            if (key.ends_with("/abort")) co_await sleep_for(3s);
        }));
    });
}

/// What is not known is told as an error, and not for ever.
Task<> never_known(Parties parties) {
    const auto begun = now();
    const auto led = co_await disturbed(parties, [](std::string key) -> Task<> {
        if (key.ends_with("/complete") || key.ends_with("/abort")) co_await sleep_for(1h);
    });
    require(led.worker.has_value(), "the worker goes on");
    require(!led.leader && led.leader.error().detail() == "store.barrier_wait", "by name");
    require(now() - begun < 20s, "in its time");
}

TEST(TroubledBarrier, ALeaderWhoseStoreAnswersNoMoreDoesNotKnow) {
    RecordingSink sink;
    run(never_known);
}

}  // namespace
}  // namespace stator::store
