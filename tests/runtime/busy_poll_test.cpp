#include "stator/runtime/busy_poll.hpp"

#include <time.h>

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

constexpr auto limit = 50us;

/// How many of `waits` waits of that length it looked for.
int looks(BusyPoll& policy, int waits, Duration each) {
    int count = 0;
    for (int i = 0; i < waits; ++i) {
        count += policy.budget() > 0us ? 1 : 0;
        policy.found_after(each);
    }
    return count;
}

TEST(BusyPoll, IsOffWithoutALimit) {
    BusyPoll policy;
    EXPECT_EQ(looks(policy, 1000, 1us), 0);
}

TEST(BusyPoll, LooksOnceWorkComesFast) {
    BusyPoll policy{limit};
    EXPECT_EQ(policy.budget(), 0us);
    EXPECT_EQ(looks(policy, 1008, 10us), 1000);
    EXPECT_EQ(policy.budget(), limit);
}

TEST(BusyPoll, ToleratesALateOneNowAndThen) {
    BusyPoll policy{limit};
    looks(policy, 100, 10us);
    for (int round = 0; round < 100; ++round) {
        EXPECT_EQ(looks(policy, 2, 10ms), 2);
        EXPECT_EQ(looks(policy, 2, 10us), 2);
    }
}

TEST(BusyPoll, AnIdleLoopDoesNotLook) {
    BusyPoll policy{limit};
    looks(policy, 100, 10us);
    EXPECT_LE(looks(policy, 100'000, 1ms), 4);
}

TEST(BusyPoll, LooksMoreAndMoreRarelyWhenItDoesNotPay) {
    BusyPoll policy{limit};
    // Short enough to be tempted each time, too long to ever succeed.
    EXPECT_LE(looks(policy, 100'000, 100us), 200);
    // It has not forgotten how: when it pays again, it looks again.
    EXPECT_GE(looks(policy, 10'000, 10us), 5'000);
}

Task<> bounce(Loop* there, int times) {
    for (int i = 0; i < times; ++i) co_await on_loop(*there, []() -> Task<> { co_return; }());
}

/// CPU time of this process, of all threads.
Duration cpu_time() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec};
}

TEST(BusyPoll, LoopsThatBounceAnswerWithoutSleeping) {
    LoopPool loops{LoopPool::Options{.count = 2, .name = "poll", .busy_poll = 10ms}};
    TaskScope scope;
    scope.spawn_on(loops[0], bounce(&loops[1], 4'000));
    while (scope.size() != 0) std::this_thread::sleep_for(1ms);
    EXPECT_LT(loops[0].sleeps() + loops[1].sleeps(), 4'000U) << "of 8,000 waits";
}

TEST(BusyPoll, IdleLoopsCostNothing) {
    LoopPool loops{LoopPool::Options{.count = 2, .name = "poll", .busy_poll = 1ms}};
    TaskScope scope;
    scope.spawn_on(loops[0], bounce(&loops[1], 1'000));
    while (scope.size() != 0) std::this_thread::sleep_for(1ms);
    const auto before = cpu_time();
    std::this_thread::sleep_for(300ms);
    EXPECT_LT(cpu_time() - before, 50ms);
}

}  // namespace
}  // namespace stator
