#include "stator/runtime/loop.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include "stator/runtime/asio.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

TEST(Loop, is_current_only_while_it_runs_and_nests) {
    Loop outer{{.name = "outer"}};
    Loop inner;
    EXPECT_EQ(outer.name(), "outer");
    EXPECT_EQ(Loop::current(), nullptr);
    std::vector<Loop*> seen;
    outer.post([&] {
        seen.push_back(Loop::current());
        inner.post([&] { seen.push_back(Loop::current()); });
        inner.run_until_idle();
        seen.push_back(Loop::current());
    });
    outer.run_until_idle();
    EXPECT_EQ(seen, (std::vector<Loop*>{&outer, &inner, &outer}));
    EXPECT_EQ(Loop::current(), nullptr);
}

TEST(Loop, makes_its_clock_the_threads_clock_while_it_runs) {
    ManualClock clock;
    Loop loop{{.name = "manual", .clock = &clock}};
    const Clock* seen = nullptr;
    loop.post([&] { seen = &Clock::current(); });
    loop.run_until_idle();
    EXPECT_EQ(seen, &clock);
    EXPECT_EQ(&Clock::current(), &Clock::steady());
}

TEST(Loop, runs_what_is_posted_in_order_also_what_is_posted_meanwhile) {
    Loop loop;
    std::string order;
    loop.post([&] {
        order += 'a';
        loop.post([&] { order += 'c'; });
    });
    loop.post([&] { order += 'b'; });
    loop.run_until_idle();
    EXPECT_EQ(order, "abc");
}

struct Counting : detail::TurnHook {
    explicit Counting(int* runs_) : TurnHook{&Counting::on_end}, runs{runs_} {}
    static void on_end(TurnHook& hook) noexcept { ++*static_cast<Counting&>(hook).runs; }
    int* runs;
};

TEST(Loop, a_turn_hook_runs_once_at_the_end_of_the_turn_however_often_it_was_asked_for) {
    Loop loop;
    int runs = 0;
    Counting hook{&runs};
    loop.post([&] {
        for (int i = 0; i < 5; ++i) loop.at_turn_end(hook);
        EXPECT_EQ(runs, 0);
    });
    loop.run_until_idle();
    EXPECT_EQ(runs, 1);
    loop.run_until_idle();
    EXPECT_EQ(runs, 1);
    loop.post([&] { loop.at_turn_end(hook); });
    loop.run_until_idle();
    EXPECT_EQ(runs, 2);
}

TEST(Loop, a_turn_hook_that_dies_before_the_end_of_the_turn_is_forgotten) {
    Loop loop;
    int runs = 0;
    Counting stays{&runs};
    auto dies = std::make_unique<Counting>(&runs);
    loop.post([&] {
        loop.at_turn_end(*dies);
        loop.at_turn_end(stays);
        dies.reset();
    });
    loop.run_until_idle();
    EXPECT_EQ(runs, 1);
}

TEST(Loop, what_a_task_makes_ready_runs_before_the_turn_ends) {
    test::TestLoop test;
    int runs = 0;
    Counting hook{&runs};
    std::vector<int> runs_seen;
    auto body = [&](this auto) -> Task<> {
        test.loop().at_turn_end(hook);
        for (int i = 0; i < 3; ++i) {
            co_await yield();
            runs_seen.push_back(runs);
        }
    };
    test.run(body());
    EXPECT_EQ(runs_seen, (std::vector{0, 0, 0})) << "a reply leaves in the turn of its request";
    EXPECT_EQ(runs, 1);
}

TEST(Loop, stop_ends_run_also_when_it_comes_first) {
    Loop loop;
    bool ran = false;
    loop.post([&] { ran = true; });
    loop.stop();
    loop.run();
    EXPECT_TRUE(ran) << "what was ready runs";
    loop.run();  // stays stopped
}

TEST(Loop, stop_from_another_thread_ends_a_waiting_loop) {
    Loop loop;
    std::atomic<bool> running{false};
    std::thread thread{[&] {
        loop.post([&] { running = true; });
        loop.run();
    }};
    while (!running) std::this_thread::yield();
    loop.stop();
    thread.join();
}

