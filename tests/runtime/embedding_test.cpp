#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/readiness.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/settings/settings.hpp"
#include "tests/runtime/patience.hpp"
#include "tests/support/iterations.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

Runtime::Embedding embedding(std::size_t loops = 1, bool share_secondary = false) {
    return {
        .loops = loops,
        .share_secondary = share_secondary,
        .settings = std::make_shared<const settings::Settings>(),
    };
}

/// An application that has an io_context of its own, with threads.
class Application {
public:
    explicit Application(int threads) {
        for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { io_.run(); });
    }
    ~Application() { finish(); }
    Application(const Application&) = delete;
    Application& operator=(const Application&) = delete;
    void finish() {
        guard_.reset();
        for (auto& thread : threads_) {
            if (thread.joinable()) thread.join();
        }
    }
    asio::io_context& io() { return io_; }

private:
    asio::io_context io_;
    asio::executor_work_guard<asio::io_context::executor_type> guard_{io_.get_executor()};
    std::vector<std::thread> threads_;
};

/// Descriptors that are connected to each other.
struct Pair {
    Pair() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0); }
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;
    ~Pair() {
        for (const int end : ends) ::close(end);
    }
    std::array<int, 2> ends{};
};

Task<int> read_byte(int fd) {
    co_await readable(fd);
    char byte = 0;
    co_return ::read(fd, &byte, 1) == 1 ? byte : -1;
}

TEST(Embedding, tasks_run_on_the_applications_threads_and_the_application_goes_on_after_them) {
    Application app{3};
    {
        const auto runtime = Runtime::from_handle(app.io(), embedding());
        EXPECT_EQ(runtime.type(), RuntimeType::external);
        EXPECT_EQ(runtime.secondary().type(), RuntimeType::shared);
        EXPECT_EQ(runtime.loop_slots(), 2U);
        auto body = [&](this auto) -> Task<bool> {
            EXPECT_EQ(Loop::current(), &runtime.primary().loop(0));
            co_return app.io().get_executor().running_in_this_thread();
        };
        EXPECT_TRUE(runtime.block_on(body()));
        EXPECT_TRUE(runtime.shutdown_and_wait(Deadline::in(10s)));
    }
    EXPECT_FALSE(app.io().stopped());
    std::promise<void> still;
    asio::post(app.io(), [&] { still.set_value(); });
    still.get_future().get();
}

TEST(Embedding, a_loop_is_on_one_thread_at_a_time_whatever_wakes_it) {
    Application app{3};
    const auto runtime = Runtime::from_handle(app.io(), embedding());
    int unguarded = 0;
    Pair pair;
    auto steps = [&](this auto, int kind) -> Task<> {
        for (int i = 0; i < 300; ++i) {
            if (kind == 0) co_await yield();
            if (kind == 1) co_await sleep_for(10us);
            if (kind == 2)
                co_await on_loop(runtime.secondary().loop(), [](this auto) -> Task<> {
                    co_await yield();
                }());
            if (kind == 3) co_await runtime.primary().offload([] { std::this_thread::yield(); });
            if (kind == 4) {
                EXPECT_EQ(::write(pair.ends[0], "x", 1), 1);
                EXPECT_EQ(co_await read_byte(pair.ends[1]), 'x');
            }
            EXPECT_EQ(Loop::current(), &runtime.primary().loop(0));
            ++unguarded;
        }
    };
    std::vector<std::future<void>> all;
    for (int kind = 0; kind < 5; ++kind) all.push_back(runtime.spawn_future(steps(kind)));
    for (auto& one : all) one.get();
    EXPECT_EQ(unguarded, 1500);
    EXPECT_TRUE(runtime.shutdown_and_wait(Deadline::in(10s)));
}

TEST(Embedding, the_first_task_wakes_one_of_several_loops_that_have_never_run) {
    Application app{2};
    const auto runtime = Runtime::from_handle(app.io(), embedding(2));
    auto first = runtime.spawn_future([](this auto) -> Task<int> { co_return 1; }());
    ASSERT_EQ(first.wait_for(10s), std::future_status::ready);
    EXPECT_EQ(first.get(), 1);
    EXPECT_TRUE(runtime.shutdown_and_wait(Deadline::in(10s)));
}

