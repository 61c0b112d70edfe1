#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/runtime/patience.hpp"
#include "tests/support/iterations.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

void wait_until_empty(const TaskScope& scope) {
    while (scope.size() != 0) std::this_thread::yield();
}

/// Holds the loops of a pool until it is opened.
class Holders {
public:
    Task<> hold() {
        ++held_;
        while (!open_) std::this_thread::yield();
        co_return;
    }
    void wait_until(int held) const {
        while (held_ < held) std::this_thread::yield();
    }
    void open() { open_ = true; }

private:
    std::atomic<int> held_{0};
    std::atomic<bool> open_{false};
};

TEST(Balance, a_task_that_has_not_begun_is_not_kept_by_one_that_holds_its_loop) {
    LoopPool pool{3, "loop"};
    TaskScope scope;
    Holders holders;
    scope.spawn_on(pool, holders.hold());
    scope.spawn_on(pool, holders.hold());
    holders.wait_until(2);
    std::atomic<int> ran{0};
    std::atomic<Loop*> where{nullptr};
    auto quick = [&](this auto) -> Task<> {
        where = Loop::current();
        co_await yield();
        EXPECT_EQ(where, Loop::current()) << "once begun it stays";
        ++ran;
    };
    for (int i = 1; i <= 200; ++i) {
        scope.spawn_on(pool, quick());
        while (ran < i) std::this_thread::yield();
    }
    holders.open();
    wait_until_empty(scope);
}

TEST(Balance, idle_loops_share_what_is_started_from_one_of_them) {
    LoopPool pool{2, "loop"};
    TaskScope scope;
    std::atomic<int> both{0};
    auto meets = [&](this auto) -> Task<> {
        ++both;
        while (both < 2) std::this_thread::yield();  // the other one runs at the same time
        co_return;
    };
    auto starts = [&](this auto) -> Task<> {
        scope.spawn_on(pool, meets());
        scope.spawn_on(pool, meets());
        co_return;
    };
    scope.spawn_on(pool[0], starts());
    wait_until_empty(scope);
    EXPECT_EQ(both, 2);
}

TEST(Balance, no_start_is_lost_between_a_push_and_a_sleep) {
    LoopPool pool{2, "loop"};
    TaskScope scope;
    std::atomic<std::size_t> ran{0};
    auto one = [&](this auto) -> Task<> {
        ++ran;
        co_return;
    };
    const test::Budget budget{test::iterations(20'000)};
    std::size_t started = 0;
    for (; budget.allows(started); ++started) {
        scope.spawn_on(pool, one());
        if (started % 3 != 0) continue;
        const auto patience = std::chrono::steady_clock::now() + 10s;
        while (ran <= started) {
            ASSERT_LT(std::chrono::steady_clock::now(), patience) << "a start was lost";
            std::this_thread::yield();
        }
    }
    wait_until_empty(scope);
    EXPECT_EQ(ran, started);
}

/// Starts a task in the last moment of a turn of its loop: after the loop has looked for tasks to
/// begin, before it says that it goes to sleep.
struct LateStart : detail::TurnHook {
    LateStart(TaskScope& scope_, LoopPool& pool_, std::function<Task<>()> make_)
        : TurnHook{&LateStart::run_hook}, scope{scope_}, pool{pool_}, make{std::move(make_)} {}
    static void run_hook(detail::TurnHook& hook) noexcept {
        auto& self = static_cast<LateStart&>(hook);
        self.sleeps_before = Loop::current()->sleeps();
        self.scope.spawn_on(self.pool, self.make());
    }
    TaskScope& scope;
    LoopPool& pool;
    std::function<Task<>()> make;
    std::uint64_t sleeps_before = 0;
};

TEST(Balance, no_start_is_lost_that_comes_just_before_a_loop_sleeps) {
    LoopPool pool{2, "loop"};
    TaskScope scope;
    Holders holders;
    // The other loop neither sleeps, so it need not be woken, nor does it come to look.
    scope.spawn_on(pool[1], holders.hold());
    holders.wait_until(1);
    std::atomic<std::size_t> ran{0};
    std::uint64_t sleeps = 0;
    LateStart late{scope, pool, [&] {
                       return [](std::uint64_t* seen, std::atomic<std::size_t>* count) -> Task<> {
                           *seen = Loop::current()->sleeps();
                           ++*count;
                           co_return;
                       }(&sleeps, &ran);
                   }};
    for (std::size_t i = 1; i <= 100 && !HasFailure(); ++i) {
        pool[0].post([&] { pool[0].at_turn_end(late); });
        const auto until = std::chrono::steady_clock::now() + test::patience();
        while (ran < i && std::chrono::steady_clock::now() < until) std::this_thread::yield();
        EXPECT_EQ(ran, i) << "a start was lost";
        // What wakes a loop now and then, to give back memory, only hides that.
        if (ran == i) EXPECT_EQ(sleeps, late.sleeps_before) << "a start was lost for a sleep";
    }
    holders.open();
    wait_until_empty(scope);
}

TEST(Balance, started_tasks_come_before_new_ones) {
    // Both loops have started tasks; a flood of new ones must not keep those waiting.
    LoopPool pool{2, "loop"};
    TaskScope scope;
    std::atomic<bool> over{false};
    std::atomic<int> steps{0};
    auto steady = [&](this auto) -> Task<> {
        for (int i = 0; i < 100; ++i) {
            co_await sleep_for(100us);
            ++steps;
        }
        over = true;
    };
    auto nothing = [](this auto) -> Task<> { co_return; };
    scope.spawn_on(pool, steady());
    while (!over) {
        if (scope.size() < 1000) scope.spawn_on(pool, nothing());
    }
    wait_until_empty(scope);
    EXPECT_EQ(steps, 100);
}

TEST(Balance, handles_start_tasks_of_scopes) {
    const auto runtime = Runtime::create({.primary_threads = 2});
    TaskScope scope;
    std::atomic<int> ran{0};
    auto one = [&](this auto) -> Task<> {
        EXPECT_LT(Loop::current()->index(), 2U);
        ++ran;
        co_return;
    };
    for (int i = 0; i < 100; ++i) runtime.primary().spawn(scope, one());
    wait_until_empty(scope);
    EXPECT_EQ(ran, 100);
}

}  // namespace
}  // namespace stator
