#include <pthread.h>

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <set>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "stator/runtime/compute.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/offload.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/timer.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

std::string thread_name() {
    std::array<char, 16> name{};
    pthread_getname_np(pthread_self(), name.data(), name.size());
    return name.data();
}

/// Opened by the test; whoever works waits for it.
class Gate {
public:
    void open() { promise_.set_value(); }
    void wait() const { future_.wait(); }

private:
    std::promise<void> promise_;
    std::shared_future<void> future_ = promise_.get_future().share();
};

TEST(BlockingPool, makes_threads_when_work_waits_and_no_more_than_its_bound) {
    Gate gate;  // outlives the pool, whose threads may still look at it when the last has begun
    std::atomic<int> begun{0};
    std::atomic<int> named{0};
    BlockingPool pool{{.threads = 3, .name = "patient"}};
    EXPECT_EQ(pool.threads(), 0U);
    for (int i = 0; i < 5; ++i) {
        pool.post([&] {
            named += thread_name() == "patient" ? 1 : 0;
            ++begun;
            gate.wait();
        });
    }
    while (begun < 3) std::this_thread::yield();
    EXPECT_EQ(pool.threads(), 3U);
    EXPECT_EQ(pool.waiting(), 2U);
    gate.open();
    while (begun < 5) std::this_thread::yield();
    EXPECT_EQ(pool.threads(), 3U);
    EXPECT_EQ(named, 5);
}

TEST(BlockingPool, finish_waits_for_what_runs_and_what_waits) {
    BlockingPool pool{{.threads = 1}};
    Gate gate;
    std::atomic<int> done{0};
    for (int i = 0; i < 2; ++i) {
        pool.post([&] {
            gate.wait();
            ++done;
        });
    }
    while (pool.running() < 1) std::this_thread::yield();
    EXPECT_EQ(pool.waiting(), 1U);
    auto finished = std::async(std::launch::async, [&] { pool.finish(); });
    EXPECT_EQ(finished.wait_for(20ms), std::future_status::timeout);
    gate.open();
    finished.get();
    EXPECT_EQ(done, 2);
    EXPECT_EQ(pool.running(), 0U);
    EXPECT_EQ(pool.threads(), 0U);
    pool.post([&] { ++done; });  // what comes later is done all the same
    pool.finish();
    EXPECT_EQ(done, 3);
}

TEST(BlockingPool, idle_threads_go_and_come_again) {
    BlockingPool pool{{.threads = 4, .idle_time = 5ms}};
    for (int round = 0; round < 3; ++round) {
        Gate gate;
        std::atomic<int> begun{0};
        std::atomic<int> ended{0};
        for (int i = 0; i < 4; ++i) {
            pool.post([&] {
                ++begun;
                gate.wait();
                ++ended;
            });
        }
        while (begun < 4) std::this_thread::yield();
        gate.open();
        while (ended < 4 || pool.threads() > 0) std::this_thread::sleep_for(1ms);
    }
}

TEST(BlockingPool, what_one_thread_can_do_keeps_one_thread) {
    BlockingPool pool{{.threads = 4, .idle_time = 20ms}};
    std::set<std::thread::id> threads;
    for (int i = 0; i < 20; ++i) {
        std::promise<std::thread::id> ran;
        auto told = ran.get_future();
        pool.post([&] { ran.set_value(std::this_thread::get_id()); });
        threads.insert(told.get());
        std::this_thread::sleep_for(1ms);
    }
    EXPECT_LE(threads.size(), 2U) << "the first may not be idle yet when the second job comes";
}

TEST(BlockingPool, works_off_what_many_threads_hand_over) {
    std::atomic<int> ran{0};
    {
        BlockingPool pool{{.threads = 3, .idle_time = 1ms}};
        std::vector<std::thread> posters;
        for (int p = 0; p < 4; ++p) {
            posters.emplace_back([&] {
                for (int i = 0; i < 500; ++i) {
                    pool.post([&] { ++ran; });
                    if (i % 100 == 0) std::this_thread::sleep_for(2ms);
                }
            });
        }
        for (auto& poster : posters) poster.join();
    }
    EXPECT_EQ(ran, 2000);
}

class Computing : public ::testing::Test {
protected:
    Runtime runtime = Runtime::create({
        .primary_threads = 2,
        .blocking_threads = 1,
        .compute_threads = 1,
        .compute_thread_prefix = "crunch",
    });
};

