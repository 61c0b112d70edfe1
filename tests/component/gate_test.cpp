// Gate: who runs, who waits, who is refused, and when.
#include "component/gate.hpp"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "stator/component/overload.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using Entry = Gate::Entry;

constexpr auto owner = "worker 1 of a.b.c";

TEST(ControlledDelay, AStandingQueueWaitsLess) {
    ControlledDelay delay{{.length = 9, .max_wait = 1s, .target = 20ms, .interval = 100ms}};
    const TimePoint begin{1h};
    delay.emptied(begin);
    EXPECT_EQ(delay.allowed(begin + 100ms), 1s);
    EXPECT_EQ(delay.allowed(begin + 101ms), 20ms);
    delay.emptied(begin + 200ms);
    EXPECT_EQ(delay.allowed(begin + 250ms), 1s);
    ControlledDelay off{{.length = 9, .max_wait = 1s, .target = 0s, .interval = 100ms}};
    EXPECT_EQ(off.allowed(begin + 1h), 1s);
}

TEST(Gate, WithoutALimitEverybodyRuns) {
    Gate gate{0, {}, owner};
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(gate.enter(TimePoint{}));
    EXPECT_EQ(gate.running(), 100U);
}

TEST(Gate, WithoutAQueueTheNextOneIsRefusedAndToldWhy) {
    Gate gate{2, {}, owner};
    EXPECT_TRUE(gate.enter(TimePoint{}));
    EXPECT_TRUE(gate.enter(TimePoint{}));
    gate.served_in(40ms);
    const auto refused = gate.enter(TimePoint{});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().detail(), "component.at_capacity");
    const auto said = overload_of(refused.error()).value();
    EXPECT_EQ(said.knob, "max_inflight");
    EXPECT_EQ(said.owner, owner);
    EXPECT_EQ(said.limit, 2);
    EXPECT_EQ(said.measured, 2);
    EXPECT_EQ(said.retry_after, 40ms);
    gate.leave(TimePoint{});
    EXPECT_TRUE(gate.enter(TimePoint{}));
}

TEST(Gate, ClosedOnesAreIdleWhenTheLastHasLeft) {
    for (const auto length : {0U, 5U}) {
        Gate gate{2, {.length = length}, owner};
        EXPECT_TRUE(gate.enter(TimePoint{}));
        gate.close();
        EXPECT_FALSE(gate.idle().is_set());
        EXPECT_EQ(gate.enter(TimePoint{}).error().code(), ErrorCode::draining);
        gate.leave(TimePoint{});
        EXPECT_TRUE(gate.idle().is_set());
    }
}

/// What became of those that waited, in their order.
struct Turns {
    Gate& gate;
    std::vector<std::pair<int, std::string>> ended;

    Task<> wait(int name, Deadline deadline) {
        const auto turn = co_await as_result(gate.turn(deadline));
        ended.emplace_back(name, turn ? "admitted" : turn.error().detail());
    }
    bool enter_and_wait(TaskScope& scope, int name, Deadline deadline = {}) {
        const auto entry = gate.enter(Clock::current().now());
        if (!entry || *entry == Entry::admitted) return false;
        scope.spawn_on(*Loop::current(), wait(name, deadline));
        return true;
    }
};

/// A loop whose time stands still until it is told.
struct Stage {
    ManualClock clock;
    Loop loop{{.clock = &clock}};
    TaskScope scope;

    template <class F>
    void step(F body) {
        scope.spawn_on(loop, [](F run) -> Task<> {
            run();
            co_return;
        }(std::move(body)));
        loop.run_until_idle();
    }
    void advance(Duration by) {
        clock.advance(by);
        loop.run_until_idle();
    }
};

using Ends = std::vector<std::pair<int, std::string>>;

TEST(Gate, FirstComeFirstServedAndTheQueueHasAnEnd) {
    Stage stage;
    Gate gate{1, {.length = 2}, owner};
    Turns turns{gate, {}};
    stage.step([&] {
        EXPECT_EQ(gate.enter(Clock::current().now()).value(), Entry::admitted);
        EXPECT_TRUE(turns.enter_and_wait(stage.scope, 1));
        EXPECT_TRUE(turns.enter_and_wait(stage.scope, 2));
        const auto full = gate.enter(Clock::current().now());
        EXPECT_EQ(full.error().detail(), "component.queue_full");
        EXPECT_EQ(overload_of(full.error()).value().knob, "queue.length");
        EXPECT_EQ(overload_of(full.error()).value().limit, 2);
    });
    EXPECT_EQ(gate.waiting(), 2U);
    EXPECT_TRUE(turns.ended.empty());
    stage.step([&] { gate.leave(Clock::current().now()); });
    EXPECT_EQ(turns.ended, (Ends{{1, "admitted"}}));
    stage.step([&] { gate.leave(Clock::current().now()); });
    EXPECT_EQ(turns.ended, (Ends{{1, "admitted"}, {2, "admitted"}}));
    EXPECT_EQ(gate.running(), 1U);
    stage.step([&] { gate.leave(Clock::current().now()); });
    EXPECT_EQ(gate.running(), 0U);
}

