#include "stator/runtime/asio.hpp"

#include <array>
#include <chrono>
#include <string>
#include <thread>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include "stator/runtime/loop_pool.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using Socket = asio::local::stream_protocol::socket;

/// A loop on the steady clock: the reactor knows no other.
class AsioTest : public ::testing::Test {
protected:
    template <class T>
    test::Outcome<T> start(Task<T> task) {
        test::Outcome<T> outcome;
        scope.spawn_on(loop, test::Outcome<T>::record(outcome, std::move(task)));
        return outcome;
    }
    /// Runs the loop until nothing runs in the scope.
    void run() {
        auto end = [this](this auto) -> Task<> {
            co_await scope.join();
            loop.stop();
        };
        last.spawn_on(loop, end());
        loop.run();
    }
    Loop loop;
    TaskScope scope;
    TaskScope last;
};

TEST_F(AsioTest, awaits_an_operation_with_one_result) {
    asio::steady_timer timer{reactor_of(loop), 1ms};
    auto body = [&](this auto) -> Task<> {
        const boost::system::error_code code = co_await timer.async_wait(use_task);
        EXPECT_FALSE(code);
        EXPECT_EQ(Loop::current(), &loop);
    };
    auto outcome = start(body());
    run();
    EXPECT_TRUE(outcome.ok());
}

TEST_F(AsioTest, awaits_an_operation_with_two_results_and_composed_ones) {
    Socket left{reactor_of(loop)};
    Socket right{reactor_of(loop)};
    asio::local::connect_pair(left, right);
    std::array<char, 5> buffer{};
    auto reader = [&](this auto) -> Task<> {
        auto [code, n] = co_await asio::async_read(left, asio::buffer(buffer), use_task);
        EXPECT_FALSE(code);
        EXPECT_EQ(n, 5U);
    };
    auto writer = [&](this auto) -> Task<> {
        for (const std::string_view part : {"he", "llo"}) {
            auto [code, n] = co_await right.async_write_some(asio::buffer(part), use_task);
            EXPECT_FALSE(code);
            EXPECT_EQ(n, part.size());
        }
    };
    auto read = start(reader());
    start(writer());
    run();
    EXPECT_TRUE(read.ok());
    EXPECT_EQ((std::string_view{buffer.data(), 5}), "hello");
}

TEST_F(AsioTest, awaits_an_operation_without_results) {
    auto body = [&](this auto) -> Task<> {
        co_await asio::post(reactor_of(loop), use_task);
        EXPECT_EQ(Loop::current(), &loop);
    };
    auto outcome = start(body());
    run();
    EXPECT_TRUE(outcome.ok());
}

TEST_F(AsioTest, cancelling_the_task_aborts_the_operation_and_does_not_throw) {
    Socket left{reactor_of(loop)};
    Socket right{reactor_of(loop)};
    asio::local::connect_pair(left, right);
    auto body = [&](this auto) -> Task<boost::system::error_code> {
        std::array<char, 8> buffer{};
        auto [code, n] = co_await left.async_read_some(asio::buffer(buffer), use_task);
        co_return code;
    };
    auto cancel = [&](this auto) -> Task<> {
        for (int i = 0; i < 20; ++i) co_await yield();
        scope.cancel();
    };
    auto outcome = start(body());
    start(cancel());
    run();
    EXPECT_EQ(outcome.value(), asio::error::operation_aborted);
}

TEST_F(AsioTest, an_operation_begun_under_a_cancelled_token_is_aborted) {
    asio::steady_timer timer{reactor_of(loop), 1h};
    auto body = [&](this auto) -> Task<boost::system::error_code> {
        co_return co_await timer.async_wait(use_task);
    };
    auto outcome = start(body());
    scope.cancel();
    run();
    EXPECT_EQ(outcome.value(), asio::error::operation_aborted);
}

TEST_F(AsioTest, a_cancel_that_comes_after_the_result_does_not_reach_the_next_operation) {
    asio::steady_timer timer{reactor_of(loop), 1ms};
    const auto token = CancellationToken::make();
    auto inner = [&](this auto) -> Task<boost::system::error_code> {
        co_return co_await timer.async_wait(use_task);
    };
    auto body = [&](this auto) -> Task<> {
        EXPECT_FALSE(co_await with_token(token, inner()));
        token.cancel();
        timer.expires_after(1ms);
        EXPECT_FALSE(co_await timer.async_wait(use_task));
    };
    auto outcome = start(body());
    run();
    EXPECT_TRUE(outcome.ok());
}

TEST_F(AsioTest, a_cancel_from_another_thread_takes_one_hop_and_resumes_on_the_loop) {
    LoopPool pool{1, "loop"};
    asio::steady_timer timer{reactor_of(pool[0]), 1h};
    TaskScope waiting;
    std::atomic<bool> begun{false};
    std::atomic<bool> aborted{false};
    auto body = [&](this auto) -> Task<> {
        begun = true;
        const auto code = co_await timer.async_wait(use_task);
        EXPECT_EQ(Loop::current(), &pool[0]);
        aborted = code == asio::error::operation_aborted;
    };
    waiting.spawn_on(pool[0], body());
    while (!begun) std::this_thread::yield();
    waiting.cancel();
    while (waiting.size() != 0) std::this_thread::yield();
    EXPECT_TRUE(aborted);
}

}  // namespace
}  // namespace stator
