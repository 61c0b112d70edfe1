#include "stator/runtime/runtime.hpp"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "tests/runtime/patience.hpp"
#include "tests/support/iterations.hpp"
#include "tests/support/quickest.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

Runtime small() { return Runtime::single_threaded(); }

Task<int> double_of(int n) { co_return 2 * n; }
Task<> until_told(std::atomic<int>* told) {
    try {
        co_await sleep_until(Deadline::never());
    } catch (const Error&) {
        ++*told;
        throw;
    }
}

/// Notes when it is torn down, and what the tasks of the application were then.
struct Participant : ShutdownParticipant {
    Task<> tear_down(Deadline deadline) override {
        torn_down_after = told->load();
        had = deadline;
        if (slow > Duration::zero()) co_await sleep_for(slow);
    }
    std::vector<std::string> unfinished() const override { return {"a participant"}; }
    std::atomic<int>* told = nullptr;
    int torn_down_after = -1;
    Deadline had;
    Duration slow{};
};

TEST(Runtime, has_an_id_and_two_pools_whose_loops_are_numbered_through) {
    const auto runtime = Runtime::create({.primary_threads = 2, .secondary_threads = 2});
    EXPECT_EQ(runtime.type(), RuntimeType::shared);
    EXPECT_EQ(runtime.primary().type(), RuntimeType::shared);
    EXPECT_EQ(runtime.primary().id(), runtime.id());
    EXPECT_NE(runtime.id(), small().id());
    ASSERT_EQ(runtime.primary().size(), 2U);
    ASSERT_EQ(runtime.secondary().size(), 2U);
    EXPECT_EQ(runtime.loop_slots(), 4U);
    for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(runtime.primary().loop(i).index(), i);
        EXPECT_EQ(runtime.secondary().loop(i).index(), 2 + i);
    }
    EXPECT_EQ(small().primary().size(), 1U);
    EXPECT_EQ(small().secondary().size(), 1U);
}

TEST(Runtime, block_on_and_spawn_future_serve_threads_without_a_loop) {
    const auto runtime = small();
    EXPECT_EQ(runtime.block_on(double_of(4)), 8);
    EXPECT_EQ(runtime.spawn_future(double_of(5)).get(), 10);
    auto nothing = [](this auto) -> Task<> { co_return; };
    runtime.spawn_future(nothing()).get();
    auto fails = [](this auto) -> Task<int> {
        throw std::out_of_range{"too far"};
        co_return 1;
    };
    EXPECT_THROW(runtime.block_on(fails()), std::out_of_range);
    EXPECT_THROW(runtime.spawn_future(fails()).get(), std::out_of_range);
}

TEST(Runtime, what_a_future_waits_for_is_gone_when_it_is_ready) {
    const auto runtime = small();
    auto alive = std::make_shared<int>(1);
    auto body = [](this auto, std::shared_ptr<int> held) -> Task<int> {
        co_await yield();
        co_return *held;
    };
    for (int i = 0; i < 200; ++i) {
        EXPECT_EQ(runtime.spawn_future(body(alive)).get(), 1);
        EXPECT_EQ(alive.use_count(), 1);
    }
}

TEST(Runtime, a_dropped_future_changes_nothing) {
    const auto runtime = small();
    std::atomic<bool> done{false};
    auto body = [&](this auto) -> Task<> {
        co_await yield();
        done = true;
    };
    (void)runtime.spawn_future(body());
    while (!done) std::this_thread::yield();
}

TEST(Runtime, blocking_on_a_loop_is_refused) {
    const auto runtime = small();
    auto body = [](this auto, Runtime inside) -> Task<> {
        for (const bool ends : {false, true}) {
            try {
                if (ends) {
                    (void)inside.shutdown_and_wait();
                } else {
                    inside.block_on(double_of(1));
                }
                ADD_FAILURE() << "not refused";
            } catch (const Error& error) {
                EXPECT_EQ(error.detail(), "runtime.would_block");
            }
        }
        co_return;
    };
    runtime.block_on(body(runtime));
    EXPECT_TRUE(runtime.shutdown_deadline().is_never());
}

TEST(Runtime, shutdown_tells_what_was_spawned_and_waits_for_it_before_the_teardown) {
    const auto runtime = small();
    std::atomic<int> told{0};
    const auto participant = std::make_shared<Participant>();
    participant->told = &told;
    runtime.add_participant(participant);
    auto future = runtime.spawn_future(until_told(&told));
    EXPECT_TRUE(runtime.shutdown_and_wait(Deadline::in(10s)));
    EXPECT_EQ(participant->torn_down_after, 1);
    EXPECT_FALSE(participant->had.is_never());
    EXPECT_THROW(future.get(), Error);
    EXPECT_TRUE(runtime.shutdown_and_wait(Deadline::in(10s))) << "once more";
}

TEST(Runtime, what_was_spawned_on_a_pool_lives_until_the_teardown_is_over) {
    const auto runtime = small();
    std::atomic<int> told{0};
    const auto participant = std::make_shared<Participant>();
    participant->told = &told;
    runtime.add_participant(participant);
    runtime.primary().spawn(until_told(&told));
    runtime.secondary().spawn(until_told(&told));
    EXPECT_TRUE(runtime.shutdown_and_wait());
    EXPECT_EQ(participant->torn_down_after, 0);
    EXPECT_EQ(told, 2);
}