TEST(Gate, APlaceThatBecomesFreeBeforeTheWaitBeginsIsNotLost) {
    Stage stage;
    Gate gate{1, {.length = 2}, owner};
    Turns turns{gate, {}};
    stage.step([&] {
        (void)gate.enter(Clock::current().now());
        EXPECT_TRUE(turns.enter_and_wait(stage.scope, 1));
        gate.leave(Clock::current().now());  // the task that waits has not begun
        // Nobody overtakes it.
        EXPECT_TRUE(turns.enter_and_wait(stage.scope, 2));
    });
    EXPECT_EQ(turns.ended, (Ends{{1, "admitted"}}));
    EXPECT_EQ(gate.running(), 1U);
    stage.step([&] { gate.leave(Clock::current().now()); });
    EXPECT_EQ(turns.ended.size(), 2U);
    stage.step([&] { gate.leave(Clock::current().now()); });
    EXPECT_EQ(gate.running() + gate.waiting(), 0U);
}

TEST(Gate, WhoWaitsTooLongIsRefusedAtOnce) {
    Stage stage;
    Gate gate{1, {.length = 9, .max_wait = 100ms, .target = 0s}, owner};
    Turns turns{gate, {}};
    stage.step([&] {
        (void)gate.enter(Clock::current().now());
        turns.enter_and_wait(stage.scope, 1);
        turns.enter_and_wait(stage.scope, 2, Deadline::in(30ms));
    });
    stage.advance(29ms);
    EXPECT_TRUE(turns.ended.empty());
    stage.advance(1ms);
    EXPECT_EQ(turns.ended, (Ends{{2, "component.queue_timeout"}}));
    stage.advance(70ms);
    EXPECT_EQ(turns.ended, (Ends{{2, "component.queue_timeout"}, {1, "component.queue_timeout"}}));
    EXPECT_EQ(gate.waiting(), 0U);
    stage.step([&] { gate.leave(Clock::current().now()); });
    EXPECT_EQ(gate.running(), 0U);
}

TEST(Gate, AStandingQueueLetsTheLatestThrough) {
    Stage stage;
    Gate gate{1, {.length = 9, .max_wait = 10s, .target = 20ms, .interval = 100ms}, owner};
    Turns turns{gate, {}};
    stage.step([&] {
        (void)gate.enter(Clock::current().now());
        turns.enter_and_wait(stage.scope, 1);
        turns.enter_and_wait(stage.scope, 2);
    });
    stage.advance(150ms);
    stage.step([&] { turns.enter_and_wait(stage.scope, 3); });
    stage.advance(10ms);
    stage.step([&] { gate.leave(Clock::current().now()); });
    EXPECT_EQ(
        turns.ended,
        (Ends{{1, "component.queue_timeout"}, {2, "component.queue_timeout"}, {3, "admitted"}})
    );
    stage.step([&] { gate.leave(Clock::current().now()); });
    EXPECT_EQ(gate.running() + gate.waiting(), 0U);
}

TEST(Gate, CancelledAndClosedOnesLeaveTheirPlaces) {
    Stage stage;
    Gate gate{1, {.length = 9}, owner};
    Turns turns{gate, {}};
    TaskScope doomed;
    stage.step([&] {
        (void)gate.enter(Clock::current().now());
        turns.enter_and_wait(doomed, 1);
        turns.enter_and_wait(stage.scope, 2);
        turns.enter_and_wait(stage.scope, 3);
    });
    doomed.cancel();
    stage.loop.run_until_idle();
    EXPECT_EQ(turns.ended.size(), 1U);
    EXPECT_EQ(gate.waiting(), 2U);
    gate.close();
    stage.loop.run_until_idle();
    EXPECT_EQ(turns.ended[1], (std::pair{2, std::string{"component.draining"}}));
    EXPECT_EQ(turns.ended.size(), 3U);
    EXPECT_FALSE(gate.idle().is_set());
    stage.step([&] { gate.leave(Clock::current().now()); });
    EXPECT_TRUE(gate.idle().is_set());
}

Task<> enter_leave(Gate* gate, int times, std::atomic<int>* running, int* refused) {
    for (int i = 0; i < times; ++i) {
        auto entry = gate->enter(Clock::current().now());
        if (entry && *entry == Entry::waits) {
            const auto turn = co_await as_result(gate->turn({}));
            if (!turn) entry = std::unexpected{turn.error()};
        }
        if (!entry) {
            ++*refused;
            continue;
        }
        EXPECT_LE(++*running, 3);
        co_await yield();
        --*running;
        gate->leave(Clock::current().now());
    }
}

TEST(Gate, ManyLoopsNeverExceedTheLimitAndLoseNoPlace) {
    Gate gate{3, {.length = 4, .max_wait = 2ms, .target = 1ms, .interval = 1ms}, owner};
    std::atomic<int> running{0};
    std::vector<int> refused(4);
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                Loop loop;
                TaskScope scope;
                const auto all = [](TaskScope* tasks, Loop* on) -> Task<> {
                    (void)co_await as_result(tasks->join());
                    on->stop();
                };
                TaskScope outer;
                for (int i = 0; i < 4; ++i)
                    scope.spawn_on(
                        loop,
                        enter_leave(&gate, 300, &running, &refused[static_cast<std::size_t>(t)])
                    );
                outer.spawn_on(loop, all(&scope, &loop));
                loop.run();
            });
        }
    }
    EXPECT_EQ(gate.running(), 0U);
    EXPECT_EQ(gate.waiting(), 0U);
}

}  // namespace
}  // namespace stator