TEST(Embedding, polling_goes_on_while_every_task_waits_for_another_thread) {
    boost::asio::io_context io;
    const auto runtime = Runtime::from_handle(io, embedding());
    Event elsewhere;
    auto waits = runtime.spawn_future([](this auto, Event* event) -> Task<> {
        co_await event->wait();
    }(&elsewhere));
    for (int i = 0; i < 3; ++i) io.poll();
    EXPECT_FALSE(io.stopped()) << "it would never poll again";
    runtime.secondary().spawn([](this auto, Event* event) -> Task<> {
        event->set();
        co_return;
    }(&elsewhere));
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (waits.wait_for(0s) != std::future_status::ready &&
           std::chrono::steady_clock::now() < until)
        io.poll();
    EXPECT_EQ(waits.wait_for(0s), std::future_status::ready);
    auto ended = runtime.shutdown_async(Deadline::in(10s));
    while (ended.wait_for(0s) != std::future_status::ready) io.poll();
    EXPECT_TRUE(ended.get());
    io.poll();
    EXPECT_TRUE(io.stopped()) << "nothing of ours is left in it";
}

TEST(Embedding, several_loops_use_several_threads) {
    Application app{2};
    const auto runtime = Runtime::from_handle(app.io(), embedding(2));
    ASSERT_EQ(runtime.primary().size(), 2U);
    std::atomic<int> there{0};
    auto meet = [&](this auto) -> Task<> {
        ++there;
        while (there < 2) std::this_thread::yield();  // needs the other one at the same time
        co_return;
    };
    TaskScope scope;
    scope.spawn_on(runtime.primary().loop(0), meet());
    scope.spawn_on(runtime.primary().loop(1), meet());
    while (scope.size() != 0) std::this_thread::yield();
    EXPECT_TRUE(runtime.shutdown_and_wait(Deadline::in(10s)));
}

TEST(Embedding, any_executor_will_do) {
    asio::thread_pool threads{2};
    {
        const auto runtime =
            Runtime::from_handle(asio::any_io_executor{threads.get_executor()}, embedding());
        Pair pair;
        auto future = runtime.spawn_future(read_byte(pair.ends[1]));
        EXPECT_EQ(::write(pair.ends[0], "y", 1), 1);
        ASSERT_EQ(future.wait_for(test::patience()), std::future_status::ready);
        EXPECT_EQ(future.get(), 'y');
        auto sleep = [](this auto) -> Task<> { co_await sleep_for(1ms); };
        runtime.block_on(sleep());
        EXPECT_TRUE(runtime.shutdown_and_wait(Deadline::in(10s)));
    }
    threads.join();
}

TEST(Embedding, a_cancel_from_another_thread_reaches_what_waits_at_the_host) {
    Application app{2};
    const auto runtime = Runtime::from_handle(app.io(), embedding());
    for (int i = 0; i < 100; ++i) {
        Pair pair;
        const auto token = CancellationToken::make();
        auto future = runtime.spawn_future(with_token(token, read_byte(pair.ends[1])));
        if (i % 2 == 0) std::this_thread::yield();
        token.cancel();
        EXPECT_THROW(future.get(), Error);
    }
    EXPECT_TRUE(runtime.shutdown_and_wait(Deadline::in(10s)));
}

TEST(Embedding, secondary_shares_the_executor_when_asked) {
    Application app{1};
    const auto runtime = Runtime::from_handle(app.io(), embedding(1, true));
    EXPECT_EQ(runtime.secondary().type(), RuntimeType::external);
    EXPECT_NE(&runtime.primary().loop(0), &runtime.secondary().loop(0));
    EXPECT_EQ(runtime.loop_slots(), 2U);
    auto thread = [](this auto) -> Task<std::thread::id> { co_return std::this_thread::get_id(); };
    auto body = [&](this auto) -> Task<bool> {
        co_return co_await on_loop(runtime.secondary().loop(), thread()) ==
            std::this_thread::get_id();
    };
    EXPECT_TRUE(runtime.block_on(body()));
    EXPECT_TRUE(runtime.shutdown_and_wait(Deadline::in(10s)));
}

TEST(Embedding, a_program_that_polls_its_executor) {
    asio::io_context io;
    int result = 0;
    {
        const auto runtime = Runtime::from_handle(io, embedding(1, true));
        auto body = [](this auto) -> Task<int> {
            co_await sleep_for(2ms);
            co_return 7;
        };
        auto future = runtime.spawn_future(body());
        while (future.wait_for(0s) != std::future_status::ready) io.poll();
        result = future.get();
        auto ended = runtime.shutdown_async(Deadline::in(10s));
        while (ended.wait_for(0s) != std::future_status::ready) io.poll();
        EXPECT_TRUE(ended.get());
    }
    EXPECT_EQ(result, 7);
}