TEST_F(Computing, runs_large_work_on_its_own_threads_and_small_work_here) {
    auto name = [](this auto, Runtime own, WorkSize size) -> Task<std::string> {
        co_return co_await compute(own, size, thread_name);
    };
    EXPECT_EQ(runtime.block_on(name(runtime, WorkSize::large)), "crunch");
    EXPECT_TRUE(runtime.block_on(name(runtime, WorkSize::small)).starts_with("primary-"));
    EXPECT_EQ(runtime.block_on(compute(runtime, [] { return 3; })), 3);
    const auto none = Runtime::create({.primary_threads = 1, .compute_threads = 0});
    EXPECT_EQ(none.block_on(name(none, WorkSize::large)), "blocking");
}

TEST_F(Computing, throws_what_the_work_threw) {
    for (const auto size : {WorkSize::small, WorkSize::medium, WorkSize::large}) {
        auto work = []() -> int { throw std::domain_error{"no"}; };
        EXPECT_THROW(runtime.block_on(compute(runtime, size, work)), std::domain_error);
    }
}

TEST_F(Computing, medium_work_leaves_one_primary_loop_free) {
    // Two loops: one permit. While it is held, the next piece goes elsewhere.
    Gate gate;
    std::atomic<bool> held{false};
    auto holds = [&](this auto) -> Task<std::string> {
        co_return co_await compute(runtime, WorkSize::medium, [&] {
            held = true;
            gate.wait();
            return thread_name();
        });
    };
    auto first = runtime.spawn_future(holds());
    while (!held) std::this_thread::yield();
    EXPECT_EQ(runtime.block_on(compute(runtime, WorkSize::medium, thread_name)), "crunch");
    gate.open();
    EXPECT_TRUE(first.get().starts_with("primary-"));
    EXPECT_TRUE(
        runtime.block_on(compute(runtime, WorkSize::medium, thread_name)).starts_with("primary-")
    ) << "the permit is back";
    const auto single = Runtime::single_threaded();
    EXPECT_EQ(single.block_on(compute(single, WorkSize::medium, thread_name)), "blocking");
}

TEST_F(Computing, work_is_taken_back_before_it_begins_and_told_afterwards) {
    Gate gate;
    std::atomic<bool> begun{false};
    const auto token = CancellationToken::make();
    auto running =
        runtime.spawn_future(with_token(token, compute(runtime, [&](CancellationToken own) {
                                            begun = true;
                                            while (!own.cancelled()) std::this_thread::yield();
                                            gate.wait();
                                            return 5;
                                        })));
    while (!begun) std::this_thread::yield();
    std::atomic<bool> never{false};
    auto queued = runtime.spawn_future(with_token(token, compute(runtime, [&] { never = true; })));
    while (runtime.computing().waiting() == 0) std::this_thread::yield();
    token.cancel();
    EXPECT_THROW(queued.get(), Error) << "while the other still runs";
    EXPECT_EQ(runtime.computing().waiting(), 0U);
    gate.open();
    EXPECT_EQ(running.get(), 5) << "what has begun ends, and its result is not lost";
    EXPECT_FALSE(never);
    EXPECT_THROW(
        runtime.spawn_future(with_token(token, compute(runtime, [&] { never = true; }))).get(),
        Error
    );
    EXPECT_FALSE(never);
}

TEST_F(Computing, a_cancel_and_a_free_thread_race_and_each_job_ends_once) {
    int ran = 0;  // on the one thread
    int cancelled = 0;
    for (int i = 0; i < 500; ++i) {
        const auto token = CancellationToken::make();
        auto future = runtime.spawn_future(with_token(token, compute(runtime, [&] { ++ran; })));
        if (i % 3 != 0) std::this_thread::yield();
        token.cancel();
        try {
            future.get();
        } catch (const Error&) {
            ++cancelled;
        }
    }
    EXPECT_EQ(ran + cancelled, 500);
}

TEST_F(Computing, handles_offload_blocking_calls) {
    auto body = [](this auto, Runtime own) -> Task<std::string> {
        co_return co_await own.secondary().offload(thread_name);
    };
    EXPECT_EQ(runtime.block_on(body(runtime)), "blocking");
}

}  // namespace
}  // namespace stator