TEST(Loop, a_flood_of_posts_does_not_starve_the_reactor) {
    Loop loop;
    int posts = 0;
    bool polled = false;
    std::function<void()> again = [&] {
        if (polled || ++posts == 100'000) return loop.stop();
        loop.post(again);
    };
    loop.post([&] { boost::asio::post(reactor_of(loop), [&] { polled = true; }); });
    loop.post(again);
    loop.run();
    EXPECT_TRUE(polled);
    EXPECT_LT(posts, 1000);
}

TEST(Loop, tasks_that_are_always_ready_starve_neither_reactor_nor_inbox_nor_timers) {
    Loop loop;
    TaskScope scope;
    bool polled = false;
    bool posted = false;
    bool slept = false;
    int yields = 0;
    auto spinner = [&](this auto) -> Task<> {
        boost::asio::post(reactor_of(loop), [&] { polled = true; });
        loop.post([&] { posted = true; });
        while (!(polled && posted && slept) && ++yields < 100'000'000) co_await yield();
        loop.stop();
    };
    auto sleeper = [&](this auto) -> Task<> {
        co_await sleep_for(1us);
        slept = true;
    };
    scope.spawn_on(loop, spinner());
    scope.spawn_on(loop, sleeper());
    loop.run();
    EXPECT_TRUE(polled);
    EXPECT_TRUE(posted);
    EXPECT_TRUE(slept);
    EXPECT_EQ(scope.size(), 0U);
}

TEST(Loop, run_waits_for_timers_on_the_steady_clock) {
    Loop loop;
    TaskScope scope;
    const auto started = Clock::steady().now();
    std::vector<int> order;
    auto body = [&](this auto, Duration delay, int name) -> Task<> {
        co_await sleep_for(delay);
        order.push_back(name);
        if (order.size() == 3) loop.stop();
    };
    scope.spawn_on(loop, body(3ms, 3));
    scope.spawn_on(loop, body(1ms, 1));
    scope.spawn_on(loop, body(2ms, 2));
    loop.run();
    EXPECT_EQ(order, (std::vector{1, 2, 3}));
    EXPECT_GE(Clock::steady().now() - started, 3ms);
}

TEST(Loop, timers_that_are_dense_share_wake_ups_and_come_later_by_no_more_than_the_gap) {
    constexpr auto gap = 5ms;
    constexpr int count = 200;
    Loop loop{{.timer_gap = gap}};
    TaskScope scope;
    int ended = 0;
    auto body = [&](this auto, Duration delay) -> Task<> {
        co_await sleep_for(delay);
        if (++ended == count) loop.stop();
    };
    const auto started = Clock::steady().now();
    for (int i = 1; i <= count; ++i) scope.spawn_on(loop, body(i * 100us));
    loop.run();
    const auto taken = Clock::steady().now() - started;
    EXPECT_GE(taken, count * 100us);
    // One for each gap, one before the first, and those after which nothing was due yet.
    EXPECT_LE(loop.sleeps(), static_cast<std::uint64_t>(2 * (taken / gap + 2)));
}

TEST(Loop, an_earlier_timer_set_while_it_waits_for_a_later_one_wakes_it) {
    Loop loop;
    TaskScope scope;
    const auto token = CancellationToken::make();
    auto late = [](this auto) -> Task<> { co_await sleep_for(1h); };
    auto early = [&](this auto) -> Task<> {
        co_await sleep_for(1ms);
        token.cancel();
        co_await yield();
        loop.stop();
    };
    scope.spawn_on(loop, with_token(token, late()));
    std::thread thread{[&] { loop.run(); }};
    scope.spawn_on(loop, early());
    thread.join();
    EXPECT_EQ(scope.size(), 0U);
}

TEST(Loop, says_for_how_long_its_turn_has_been_running) {
    Loop loop;
    EXPECT_EQ(loop.busy_for(), 0ns);
    Duration seen{};
    loop.post([&] {
        while (loop.busy_for() == 0ns) std::this_thread::yield();
        seen = loop.busy_for();
    });
    loop.run_until_idle();
    EXPECT_GT(seen, 0ns);
}

TEST(Loop, a_burst_from_another_thread_is_resumed_completely) {
    Loop loop;
    TaskScope scope;
    std::atomic<int> ran{0};
    auto body = [&](this auto) -> Task<> {
        EXPECT_EQ(Loop::current(), &loop);
        ++ran;
        co_return;
    };
    std::thread thread{[&] { loop.run(); }};
    for (int i = 0; i < 10'000; ++i) scope.spawn_on(loop, body());
    while (scope.size() != 0) std::this_thread::yield();
    EXPECT_EQ(ran, 10'000);
    loop.stop();
    thread.join();
}

}  // namespace
}  // namespace stator