TEST(Embedding, whoever_drops_the_runtime_runs_what_a_stopped_executor_no_longer_does) {
    asio::io_context io;
    std::atomic<int> told{0};
    {
        const auto runtime = Runtime::from_handle(io, embedding());
        auto waits = [&](this auto) -> Task<> {
            auto for_ever = [](this auto) -> Task<> { co_await sleep_until(Deadline::never()); };
            if (!co_await as_result(for_ever())) ++told;
            co_await shielded([](this auto) -> Task<> { co_await sleep_for(1ms); }());
            ++told;
        };
        auto future = runtime.spawn_future(waits());
        io.run_for(20ms);
    }
    EXPECT_EQ(told, 2);
}

TEST(Embedding, the_last_handle_may_die_in_a_task_or_in_a_handler_of_the_hosts) {
    for (int round = 0; round < 20; ++round) {
        Application app{1};
        std::atomic<int> told{0};
        std::atomic<bool> dropped{false};
        {
            auto runtime = Runtime::from_handle(app.io(), embedding(1, round % 4 < 2));
            auto waits = [&](this auto) -> Task<> {
                Pair pair;
                try {
                    co_await readable(pair.ends[0]);
                } catch (const Error&) {
                    ++told;
                }
            };
            runtime.primary().spawn(waits());
            auto drops = [&](this auto, Runtime last) -> Task<> {
                const auto own = std::move(last);
                co_await yield();
                dropped = true;
            };
            if (round % 2 == 0) {
                runtime.primary().spawn(drops(std::move(runtime)));
            } else {
                asio::post(app.io(), [&dropped, own = std::move(runtime)]() mutable {
                    const auto last = std::move(own);
                    dropped = true;
                });
            }
        }
        while (!dropped || told == 0) std::this_thread::yield();
        // The executor must outlive the runtime, which ends on another thread now.
        while (runtime::detail::live_token_nodes() != 0) std::this_thread::yield();
    }
}

TEST(Embedding, from_current_wraps_the_loop_that_runs_this) {
    try {
        (void)Runtime::from_current(embedding());
        ADD_FAILURE() << "no loop runs here";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid_request);
        EXPECT_EQ(error.detail(), "runtime.no_loop");
    }
    LoopPool loops{3, "theirs"};
    for (std::size_t i = 0; i < 3; ++i) {
        for (const bool share : {false, true}) {
            std::optional<Runtime> inside;
            TaskScope scope;
            auto body = [&](this auto) -> Task<> {
                inside.emplace(Runtime::from_current(embedding(1, share)));
                EXPECT_EQ(&inside->primary().loop(), Loop::current());
                EXPECT_EQ(inside->type(), RuntimeType::external);
                EXPECT_EQ(inside->loop_slots(), share ? i + 1 : i + 2);
                EXPECT_EQ(inside->secondary().type() == RuntimeType::external, share);
                Event ran;
                auto task = [&](this auto) -> Task<> {
                    EXPECT_EQ(Loop::current(), &loops[i]);
                    ran.set();
                    co_await sleep_until(Deadline::never());
                };
                inside->primary().spawn(task());
                co_await ran.wait();
            };
            scope.spawn_on(loops[i], body());
            while (scope.size() != 0) std::this_thread::yield();
            EXPECT_TRUE(inside->shutdown_and_wait(Deadline::in(10s)));
        }
    }
}

TEST(Embedding, a_runtime_from_the_current_loop_may_die_there) {
    LoopPool loops{1, "theirs"};
    std::atomic<int> told{0};
    TaskScope scope;
    auto body = [&](this auto) -> Task<> {
        const auto inside = Runtime::from_current(embedding());
        Event begun;
        auto waits = [&](this auto, Event* event) -> Task<> {
            event->set();
            try {
                co_await sleep_until(Deadline::never());
            } catch (const Error&) {
                ++told;
            }
        };
        inside.primary().spawn(waits(&begun));
        co_await begun.wait();
    };
    scope.spawn_on(loops[0], body());
    while (told == 0) std::this_thread::yield();
    while (scope.size() != 0) std::this_thread::yield();
    while (runtime::detail::live_token_nodes() > 1) std::this_thread::yield();
}

}  // namespace
}  // namespace stator