TEST(Runtime, an_end_that_is_late_is_told_and_goes_on) {
    const auto runtime = small();
    std::atomic<int> told{0};
    Event release;
    auto stubborn = [&](this auto) -> Task<> {
        co_await shielded([](Event* event) -> Task<> { co_await event->wait(); }(&release));
        ++told;
    };
    auto future = runtime.spawn_future(stubborn());
    EXPECT_FALSE(runtime.shutdown_and_wait(Deadline::in(20ms)));
    EXPECT_EQ(told, 0);
    release.set();
    EXPECT_TRUE(runtime.shutdown_async(Deadline::in(10s)).get());
    EXPECT_EQ(told, 1);
    future.get();
}

TEST(Runtime, nothing_starts_after_the_end) {
    const auto runtime = small();
    runtime.stop();
    const auto refused = [&](auto start) {
        try {
            start();
            ADD_FAILURE() << "started";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::unavailable);
            EXPECT_EQ(error.detail(), "runtime.stopped");
        }
    };
    auto nothing = [](this auto) -> Task<> { co_return; };
    refused([&] { runtime.primary().spawn(nothing()); });
    refused([&] { runtime.secondary().spawn(nothing()); });
    refused([&] { runtime.block_on(double_of(1)); });
    refused([&] { (void)runtime.spawn_future(double_of(1)); });
}

TEST(Runtime, what_is_spawned_while_it_ends_either_runs_or_is_refused) {
    for (int round = 0; round < 50; ++round) {
        const auto runtime = small();
        std::atomic<int> ran{0};
        auto body = [&](this auto) -> Task<> {
            ++ran;
            co_return;
        };
        int started = 0;
        std::atomic<bool> begun{false};
        std::thread other{[&] {
            try {
                for (;; ++started) {
                    runtime.primary().spawn(body());
                    begun = true;
                }
            } catch (const Error&) {
            }
        }};
        while (!begun) std::this_thread::yield();
        runtime.stop();
        other.join();
        EXPECT_EQ(ran, started);
    }
}

TEST(Runtime, what_is_spawned_while_it_ends_is_refused_however_long_a_task_lingers) {
    const auto runtime = small();
    std::atomic<int> told{0};
    bool refused = false;
    auto nothing = [](this auto) -> Task<> { co_return; };
    auto lingers = [&](this auto) -> Task<> {
        (void)co_await as_result(until_told(&told));
        // The runtime waits for this task. What it took meanwhile it might not wait for.
        const auto until = std::chrono::steady_clock::now() + test::patience();
        while (!refused && std::chrono::steady_clock::now() < until) {
            try {
                runtime.primary().spawn(nothing());
            } catch (const Error& error) {
                refused = error.detail() == "runtime.stopped";
            }
            co_await yield();
        }
    };
    runtime.primary().spawn(lingers());
    runtime.stop();
    EXPECT_EQ(told, 1);
    EXPECT_TRUE(refused) << "a runtime that ends took tasks";
}

TEST(Runtime, its_last_handle_may_die_inside_one_of_its_own_tasks) {
    for (int round = 0; round < 20; ++round) {
        std::atomic<int> told{0};
        std::atomic<bool> gone{false};
        {
            auto runtime = small();
            runtime.secondary().spawn(until_told(&told));
            const auto participant = std::make_shared<Participant>();
            participant->told = &told;
            runtime.add_participant(std::shared_ptr<ShutdownParticipant>{
                participant.get(), [participant, &gone](auto*) { gone = true; }
            });
            auto body = [](this auto, Runtime last) -> Task<> {
                const auto own = std::move(last);
                co_await yield();
            };
            const auto handle = round % 2 == 0 ? runtime.primary() : runtime.secondary();
            handle.spawn(body(std::move(runtime)));
        }
        while (!gone) std::this_thread::yield();
        EXPECT_EQ(told, 1);
    }
}

/// By how much a secondary timer is later than a sleeping thread of this machine, at worst, while
/// tasks hold all primary loops for `burn`.
Duration slip_while_primary_burns(std::chrono::seconds burn) {
    std::atomic<bool> over{false};  // outlives the tasks
    const auto runtime = Runtime::create({});
    for (std::size_t i = 0; i < runtime.primary().size(); ++i) {
        auto burner = [&](this auto) -> Task<> {
            const auto end = std::chrono::steady_clock::now() + burn;
            while (std::chrono::steady_clock::now() < end) continue;
            over = true;
            co_return;
        };
        runtime.primary().spawn(burner());
    }
    auto keep_alive = [&](this auto) -> Task<Duration> {
        Duration worst{};
        while (!over) {
            const auto due = Clock::steady().now() + 10ms;
            co_await sleep_until(Deadline::at(due));
            worst = std::max(worst, Clock::steady().now() - due);
        }
        co_return worst;
    };
    auto control = std::async(std::launch::async, [&] {
        Duration worst{};
        while (!over) {
            const auto due = std::chrono::steady_clock::now() + 10ms;
            std::this_thread::sleep_until(due);
            worst = std::max<Duration>(worst, std::chrono::steady_clock::now() - due);
        }
        return worst;
    });
    std::promise<Duration> slip;
    auto told = slip.get_future();
    runtime.secondary().spawn(runtime::detail::fulfil(keep_alive(), std::move(slip)));
    return told.get() - control.get();
}

TEST(Runtime, keeps_time_on_secondary_while_every_primary_thread_burns) {
    const auto burn = std::getenv("STATOR_BURN_SECONDS") != nullptr
                          ? std::chrono::seconds{std::atoi(std::getenv("STATOR_BURN_SECONDS"))}
                          : std::chrono::seconds{1};
    // The thread and the timer share two cores with all else: one of them may be the unlucky one.
    EXPECT_LT(testing::quickest(50ms, [&] { return slip_while_primary_burns(burn); }), 50ms);
}

}  // namespace
}  // namespace stator
