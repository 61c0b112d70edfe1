// Locks that readers share, over every store.
#include <optional>

#include "stator/runtime/token_wait.hpp"
#include "stator/store/fence.hpp"
#include "stator/store/lock.hpp"
#include "tests/store/lock_queue.hpp"
#include "tests/store/tools_backends.hpp"

namespace stator::store {
namespace {

using test::BlockedLoop;
using test::error_of;
using test::queue_of;
using test::require;
using test::StorePtr;
using test::StoreTools;
using test::ToolsParty;
using test::waiting;
using namespace std::chrono_literals;

constexpr auto exclusive = LockMode::exclusive;
constexpr auto shared = LockMode::shared;

class SharedLocks : public StoreTools {};

INSTANTIATE_TEST_SUITE_P(
    Stores,
    SharedLocks,
    testing::ValuesIn(test::backends_with_sessions(true)),
    [](const auto& info) { return info.param.name; }
);

Task<Lock> get(StorePtr store, LockMode mode) {
    co_return co_await Lock::acquire(
        store, "l", {.deadline = Deadline::in(test::patience), .mode = mode}
    );
}

Task<std::optional<Lock>> attempt(StorePtr store, LockMode mode) {
    return Lock::try_acquire(std::move(store), "l", {.mode = mode});
}

Task<> get_into(StorePtr store, LockMode mode, std::optional<Lock>* place) {
    place->emplace(co_await get(store, mode));
}

Task<> until_lost(CancellationToken token) {
    co_await with_deadline(Deadline::in(test::patience), [](CancellationToken of) -> Task<> {
        co_await of.wait();
    }(token));
    EXPECT_EQ(token.reason(), CancelReason::peer_gone);
}

Task<> share(StorePtr a, StorePtr b) {
    auto first = co_await get(a, shared);
    auto second = co_await get(b, shared);
    auto third = co_await get(a, shared);
    EXPECT_TRUE(first.held() && second.held() && third.held());
    EXPECT_EQ(first.mode(), shared);
    EXPECT_EQ(first.key(), "v1/locks/l/shared/" + first.session().id());
    EXPECT_LT(first.fencing_token(), second.fencing_token());
    EXPECT_LT(second.fencing_token(), third.fencing_token());
    std::optional<Lock> writer;
    TaskScope scope;
    scope.spawn(get_into(b, exclusive, &writer));
    co_await queue_of(a, "l", 4);
    co_await first.release();
    co_await third.release();
    co_await sleep_for(50ms);
    EXPECT_FALSE(writer) << "one of them is still in";
    EXPECT_TRUE(second.held());
    co_await second.release();
    co_await scope.join();
    require(writer.has_value(), "nobody is in");
    EXPECT_EQ(writer->mode(), exclusive);
    EXPECT_EQ(writer->key(), "v1/locks/l/" + writer->session().id());
    EXPECT_GT(writer->fencing_token(), third.fencing_token());
    co_await writer->release();
    EXPECT_EQ(co_await waiting(a, "l"), 0U);
}

TEST_P(SharedLocks, ReadersAreInTogetherAndAWriterWaitsForAllOfThem) {
    EXPECT_RUNS(loops(), share(a(), b()));
}

Task<> behind_a_writer(StorePtr a, StorePtr b) {
    auto in = co_await get(a, shared);
    std::optional<Lock> writer;
    std::optional<Lock> late;
    std::optional<Lock> later;
    TaskScope scope;
    scope.spawn(get_into(b, exclusive, &writer));
    co_await queue_of(a, "l", 2);
    scope.spawn(get_into(a, shared, &late));
    scope.spawn(get_into(b, shared, &later));
    co_await queue_of(a, "l", 4);
    EXPECT_FALSE(co_await attempt(a, shared)) << "a writer waits";
    co_await sleep_for(50ms);
    EXPECT_FALSE(writer || late || later);
    co_await in.release();
    co_await test::eventually(
        [&](this auto) -> Task<bool> { co_return writer.has_value(); }, "the writer"
    );
    co_await sleep_for(50ms);
    EXPECT_FALSE(late || later) << "it holds the lock";
    co_await writer->release();
    co_await scope.join();
    EXPECT_TRUE(late->held() && later->held());
    EXPECT_GT(late->fencing_token(), writer->fencing_token());
}

TEST_P(SharedLocks, WhoComesAfterAWaitingWriterWaitsBehindIt) {
    EXPECT_RUNS(loops(), behind_a_writer(a(), b()));
}

Task<std::string> failure_of(StorePtr store, LockMode mode, Duration patience) {
    const auto lock = co_await as_result(
        Lock::acquire(store, "l", {.deadline = Deadline::in(patience), .mode = mode})
    );
    co_return lock ? "it was had" : lock.error().what();
}

bool says(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

Task<> in_vain(StorePtr a, StorePtr b) {
    auto in = co_await Lock::acquire(a, "l", {.holder = "a reader", .mode = shared});
    std::optional<Lock> behind;
    std::string writers;
    {
        TaskScope scope;
        scope.spawn([](StorePtr store, std::string* why) -> Task<> {
            *why = co_await failure_of(store, exclusive, 300ms);
        }(b, &writers));
        co_await queue_of(a, "l", 2);
        scope.spawn(get_into(a, shared, &behind));
        co_await scope.join();
    }
    EXPECT_TRUE(says(writers, "shared by a reader; 1 are before us")) << writers;
    EXPECT_TRUE(in.held() && behind->held()) << "nobody is in its way any more";
    co_await in.release();
    co_await behind->release();
    auto writer = co_await Lock::acquire(b, "l", {.holder = "a writer"});
    const auto reader = co_await failure_of(a, shared, 100ms);
    EXPECT_TRUE(says(reader, "held by a writer; 1 are before us")) << reader;
    EXPECT_EQ(co_await waiting(a, "l"), 1U) << "the place is given back before the error is told";
}

TEST_P(SharedLocks, AWriterThatWaitsInVainKeepsNobodyOut) {
    EXPECT_RUNS(loops(), in_vain(a(), b()));
}

Task<> tries(StorePtr a, StorePtr b) {
    auto one = co_await attempt(a, shared);
    auto two = co_await attempt(b, shared);
    require(one && two, "they share it");
    EXPECT_FALSE(co_await attempt(a, exclusive));
    EXPECT_EQ(co_await waiting(a, "l"), 2U);
    co_await one->release();
    co_await two->release();
    auto alone = co_await attempt(a, exclusive);
    require(alone.has_value(), "nobody is in");
    EXPECT_FALSE(co_await attempt(b, shared));
    co_await alone->release();
    EXPECT_TRUE(co_await attempt(b, shared));
}

TEST_P(SharedLocks, TryingDoesNotWait) { EXPECT_RUNS(loops(), tries(a(), b())); }

/// Cancelled at whichever step, a waiter of either mode leaves nothing behind.
Task<> give_up(StorePtr a, StorePtr b, LockMode held_as, LockMode waits_as) {
    auto held = co_await get(a, held_as);
    for (int steps = 0; steps < 8; ++steps) {
        const auto token = CancellationToken::make();
        TaskScope scope;
        scope.spawn([](StorePtr store, CancellationToken own, LockMode mode) -> Task<> {
            EXPECT_EQ(
                co_await error_of(with_token(own, Lock::acquire(store, "l", {.mode = mode}))),
                "cancelled "
            );
        }(b, token, waits_as));
        for (int i = 0; i < steps; ++i) co_await sleep_for(200us);
        token.cancel();
        co_await scope.join();
        co_await queue_of(a, "l", 1);
    }
    EXPECT_TRUE(held.held());
    co_await held.release();
    auto next = co_await get(b, waits_as);
    EXPECT_TRUE(next.held());
}

TEST_P(SharedLocks, AWaiterThatGivesUpLeavesNothing) {
    EXPECT_RUNS(loops(), give_up(a(), b(), exclusive, shared));
    EXPECT_RUNS(loops(), give_up(a(), b(), shared, exclusive));
}

Task<> bound(StorePtr a, StorePtr b) {
    const auto token = CancellationToken::make();
    auto reader = co_await Lock::acquire(b, "l", {.bound_to = token, .mode = shared});
    {
        auto dropped = co_await get(a, shared);
    }
    token.cancel();
    EXPECT_FALSE(reader.held());
    auto writer = co_await get(a, exclusive);
    EXPECT_TRUE(writer.held());
}

TEST_P(SharedLocks, ALockGoesWithItsOwner) { EXPECT_RUNS(loops(), bound(a(), b())); }

Task<> taken_away(StorePtr a, StorePtr b) {
    auto stays = co_await get(a, shared);
    auto loses = co_await get(a, shared);
    EXPECT_TRUE(co_await b->remove(loses.key()));
    co_await until_lost(loses.token());
    EXPECT_FALSE(loses.held());
    EXPECT_TRUE(stays.held());
    EXPECT_FALSE(co_await attempt(b, exclusive));
    co_await stays.release();
    EXPECT_TRUE(co_await attempt(b, exclusive));
}

TEST_P(SharedLocks, AReaderWhoseKeyIsRemovedIsToldAndTheOthersStay) {
    test::RecordingSink sink;
    EXPECT_RUNS(loops(), taken_away(a(), b()));
}

TEST_P(SharedLocks, AWriterWaitsForAReaderThatDiesNoLongerThanItsTime) {
    test::RecordingSink sink;
    std::optional<ToolsParty> dying{std::in_place, GetParam(), folder_.path()};
    auto reader = dying->loops().run(get(dying->store(), shared));
    ASSERT_TRUE(reader) << reader.error().what();
    auto stays = loops().run(get(a(), shared));
    ASSERT_TRUE(stays) << stays.error().what();
    dying->close(Deadline::in(0s));  // without a word: nothing is given back
    EXPECT_FALSE(reader->held());
    EXPECT_RUNS(loops(), stays->release());
    auto writer = b_.loops().run(get(b(), exclusive));
    ASSERT_TRUE(writer) << writer.error().what();
    EXPECT_GT(writer->fencing_token(), reader->fencing_token());
}

/// One of each kind: who is held up, and who comes in meanwhile.
class HeldUp : public SharedLocks {
protected:
    void check(LockMode old, LockMode fresh);
};

INSTANTIATE_TEST_SUITE_P(
    Stores,
    HeldUp,
    testing::ValuesIn(test::backends_with_sessions(true)),
    [](const auto& info) { return info.param.name; }
);

void HeldUp::check(LockMode old, LockMode fresh) {
    test::RecordingSink sink;
    Fence fence;
    auto stale = loops().run(get(a(), old));
    ASSERT_TRUE(stale) << stale.error().what();
    EXPECT_TRUE(fence.admits(stale->mode(), stale->fencing_token()));
    {
        const BlockedLoop held_up{a_.loops().secondary()};
        auto next = b_.loops().run(get(b(), fresh));
        ASSERT_TRUE(next) << next.error().what();
        EXPECT_FALSE(stale->held()) << "the clock tells even where the token cannot";
        EXPECT_TRUE(fence.admits(next->mode(), next->fencing_token()));
        EXPECT_FALSE(fence.admits(stale->mode(), stale->fencing_token()));
        EXPECT_TRUE(fence.admits(next->mode(), next->fencing_token()));
        EXPECT_RUNS(b_.loops(), next->release());
    }
    EXPECT_RUNS(loops(), until_lost(stale->token()));
    EXPECT_RUNS(loops(), stale->release());
}

TEST_P(HeldUp, AReaderPastItsTimeIsFencedOffByAWriter) { check(shared, exclusive); }
TEST_P(HeldUp, AWriterPastItsTimeIsFencedOffByAReader) { check(exclusive, shared); }

TEST(Fence, ReadersComeInAnyOrderAndWritersLast) {
    Fence fence;
    EXPECT_TRUE(fence.admits(shared, 3));
    EXPECT_TRUE(fence.admits(shared, 2)) << "it shares the lock with the other";
    EXPECT_FALSE(fence.admits(exclusive, 2)) << "a reader has seen what is there since";
    EXPECT_TRUE(fence.admits(exclusive, 5));
    EXPECT_TRUE(fence.admits(exclusive, 5));
    EXPECT_FALSE(fence.admits(shared, 3));
    EXPECT_FALSE(fence.admits(exclusive, 4));
    EXPECT_TRUE(fence.admits(shared, 7));
    EXPECT_TRUE(fence.admits(shared, 6));
    EXPECT_FALSE(fence.admits(exclusive, 5));
}

}  // namespace
}  // namespace stator::store
