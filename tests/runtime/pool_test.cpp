#include <pthread.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/offload.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator {
namespace {

/// Blocks the calling thread until nothing runs in `scope`.
void wait_until_empty(const TaskScope& scope) {
    while (scope.size() != 0) std::this_thread::yield();
}

TEST(LoopPool, runs_each_loop_on_a_thread_of_its_own_with_its_name) {
    LoopPool pool{3, "worker"};
    TaskScope scope;
    ASSERT_EQ(pool.size(), 3U);
    std::array<std::thread::id, 3> threads{};
    std::array<std::string, 3> names;
    auto body = [&](this auto, std::size_t i) -> Task<> {
        EXPECT_EQ(Loop::current(), &pool[i]);
        EXPECT_TRUE(pool.is_current());
        std::array<char, 16> name{};
        pthread_getname_np(pthread_self(), name.data(), name.size());
        names[i] = name.data();
        threads[i] = std::this_thread::get_id();
        co_return;
    };
    EXPECT_FALSE(pool.is_current());
    for (std::size_t i = 0; i < 3; ++i) scope.spawn_on(pool[i], body(i));
    wait_until_empty(scope);
    EXPECT_EQ(names, (std::array<std::string, 3>{"worker-0", "worker-1", "worker-2"}));
    EXPECT_EQ(std::set(threads.begin(), threads.end()).size(), 3U);
    EXPECT_EQ((LoopPool{0, "one"}.size()), 1U);
}

TEST(LoopPool, picks_by_turns_when_idle_and_passes_over_a_busy_loop) {
    LoopPool pool{2, "worker"};
    EXPECT_NE(&pool.pick(), &pool.pick());
    TaskScope scope;
    std::atomic<bool> busy{false};
    std::atomic<bool> release{false};
    auto body = [&](this auto) -> Task<> {
        busy = true;
        while (!release) std::this_thread::yield();
        co_return;
    };
    scope.spawn_on(pool[0], body());
    while (!busy) std::this_thread::yield();
    for (int i = 0; i < 4; ++i) EXPECT_EQ(&pool.pick(), &pool[1]);
    release = true;
    wait_until_empty(scope);
}

TEST(LoopPool, stop_is_idempotent_and_ends_the_threads) {
    LoopPool pool{2, "worker"};
    pool.request_stop();
    pool.stop();
    pool.stop();
}

TEST(LoopPool, its_threads_leave_signals_to_others_but_keep_faults) {
    LoopPool loops{1, "worker"};
    BlockingPool blocking{1};
    sigset_t before;
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    TaskScope scope;
    auto check = [](std::string_view where) {
        sigset_t blocked;
        pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGPIPE}) {
            EXPECT_EQ(sigismember(&blocked, signal), 1) << where << " " << signal;
        }
        for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) {
            EXPECT_EQ(sigismember(&blocked, signal), 0) << where << " " << signal;
        }
    };
    auto body = [&](this auto) -> Task<> {
        check("loop");
        co_await offload(blocking, [&] { check("blocking"); });
    };
    scope.spawn_on(loops[0], body());
    wait_until_empty(scope);
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGSEGV}) {
        EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal)) << "of this thread";
    }
}

#if defined(__has_feature)
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)

/// Makes a pool with too little address space for its threads: 0 if that threw what it should.
template <class Make>
int without_memory_for_threads(Make make) {
    const rlimit little{512UL << 20U, 512UL << 20U};
    setrlimit(RLIMIT_AS, &little);
    try {
        make();
    } catch (const std::system_error&) {
        return 0;
    }
    return 1;
}

TEST(PoolDeathTest, a_thread_that_cannot_be_made_is_an_exception_and_the_others_are_joined) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        std::_Exit(without_memory_for_threads([] { const LoopPool pool{1000, "many"}; })),
        testing::ExitedWithCode(0),
        ""
    );
    EXPECT_EXIT(
        std::_Exit(without_memory_for_threads([] {
            BlockingPool pool{{.threads = 2, .stack_size = std::size_t{1} << 30U}};
            pool.post([] {});
        })),
        testing::ExitedWithCode(0),
        ""
    );
    // With one thread at least, work waits for that.
    EXPECT_EXIT(
        std::_Exit(1 - without_memory_for_threads([] {
                       BlockingPool pool{200};
                       for (int i = 0; i < 200; ++i)
                           pool.post([] {
                               std::this_thread::sleep_for(std::chrono::milliseconds{1});
                           });
                   })),
        testing::ExitedWithCode(0),
        ""
    );
}

#endif
#endif

TEST(Offload, runs_elsewhere_and_goes_on_here) {
    LoopPool loops{1, "loop"};
    BlockingPool blocking{2};
    TaskScope scope;
    auto body = [&](this auto) -> Task<> {
        const auto here = std::this_thread::get_id();
        const auto there = co_await offload(blocking, [] { return std::this_thread::get_id(); });
        EXPECT_NE(here, there);
        EXPECT_EQ(std::this_thread::get_id(), here);
        EXPECT_EQ(Loop::current(), &loops[0]);
        bool ran = false;
        co_await offload(blocking, [&] { ran = true; });
        EXPECT_TRUE(ran);
        auto moved = co_await offload(blocking, [p = std::make_unique<int>(4)]() mutable {
            return std::move(p);
        });
        EXPECT_EQ(*moved, 4);
    };
    scope.spawn_on(loops[0], body());
    wait_until_empty(scope);
}

TEST(Offload, throws_what_the_work_threw) {
    LoopPool loops{1, "loop"};
    BlockingPool blocking{1};
    TaskScope scope;
    auto body = [&](this auto) -> Task<> {
        auto work = []() -> int { throw Error{ErrorCode::not_found, "x"}; };
        auto result = co_await as_result(offload(blocking, work));
        EXPECT_EQ(result.error().code(), ErrorCode::not_found);
        bool foreign = false;
        try {
            co_await offload(blocking, [] { throw std::logic_error{"y"}; });
        } catch (const std::logic_error&) {
            foreign = true;
        }
        EXPECT_TRUE(foreign);
    };
    scope.spawn_on(loops[0], body());
    wait_until_empty(scope);
}

TEST(Offload, is_not_interrupted_by_a_cancel_and_its_result_is_not_lost) {
    LoopPool loops{1, "loop"};
    BlockingPool blocking{1};
    TaskScope scope;
    std::atomic<bool> begun{false};
    std::atomic<bool> release{false};
    int result = 0;
    auto body = [&](this auto) -> Task<> {
        result = co_await offload(blocking, [&] {
            begun = true;
            while (!release) std::this_thread::yield();
            return 9;
        });
    };
    scope.spawn_on(loops[0], body());
    while (!begun) std::this_thread::yield();
    scope.cancel();
    EXPECT_EQ(scope.size(), 1U);
    release = true;
    wait_until_empty(scope);
    EXPECT_EQ(result, 9);
}

TEST(Offload, the_pools_destructor_does_what_was_handed_over) {
    std::atomic<int> ran{0};
    {
        BlockingPool pool{1};
        for (int i = 0; i < 100; ++i) pool.post([&] { ++ran; });
    }
    EXPECT_EQ(ran, 100);
    {
        BlockingPool at_least_one{0};
        at_least_one.post([&] { ++ran; });
    }
    EXPECT_EQ(ran, 101);
}

}  // namespace
}  // namespace stator
