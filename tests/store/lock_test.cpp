// Locks and elections, over every store.
#include "stator/store/lock.hpp"

#include <algorithm>
#include <mutex>
#include <thread>

#include "stator/base/random.hpp"
#include "stator/runtime/token_wait.hpp"
#include "stator/store/election.hpp"
#include "tests/store/lock_holders.hpp"
#include "tests/store/lock_queue.hpp"
#include "tests/store/tools_backends.hpp"

namespace stator::store {
namespace {

using test::BlockedLoop;
using test::error_of;
using test::eventually;
using test::Holders;
using test::queue_of;
using test::require;
using test::StorePtr;
using test::StoreTools;
using test::ToolsParty;
using test::waiting;
using namespace std::chrono_literals;

class Locks : public StoreTools {
protected:
    void struggle(Holders& holders, std::uint64_t sharing);
};

INSTANTIATE_TEST_SUITE_P(
    Stores,
    Locks,
    testing::ValuesIn(test::backends_with_sessions(true)),
    [](const auto& info) { return info.param.name; }
);

class WithoutSessions : public StoreTools {};

INSTANTIATE_TEST_SUITE_P(
    Stores,
    WithoutSessions,
    testing::ValuesIn(test::backends_with_sessions(false)),
    [](const auto& info) { return info.param.name; }
);

Task<> refused(StorePtr a) {
    const auto expected = "unimplemented store.no_sessions";
    EXPECT_EQ(co_await error_of(a->open_session({})), expected);
    EXPECT_EQ(co_await error_of(Lock::acquire(a, "l")), expected);
    EXPECT_EQ(co_await error_of(Lock::try_acquire(a, "l")), expected);
    EXPECT_EQ(co_await error_of(campaign(a, "e", "me")), expected);
    EXPECT_EQ(co_await error_of(LeaderWatch::open(a, "e")), expected);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(WithoutSessions);  // etcd has them
TEST_P(WithoutSessions, LocksAreRefusedByName) { EXPECT_RUNS(loops(), refused(a())); }

Task<> session_options(StorePtr a, Duration ttl, bool any_ttl) {
    EXPECT_EQ(co_await error_of(a->open_session({.ttl = -1s})), "invalid_request store.ttl");
    auto session = co_await a->open_session({});
    EXPECT_EQ(session.ttl(), ttl);
    EXPECT_EQ(session.id().size(), 16U);
    EXPECT_TRUE(session.alive());
    if (any_ttl) {
        EXPECT_GE((co_await a->open_session({.ttl = 20s})).ttl(), 20s);
    } else {
        EXPECT_EQ(co_await error_of(a->open_session({.ttl = 20s})), "invalid_request store.ttl");
    }
    EXPECT_EQ(
        co_await error_of(session.write({.guards = {}, .puts = {{"v1/test/k", ""}}})),
        "invalid_request store.value"
    );
    EXPECT_EQ(
        co_await error_of(session.write({.guards = {}, .puts = {{"nonsense", "1"}}})),
        "invalid_request store.key"
    );
    const auto made =
        co_await session.write({.guards = {{"v1/test/k", 0}}, .puts = {{"v1/test/k", "1"}}});
    require(made.done, "the key was not there");
    const auto again =
        co_await session.write({.guards = {{"v1/test/k", 0}}, .puts = {{"v1/test/k", "2"}}});
    require(!again.done && again.found.size() == 1 && again.found[0], "the key is there");
    EXPECT_EQ(again.found[0]->created, made.revision);
    EXPECT_EQ(again.found[0]->value, "1");
    const auto changed = co_await session.write(
        {.guards = {{"v1/test/k", made.revision}}, .puts = {{"v1/test/k", "2"}}}
    );
    EXPECT_TRUE(changed.done);
    const auto entry = co_await a->get("v1/test/k");
    require(entry.has_value(), "the key is there");
    EXPECT_EQ(entry->created, made.revision) << "a change does not make it another";
    EXPECT_GT(entry->revision, made.revision);
    co_await session.close();
    EXPECT_FALSE(co_await a->get("v1/test/k"));
    EXPECT_EQ(co_await error_of(session.write({})), "unavailable store.session_lost");
}

TEST_P(Locks, SessionsWriteWhatTheirGuardsAllow) {
    EXPECT_RUNS(loops(), session_options(a(), ttl(), GetParam().any_ttl));
}

Task<> one_after_the_other(StorePtr a, StorePtr b) {
    std::vector<int> order;
    std::vector<std::uint64_t> tokens;
    auto held = co_await Lock::acquire(a, "l");
    EXPECT_TRUE(held.held());
    EXPECT_FALSE(held.token().cancelled());
    tokens.push_back(held.fencing_token());
    TaskScope scope;
    for (int i = 0; i < 5; ++i) {
        scope.spawn([](StorePtr store, int me, auto* places, auto* seen) -> Task<> {
            auto mine = co_await Lock::acquire(store, "l");
            places->push_back(me);
            seen->push_back(mine.fencing_token());
            co_await mine.release();
            EXPECT_FALSE(mine.held());
        }(i % 2 == 0 ? b : a, i, &order, &tokens));
        co_await queue_of(a, "l", static_cast<std::size_t>(i) + 2);
    }
    EXPECT_TRUE(order.empty());
    co_await held.release();
    EXPECT_EQ(held.token().reason(), CancelReason::requested);
    co_await held.release();
    co_await scope.join();
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
    EXPECT_TRUE(std::ranges::is_sorted(tokens));
    EXPECT_EQ(std::ranges::adjacent_find(tokens), tokens.end());
    EXPECT_EQ(co_await waiting(a, "l"), 0U);
    // Of another name.
    auto one = co_await Lock::acquire(a, "l");
    auto other = co_await Lock::acquire(b, "l2");
    EXPECT_TRUE(one.held() && other.held());
}

TEST_P(Locks, WhoAsksFirstIsServedFirst) { EXPECT_RUNS(loops(), one_after_the_other(a(), b())); }

Task<> wait_in_vain(StorePtr a, StorePtr b) {
    auto held = co_await Lock::acquire(a, "l", {.holder = "the first"});
    const auto late = co_await as_result(
        Lock::acquire(b, "l", {.holder = "late", .deadline = Deadline::in(100ms)})
    );
    require(!late, "it is held by another");
    EXPECT_EQ(late.error().detail(), "store.lock_wait");
    EXPECT_NE(late.error().message().find("held by the first"), std::string::npos)
        << late.error().message();
    EXPECT_EQ(co_await waiting(a, "l"), 1U) << "the place is given back before the error is told";
    EXPECT_FALSE(co_await Lock::try_acquire(b, "l"));
    co_await held.release();
    auto tried = co_await Lock::try_acquire(b, "l");
    require(tried.has_value(), "nobody holds it");
    EXPECT_TRUE(tried->held());
    EXPECT_EQ(co_await error_of(Lock::acquire(a, "a/b")), "invalid_request store.name");
    EXPECT_EQ(co_await error_of(Lock::acquire(a, "")), "invalid_request store.name");
    EXPECT_EQ(
        co_await error_of(Lock::acquire(a, std::string(201, 'x'))), "invalid_request store.name"
    );
}

TEST_P(Locks, WaitingHasAnEnd) { EXPECT_RUNS(loops(), wait_in_vain(a(), b())); }

/// Cancelled at whichever step, a waiter leaves nothing behind.
Task<> give_up(StorePtr a, StorePtr b) {
    auto held = co_await Lock::acquire(a, "l");
    for (int steps = 0; steps < 12; ++steps) {
        const auto token = CancellationToken::make();
        TaskScope scope;
        scope.spawn([](StorePtr store, CancellationToken own) -> Task<> {
            EXPECT_EQ(co_await error_of(with_token(own, Lock::acquire(store, "l"))), "cancelled ");
        }(b, token));
        for (int i = 0; i < steps; ++i) co_await sleep_for(200us);
        token.cancel();
        co_await scope.join();
        co_await queue_of(a, "l", 1);
    }
    EXPECT_TRUE(held.held());
    co_await held.release();
    auto next = co_await Lock::acquire(b, "l", {.deadline = Deadline::in(test::patience)});
    EXPECT_TRUE(next.held());
}

TEST_P(Locks, AWaiterThatGivesUpLeavesNothing) { EXPECT_RUNS(loops(), give_up(a(), b())); }

Task<> dropped(StorePtr a, StorePtr b) {
    const auto token = CancellationToken::make();
    {
        auto held = co_await Lock::acquire(a, "l");
        auto moved = std::move(held);
        EXPECT_TRUE(moved.held());
    }
    auto bound = co_await Lock::acquire(
        b, "l", {.deadline = Deadline::in(test::patience), .bound_to = token}
    );
    token.cancel();
    EXPECT_FALSE(bound.held());
    auto last = co_await Lock::acquire(b, "l", {.deadline = Deadline::in(test::patience)});
    const auto lost = last.token();
    co_await b->close(Deadline::in(5s));
    EXPECT_EQ(lost.reason(), CancelReason::shutdown);
    EXPECT_EQ(co_await waiting(a, "l"), 0U);
    EXPECT_EQ(co_await error_of(Lock::acquire(b, "l")), "unavailable store.closed");
}

TEST_P(Locks, ALockGoesWithItsOwner) { EXPECT_RUNS(loops(), dropped(a(), b())); }

Task<> taken_away(StorePtr a, StorePtr b) {
    auto held = co_await Lock::acquire(a, "l");
    EXPECT_TRUE(co_await b->remove(held.key()));
    co_await with_deadline(Deadline::in(test::patience), [](CancellationToken token) -> Task<> {
        co_await token.wait();
    }(held.token()));
    EXPECT_EQ(held.token().reason(), CancelReason::peer_gone);
    EXPECT_FALSE(held.held());
    EXPECT_EQ(
        co_await error_of(held.session().write({.guards = {}, .puts = {{"v1/test/k", "1"}}})),
        "unavailable store.session_lost"
    );
}

TEST_P(Locks, AHolderWhoseKeyIsRemovedIsTold) {
    test::RecordingSink sink;
    EXPECT_RUNS(loops(), taken_away(a(), b()));
    EXPECT_EQ(sink.counted("store_sessions_lost_total"), 1U);
    EXPECT_EQ(sink.warnings("was removed"), 1U);
}

Task<> waiter_taken_away(StorePtr a, StorePtr b) {
    auto held = co_await Lock::acquire(a, "l");
    TaskScope scope;
    scope.spawn([](StorePtr store) -> Task<> {
        EXPECT_EQ(co_await error_of(Lock::acquire(store, "l")), "unavailable store.session_lost");
    }(b));
    co_await queue_of(a, "l", 2);
    for (const auto& entry : co_await a->list("v1/locks/l/")) {
        if (entry.key != held.key()) co_await a->remove(entry.key);
    }
    co_await scope.join();
    EXPECT_TRUE(held.held());
}

TEST_P(Locks, AWaiterWhosePlaceIsRemovedIsTold) {
    test::RecordingSink sink;
    EXPECT_RUNS(loops(), waiter_taken_away(a(), b()));
}

/// Something outside of the store that is protected by fencing tokens.
class Resource {
public:
    bool write(std::uint64_t token) {
        const std::lock_guard guard{lock_};
        if (token < largest_) return false;
        largest_ = token;
        return true;
    }

private:
    std::mutex lock_;
    std::uint64_t largest_ = 0;
};

Task<Lock> acquire_in_time(StorePtr store, LockMode mode = LockMode::exclusive) {
    co_return co_await Lock::acquire(
        store, "l", {.deadline = Deadline::in(test::patience), .mode = mode}
    );
}

TEST_P(Locks, AHolderThatIsHeldUpPastItsTimeIsFencedOff) {
    test::RecordingSink sink;
    Resource resource;
    auto stale = loops().run(acquire_in_time(a()));
    ASSERT_TRUE(stale) << stale.error().what();
    EXPECT_TRUE(resource.write(stale->fencing_token()));
    {
        // It does not know: nothing of it runs.
        const BlockedLoop held_up{a_.loops().secondary()};
        auto fresh = b_.loops().run(acquire_in_time(b()));
        ASSERT_TRUE(fresh) << fresh.error().what();
        EXPECT_FALSE(stale->held()) << "the clock tells even where the token cannot";
        EXPECT_GT(fresh->fencing_token(), stale->fencing_token());
        EXPECT_TRUE(resource.write(fresh->fencing_token()));
        EXPECT_FALSE(resource.write(stale->fencing_token()));
        EXPECT_RUNS(b_.loops(), fresh->release());
    }
    EXPECT_RUNS(
        loops(),
        with_deadline(
            Deadline::in(test::patience),
            [](CancellationToken token) -> Task<> { co_await token.wait(); }(stale->token())
        )
    );
    EXPECT_EQ(stale->token().reason(), CancelReason::peer_gone);
    EXPECT_RUNS(loops(), stale->release());
    auto again = loops().run(acquire_in_time(a()));
    ASSERT_TRUE(again) << again.error().what();
}

/// What a contender does with the lock, drawn from `seed`; of so many in ten it shares it.
struct Contender {
    Holders* holders;
    std::uint64_t seed;
    Deadline until;
    std::uint64_t sharing = 0;
};

Task<> contend(StorePtr store, Contender me) {
    Random dice{me.seed};
    const auto [holders, seed, until, sharing] = me;
    while (!until.passed()) {
        const auto patience = dice.below(4) == 0 ? Duration{dice.below(30'000'000)} : 20s;
        const auto mode = dice.below(10) < sharing ? LockMode::shared : LockMode::exclusive;
        auto lock = co_await as_result(
            Lock::acquire(store, "l", {.deadline = Deadline::in(patience), .mode = mode})
        );
        if (!lock) {
            const auto& detail = lock.error().detail();
            if (detail == "store.closed") co_return;
            EXPECT_TRUE(detail == "store.lock_wait" || detail == "store.session_lost")
                << lock.error().what();
            continue;
        }
        const auto place = holders->enter(std::move(*lock));
        co_await sleep_for(Duration{dice.below(5'000'000)});
        auto mine = holders->leave(place);
        if (dice.below(3) != 0) co_await mine.release();  // or it is dropped
    }
}

/// Many contenders in parties of which one is held up, and another killed, now and then.
void Locks::struggle(Holders& holders, std::uint64_t sharing) {
    test::RecordingSink sink;
    const auto until = Deadline::in(4 * ttl());
    const auto contender = [&](std::uint64_t seed) {
        return Contender{&holders, seed, until, sharing};
    };
    ToolsParty steady{GetParam(), folder_.path()};
    std::thread others{[&] {
        auto run = [](std::vector<Task<>> tasks) -> Task<> { co_await when_all(std::move(tasks)); };
        std::vector<Task<>> tasks;
        for (std::uint64_t i = 0; i < 6; ++i)
            tasks.push_back(contend(i % 2 == 0 ? steady.store() : b(), contender(100 + i)));
        EXPECT_RUNS(steady.loops(), run(std::move(tasks)));
    }};
    std::thread killed{[&] {
        while (!until.passed()) {
            ToolsParty party{GetParam(), folder_.path()};
            auto short_lived = contender(7);
            short_lived.until = earliest(until, Deadline::in(ttl() / 3));
            EXPECT_RUNS(party.loops(), contend(party.store(), short_lived));
            const auto mode = sharing == 0 ? LockMode::exclusive : LockMode::shared;
            auto last = party.loops().run(acquire_in_time(party.store(), mode));
            if (last) (void)holders.enter(std::move(*last));
            // Gone without a word: nothing is given back.
            party.close(Deadline::in(0s));
        }
    }};
    std::thread held_up{[&] {
        TaskScope scope;
        scope.spawn_on(a_.loops().primary(), contend(a(), contender(3)));
        scope.spawn_on(a_.loops().primary(), contend(a(), contender(4)));
        while (!until.passed()) {
            std::this_thread::sleep_for(ttl() / 5);
            const BlockedLoop held{a_.loops().secondary()};
            std::this_thread::sleep_for(3 * ttl() / 2);
        }
        EXPECT_RUNS(a_.loops(), scope.join());
    }};
    for (auto* thread : {&others, &killed, &held_up}) thread->join();
    EXPECT_EQ(holders.overlaps, 0);
    EXPECT_EQ(holders.out_of_order, 0);
    EXPECT_GT(holders.entered, 10);
}

TEST_P(Locks, TwoHoldersNeverOverlap) {
    Holders holders;
    struggle(holders, 0);
    EXPECT_EQ(holders.shared, 0);
}

TEST_P(Locks, OnlyThoseWhoShareItOverlap) {
    Holders holders;
    struggle(holders, 7);
    EXPECT_GT(holders.shared, 0);
}

Task<std::string> next_leader(LeaderWatch* watch) {
    const auto leader = co_await with_deadline(Deadline::in(test::patience), watch->next());
    co_return leader ? leader->value : "nobody";
}

Task<> elect(StorePtr a, StorePtr b) {
    auto watch = co_await LeaderWatch::open(b, "e");
    EXPECT_EQ(co_await next_leader(&watch), "nobody");
    auto first = co_await campaign(a, "e", "first");
    EXPECT_EQ(co_await next_leader(&watch), "first");
    TaskScope scope;
    std::optional<Leadership> second;
    scope.spawn([](StorePtr store, std::optional<Leadership>* place) -> Task<> {
        place->emplace(co_await campaign(store, "e", "second"));
    }(b, &second));
    co_await eventually(
        [&](this auto) -> Task<bool> {
            co_return (co_await a->list("v1/elections/e/")).size() == 2;
        },
        "a candidate"
    );
    EXPECT_FALSE(second.has_value());
    co_await first.proclaim("first, still");
    EXPECT_EQ(co_await next_leader(&watch), "first, still");
    co_await first.resign();
    co_await scope.join();
    EXPECT_EQ(co_await next_leader(&watch), "second");
    EXPECT_TRUE(second.value().leads());
    EXPECT_GT(second->fencing_token(), first.fencing_token());
    EXPECT_EQ(co_await error_of(first.proclaim("a ghost")), "unavailable store.session_lost");
    second.reset();
    EXPECT_EQ(co_await next_leader(&watch), "nobody");
    auto late = co_await LeaderWatch::open(a, "e");
    // Another store's view: it may be some moments older. Each look is bounded.
    while (co_await next_leader(&late) != "nobody") {
    }
    co_await a->close(Deadline::in(5s));
    EXPECT_EQ(co_await error_of(late.next()), "unavailable store.closed");
}

TEST_P(Locks, CandidatesLeadInTurnAndObserversSeeIt) { EXPECT_RUNS(loops(), elect(a(), b())); }

Task<Leadership> stand(StorePtr store, std::string value) {
    co_return co_await with_deadline(
        Deadline::in(test::patience), campaign(store, "e", std::move(value))
    );
}

TEST_P(Locks, ALeaderThatIsHeldUpIsReplaced) {
    test::RecordingSink sink;
    auto stale = loops().run(stand(a(), "stale"));
    ASSERT_TRUE(stale) << stale.error().what();
    std::optional<Leadership> fresh;
    {
        const BlockedLoop held_up{a_.loops().secondary()};
        auto elected = b_.loops().run(stand(b(), "fresh"));
        ASSERT_TRUE(elected) << elected.error().what();
        EXPECT_FALSE(stale->leads());
        EXPECT_GT(elected->fencing_token(), stale->fencing_token());
        fresh = std::move(*elected);
    }
    EXPECT_EQ(loops().run(error_of(stale->proclaim("a ghost"))), "unavailable store.session_lost");
    auto watch = loops().run(LeaderWatch::open(a(), "e"));
    ASSERT_TRUE(watch);
    // What the watch had not heard while it was held up comes first.
    EXPECT_RUNS(loops(), [](LeaderWatch* of) -> Task<> {
        while (co_await next_leader(of) != "fresh") continue;
    }(&*watch));
}

}  // namespace
}  // namespace stator::store
