// Barriers of a leader and its workers, over every store.
#include "stator/store/group_barrier.hpp"

#include <algorithm>
#include <set>

#include "stator/store/session.hpp"
#include "tests/store/tools_backends.hpp"

namespace stator::store {
namespace {

using test::BlockedLoop;
using test::error_of;
using test::eventually;
using test::require;
using test::StorePtr;
using test::StoreTools;
using test::ToolsParty;
using namespace std::chrono_literals;
using Ids = std::vector<std::string>;

class Barriers : public StoreTools {};

INSTANTIATE_TEST_SUITE_P(
    Stores,
    Barriers,
    testing::ValuesIn(test::backends_with_sessions(true)),
    [](const auto& info) { return info.param.name; }
);

class WithoutBarriers : public StoreTools {};

INSTANTIATE_TEST_SUITE_P(
    Stores,
    WithoutBarriers,
    testing::ValuesIn(test::backends_with_sessions(false)),
    [](const auto& info) { return info.param.name; }
);

BarrierOptions patient() { return {.ttl = {}, .deadline = Deadline::in(test::patience)}; }

Task<> refused(StorePtr a) {
    EXPECT_EQ(co_await error_of(lead_barrier(a, "g", 1, "d")), "unimplemented store.no_sessions");
    EXPECT_EQ(co_await error_of(join_barrier(a, "g", "w")), "unimplemented store.no_sessions");
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(WithoutBarriers);  // etcd has them
TEST_P(WithoutBarriers, TheyAreRefusedByName) { EXPECT_RUNS(loops(), refused(a())); }

Task<> joins(StorePtr store, std::string worker, std::string expected) {
    const auto data = co_await join_barrier(store, "g", worker, patient());
    EXPECT_EQ(data, expected) << worker;
}

Task<> fails(StorePtr store, std::string worker, std::string expected) {
    EXPECT_EQ(co_await error_of(join_barrier(store, "g", worker, patient())), expected) << worker;
}

/// Once `count` keys of the barrier are there.
Task<> keys_there(StorePtr store, std::size_t count) {
    co_await eventually(
        [&](this auto) -> Task<bool> {
            co_return (co_await store->list("v1/barriers/g/")).size() == count;
        },
        std::to_string(count) + " keys of the barrier"
    );
}

Task<> together(StorePtr a, StorePtr b, std::size_t workers, std::string data) {
    TaskScope scope;
    Ids expected;
    for (std::size_t i = 0; i < workers; ++i) {
        expected.push_back("w" + std::to_string(i));
        scope.spawn(joins(i % 2 == 0 ? a : b, expected.back(), data));
    }
    auto ids = co_await lead_barrier(b, "g", static_cast<std::uint32_t>(workers), data, patient());
    co_await scope.join();
    std::ranges::sort(ids);
    std::ranges::sort(expected);
    EXPECT_EQ(ids, expected);
    EXPECT_TRUE((co_await a->list("v1/barriers/g/")).empty()) << "nothing of it is left";
}

TEST_P(Barriers, EverybodyGoesOnTogether) {
    EXPECT_RUNS(loops(), together(a(), b(), 3, "what the leader says"));
    EXPECT_RUNS(loops(), together(b(), a(), 1, ""));
    EXPECT_RUNS(loops(), together(b(), a(), 2, "two\nlines"));
}

TEST_P(Barriers, AHundredWorkers) {
    // So much at once may keep a busy machine from renewals for longer than the shortest lease.
    const test::TemporaryFolder place;
    ToolsParty one{GetParam(), place.path(), 20s};
    ToolsParty other{GetParam(), place.path(), 20s};
    EXPECT_RUNS(one.loops(), together(one.store(), other.store(), 100, "data"));
}

Task<> in_order(StorePtr a, StorePtr b) {
    TaskScope scope;
    Ids ids;
    scope.spawn([](StorePtr store, Ids* all) -> Task<> {
        *all = co_await lead_barrier(store, "g", 3, "d", patient());
    }(a, &ids));
    co_await keys_there(a, 1);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_TRUE(ids.empty());
        scope.spawn(joins(b, std::string(1, static_cast<char>('z' - i)), "d"));
        if (i < 2) co_await keys_there(a, i + 2);
    }
    co_await scope.join();
    EXPECT_EQ(ids, (Ids{"z", "y", "x"}));
}

TEST_P(Barriers, TheLeaderKnowsWhoCameInTheOrderTheyCame) {
    EXPECT_RUNS(loops(), in_order(a(), b()));
}

Task<> lead_until(StorePtr store, std::uint32_t workers, std::string expected, BarrierOptions how) {
    EXPECT_EQ(co_await error_of(lead_barrier(store, "g", workers, "d", how)), expected);
}

Task<> duplicates(StorePtr a, StorePtr b) {
    TaskScope scope;
    scope.spawn([](StorePtr store) -> Task<> {
        (void)co_await lead_barrier(store, "g", 2, "d", patient());
    }(a));
    co_await keys_there(a, 1);
    EXPECT_EQ(
        co_await error_of(lead_barrier(b, "g", 2, "other", patient())),
        "already_exists store.barrier_leader"
    );
    scope.spawn(joins(a, "w", "d"));
    co_await keys_there(a, 2);
    co_await fails(b, "w", "already_exists store.barrier_worker");
    co_await keys_there(a, 2);  // neither took the place of those before
    co_await joins(b, "w2", "d");
    co_await scope.join();
    EXPECT_EQ(
        co_await error_of(lead_barrier(a, "g", 0, "d")), "invalid_request store.barrier_size"
    );
    EXPECT_EQ(co_await error_of(lead_barrier(a, "g/h", 1, "d")), "invalid_request store.name");
    EXPECT_EQ(co_await error_of(join_barrier(a, "g", "")), "invalid_request store.name");
}

TEST_P(Barriers, ASecondLeaderAndASecondWorkerOfANameAreRefused) {
    EXPECT_RUNS(loops(), duplicates(a(), b()));
}

/// A worker that joins and then says no more.
Task<Session> join_as_ghost(StorePtr store, std::string worker) {
    auto session = co_await store->open_session({});
    const auto reply = co_await session.write(
        {.guards = {{"v1/barriers/g/worker/" + worker, 0}},
         .puts = {{"v1/barriers/g/worker/" + worker, "ghost"}}}
    );
    require(reply.done, "the ghost has joined");
    co_return session;
}

Task<> late(StorePtr a, StorePtr b) {
    auto ghost = co_await join_as_ghost(b, "ghost");
    TaskScope scope;
    scope.spawn([](StorePtr store) -> Task<> {
        EXPECT_EQ(co_await lead_barrier(store, "g", 1, "d", patient()), (Ids{"ghost"}));
    }(a));
    co_await keys_there(a, 3);  // complete, and waiting for the ghost to leave
    co_await fails(b, "late", "already_exists store.barrier_completed");
    co_await ghost.close();
    co_await scope.join();
    EXPECT_TRUE((co_await a->list("v1/barriers/g/")).empty());
    EXPECT_EQ(
        co_await error_of(join_barrier(a, "g", "later", {.deadline = Deadline::in(50ms)})),
        "deadline_exceeded store.barrier_wait"
    );
}

TEST_P(Barriers, WhoComesLateIsTold) { EXPECT_RUNS(loops(), late(a(), b())); }

Task<> one_too_many(StorePtr a, StorePtr b) {
    auto ghost = co_await join_as_ghost(b, "ghost");
    auto other = co_await join_as_ghost(b, "one too many");
    const auto ids = co_await lead_barrier(
        a, "g", 1, "d", {.deadline = Deadline::in(test::patience), .linger = 10ms}
    );
    EXPECT_EQ(ids, (Ids{"ghost"}));
}

TEST_P(Barriers, ItTakesNoMoreThanItWasMadeFor) { EXPECT_RUNS(loops(), one_too_many(a(), b())); }

Task<> member_leaves(StorePtr a, StorePtr b) {
    TaskScope scope;
    scope.spawn(fails(b, "w1", "disconnected store.barrier_aborted"));
    scope.spawn([](StorePtr store) -> Task<> {
        const auto led = co_await as_result(lead_barrier(store, "g", 3, "d", patient()));
        require(!led, "a worker has left");
        EXPECT_EQ(led.error().detail(), "store.barrier_member_gone");
        EXPECT_NE(led.error().message().find("ghost"), std::string::npos) << led.error().what();
    }(a));
    co_await keys_there(a, 2);
    // One that comes and goes before the leader looks does not count.
    while (scope.size() != 0) {
        auto ghost = co_await join_as_ghost(b, "ghost");
        co_await sleep_for(5ms);
        co_await ghost.close();
    }
    co_await scope.join();
    EXPECT_TRUE((co_await a->list("v1/barriers/g/")).empty());
    co_await together(a, b, 2, "again");
}

TEST_P(Barriers, AWorkerThatLeavesEndsItForAll) { EXPECT_RUNS(loops(), member_leaves(a(), b())); }

/// It may see first that it is lost, or that the barrier is.
Task<> fails_somehow(StorePtr store, std::string worker) {
    EXPECT_FALSE(co_await as_result(join_barrier(store, "g", worker, patient())));
}

TEST_P(Barriers, AWorkerThatDiesEndsItForAll) {
    test::RecordingSink sink;
    ToolsParty third{GetParam(), folder_.path()};
    TaskScope scope;
    scope.spawn_on(
        a_.loops().primary(),
        lead_until(a(), 2, "disconnected store.barrier_member_gone", patient())
    );
    scope.spawn_on(third.loops().primary(), fails_somehow(third.store(), "w1"));
    EXPECT_RUNS(b_.loops(), keys_there(b(), 2));
    {
        const BlockedLoop dead{third.loops().secondary()};
        EXPECT_RUNS(b_.loops(), keys_there(b(), 0));
    }
    EXPECT_RUNS(a_.loops(), scope.join());
}

TEST_P(Barriers, ALeaderThatDiesEndsItForAll) {
    test::RecordingSink sink;
    TaskScope scope;
    scope.spawn_on(
        a_.loops().primary(), lead_until(a(), 2, "unavailable store.session_lost", patient())
    );
    scope.spawn_on(
        b_.loops().primary(), fails(b(), "w1", "disconnected store.barrier_leader_gone")
    );
    EXPECT_RUNS(b_.loops(), keys_there(b(), 2));
    {
        const BlockedLoop dead{a_.loops().secondary()};
        EXPECT_RUNS(b_.loops(), keys_there(b(), 0));
    }
    EXPECT_RUNS(a_.loops(), scope.join());
}

Task<> in_vain(StorePtr a, StorePtr b) {
    auto ghost = co_await join_as_ghost(b, "ghost");
    const auto led = co_await as_result(
        lead_barrier(a, "g", 2, "d", {.deadline = Deadline::in(500ms), .linger = 10ms})
    );
    require(!led, "not all have come");
    EXPECT_EQ(led.error().detail(), "store.barrier_wait");
    EXPECT_NE(led.error().message().find("1 of 2"), std::string::npos) << led.error().what();
    co_await ghost.close();
    EXPECT_TRUE((co_await a->list("v1/barriers/g/")).empty());
}

TEST_P(Barriers, WaitingHasAnEnd) { EXPECT_RUNS(loops(), in_vain(a(), b())); }

/// Cancelled at whichever step, neither leaves anything behind, and the other is told.
Task<> give_up(StorePtr a, StorePtr b) {
    for (int steps = 0; steps < 8; ++steps) {
        const auto token = CancellationToken::make();
        TaskScope scope;
        scope.spawn([](StorePtr store, CancellationToken own) -> Task<> {
            EXPECT_EQ(
                co_await error_of(with_token(own, lead_barrier(store, "g", 2, "d", patient()))),
                "cancelled "
            );
        }(a, token));
        for (int i = 0; i < steps; ++i) co_await sleep_for(500us);
        token.cancel();
        co_await scope.join();
        co_await keys_there(a, 0);
    }
    TaskScope scope;
    scope.spawn(fails(b, "w1", "disconnected store.barrier_aborted"));
    const auto token = CancellationToken::make();
    scope.spawn([](StorePtr store, CancellationToken own) -> Task<> {
        (void)co_await as_result(with_token(own, lead_barrier(store, "g", 2, "d", patient())));
    }(a, token));
    co_await keys_there(a, 2);
    token.cancel();
    co_await scope.join();
    scope.spawn(lead_until(a, 2, "disconnected store.barrier_member_gone", patient()));
    while (scope.size() != 0) {
        EXPECT_FALSE(co_await as_result(with_deadline(Deadline::in(10ms), join_barrier(b, "g", "w"))
        ));
    }
    co_await scope.join();
    co_await keys_there(a, 0);
}

TEST_P(Barriers, WhoGivesUpLeavesNothingAndTellsTheOthers) {
    EXPECT_RUNS(loops(), give_up(a(), b()));
}

}  // namespace
}  // namespace stator::store
