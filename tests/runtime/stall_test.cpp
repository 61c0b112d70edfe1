#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/stack_of_thread.hpp"
#include "runtime/stall_watch.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/runtime/recording_sink.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

/// Holds the loop until the watch has counted so many stalls.
Task<> hold_until(const test::RecordingSink* sink, std::uint64_t stalls) {
    while (sink->counted("runtime_stalls_total") < stalls) std::this_thread::sleep_for(1ms);
    co_return;
}
Task<> hold_elsewhere_until(const test::RecordingSink* sink, std::uint64_t stalls) {
    while (sink->counted("runtime_stalls_total") < stalls) std::this_thread::sleep_for(1ms);
    co_await yield();
}

class Stalls : public ::testing::Test {
protected:
    test::RecordingSink sink;
    Runtime runtime = Runtime::create({.primary_threads = 2, .stall_threshold = 20ms});
};

TEST_F(Stalls, are_counted_each_time_and_reported_once_per_site_with_a_stack) {
    for (std::uint64_t i = 1; i <= 3; ++i) runtime.block_on(hold_until(&sink, i));
    EXPECT_EQ(sink.counted("runtime_stalls_total"), 3U);
    EXPECT_GE(sink.gauge_of("runtime_longest_stall_seconds"), 0.02);
    ASSERT_EQ(sink.reports().size(), 1U);
    EXPECT_THAT(sink.reports()[0], testing::HasSubstr("held for more than 20 ms"));
    EXPECT_THAT(sink.reports()[0], testing::ContainsRegex("loop primary-[01]"));
    EXPECT_THAT(sink.reports()[0], testing::HasSubstr("\n    ")) << "no stack";
    runtime.block_on(hold_elsewhere_until(&sink, 4));
    EXPECT_EQ(sink.reports().size(), 2U) << "another site";
}

TEST_F(Stalls, of_the_secondary_pool_are_noticed_too) {
    std::promise<void> done;
    auto told = done.get_future();
    runtime.secondary().spawn(runtime::detail::fulfil(hold_until(&sink, 1), std::move(done)));
    told.get();
    ASSERT_EQ(sink.reports().size(), 1U);
    EXPECT_THAT(sink.reports()[0], testing::HasSubstr("loop secondary-0"));
}

TEST(NoStalls, many_short_steps_and_long_waits_are_none) {
    // Far above what a loaded machine does to a step of microseconds.
    const test::RecordingSink sink;
    const auto runtime = Runtime::create({.primary_threads = 2, .stall_threshold = 300ms});
    auto busy = [](this auto) -> Task<> {
        const auto end = std::chrono::steady_clock::now() + 700ms;
        while (std::chrono::steady_clock::now() < end) co_await yield();
    };
    auto asleep = [](this auto) -> Task<> { co_await sleep_for(600ms); };
    auto first = runtime.spawn_future(busy());
    runtime.block_on(asleep());
    first.get();
    EXPECT_EQ(sink.counted("runtime_stalls_total"), 0U);
}

TEST(StallWatch, sees_loops_on_an_executor_of_the_applications) {
    const test::RecordingSink sink;
    boost::asio::io_context io;
    const auto guard = boost::asio::make_work_guard(io);
    std::thread thread{[&] { io.run(); }};
    {
        LoopPool pool{{.count = 1, .name = "theirs", .host = nullptr}};
        const boost::asio::any_io_executor host{io.get_executor()};
        LoopPool hosted{{.count = 1, .name = "hosted", .host = &host}};
        const runtime::detail::StallWatch watch{{&pool[0], &hosted[0]}, 20ms};
        TaskScope scope;
        scope.spawn_on(hosted[0], hold_until(&sink, 1));
        while (scope.size() != 0) std::this_thread::yield();
    }
    io.stop();
    thread.join();
    ASSERT_EQ(sink.reports().size(), 1U);
    EXPECT_THAT(sink.reports()[0], testing::HasSubstr("loop hosted-0"));
}

TEST(StackReader, reads_another_thread_and_gives_up_on_one_that_is_gone) {
    runtime::detail::StackReader reader;
    std::atomic<pid_t> number{0};
    std::atomic<bool> over{false};
    std::thread thread{[&] {
        number = ::gettid();
        while (!over) std::this_thread::sleep_for(1ms);
    }};
    while (number == 0) std::this_thread::yield();
    const auto frames = reader.read(number, 5s);
    ASSERT_TRUE(frames);
    EXPECT_GE(frames->size(), 3U);
    over = true;
    thread.join();
    EXPECT_FALSE(reader.read(number, 1ms));
}

TEST(StackReader, leaves_an_applications_own_handler_alone) {
    struct sigaction own{};
    struct sigaction before{};
    own.sa_handler = [](int) {};
    ::sigaction(SIGURG, &own, &before);
    {
        runtime::detail::StackReader reader;
        EXPECT_FALSE(reader.read(::gettid(), 1ms));
    }
    struct sigaction after{};
    ::sigaction(SIGURG, &before, &after);
    EXPECT_EQ(after.sa_handler, own.sa_handler);
}

}  // namespace
}  // namespace stator
