#include "stator/runtime/version_gate.hpp"

#include <semaphore>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/task_scope.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator {
namespace {

class VersionGateTest : public testing::Test {
protected:
    VersionGate gate_;
    test::TestLoop loop_;
};

Task<> wait_into(VersionGate* gate, std::uint64_t seen, std::vector<std::uint64_t>* versions) {
    versions->push_back(co_await gate->wait_past(seen));
}

TEST_F(VersionGateTest, DoesNotWaitForWhatHasHappened) {
    gate_.advance();
    gate_.advance();
    std::vector<std::uint64_t> versions;
    loop_.run(wait_into(&gate_, 1, &versions));
    EXPECT_EQ(versions, std::vector<std::uint64_t>{2});
}

TEST_F(VersionGateTest, WakesEveryoneOnce) {
    std::vector<std::uint64_t> versions;
    for (int i = 0; i < 3; ++i) loop_.run(wait_into(&gate_, 0, &versions));
    EXPECT_TRUE(versions.empty());
    gate_.advance();
    loop_.settle();
    EXPECT_EQ(versions, (std::vector<std::uint64_t>{1, 1, 1}));
}

TEST_F(VersionGateTest, WaitsPastWhatIsAskedFor) {
    std::vector<std::uint64_t> versions;
    loop_.run(wait_into(&gate_, 2, &versions));
    gate_.advance();
    gate_.advance();
    loop_.settle();
    EXPECT_TRUE(versions.empty());
    gate_.advance();
    loop_.settle();
    EXPECT_EQ(versions, std::vector<std::uint64_t>{3});
}

TEST_F(VersionGateTest, ACancelledWaitLeavesTheOthers) {
    std::vector<std::uint64_t> cancelled;
    std::vector<std::uint64_t> kept;
    auto token = CancellationToken::make();
    loop_.run([](Task<> task, CancellationToken own) -> Task<> {
        const auto outcome = co_await as_result(with_token(own, std::move(task)));
        EXPECT_FALSE(outcome);
    }(wait_into(&gate_, 0, &cancelled), token));
    loop_.run(wait_into(&gate_, 0, &kept));
    token.cancel();
    loop_.settle();
    gate_.advance();
    loop_.settle();
    EXPECT_TRUE(cancelled.empty());
    EXPECT_EQ(kept, std::vector<std::uint64_t>{1});
}

Task<> follow(VersionGate* gate, std::uint64_t last) {
    std::uint64_t seen = 0;
    while (seen < last) seen = co_await gate->wait_past(seen);
}

Task<> advance_many(VersionGate* gate, int times) {
    for (int i = 0; i < times; ++i) {
        gate->advance();
        if (i % 7 == 0) co_await yield();
    }
}

Task<> join_and_release(TaskScope* scope, std::binary_semaphore* done) {
    co_await scope->join();
    done->release();
}

TEST(VersionGateThreads, NoChangeIsMissed) {
    constexpr int changes = 20'000;
    LoopPool pool{3, "gate"};
    VersionGate gate;
    TaskScope scope;
    std::binary_semaphore done{0};
    for (std::size_t i = 0; i < 6; ++i) scope.spawn_on(pool[i % 3], follow(&gate, changes));
    scope.spawn_on(pool[0], advance_many(&gate, changes));
    TaskScope last;
    last.spawn_on(pool[1], join_and_release(&scope, &done));
    done.acquire();
    pool.stop();
    EXPECT_EQ(gate.version(), changes);
}

}  // namespace
}  // namespace stator
