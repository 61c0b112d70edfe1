#include "stator/runtime/combinators.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using WhenAll = test::OnLoop;
using WhenAny = test::OnLoop;

Task<int> after(Duration delay, int value) {
    co_await sleep_for(delay);
    co_return value;
}
Task<> pause(Duration delay) { co_await sleep_for(delay); }
Task<int> fail_after(Duration delay, ErrorCode code) {
    co_await sleep_for(delay);
    throw Error{code, "on purpose"};
}
/// Notes when it is cancelled, and takes `clean_up` to unwind.
Task<int> slow_to_unwind(Duration clean_up, bool* unwound) {
    auto ended = co_await as_result(pause(1h));
    co_await shielded(pause(clean_up));
    *unwound = true;
    throw ended.error();
}

TEST_F(WhenAll, yields_every_result_in_the_order_of_the_tasks) {
    auto body = [](this auto) -> Task<> {
        auto [a, b, c] = co_await when_all(after(3s, 1), pause(1s), after(2s, 3));
        EXPECT_EQ(a, 1);
        EXPECT_EQ(b, std::monostate{});
        EXPECT_EQ(c, 3);
    };
    auto outcome = test.run(body());
    test.advance(2s);
    EXPECT_FALSE(outcome.done());
    test.advance(1s);
    EXPECT_TRUE(outcome.ok());
}

TEST_F(WhenAll, takes_a_vector_and_none_at_all) {
    auto body = [](this auto) -> Task<> {
        std::vector<Task<std::unique_ptr<int>>> tasks;
        for (int i = 0; i < 10; ++i) {
            tasks.push_back([](this auto, int n) -> Task<std::unique_ptr<int>> {
                co_await sleep_for(Duration{10 - n});
                co_return std::make_unique<int>(n);
            }(i));
        }
        auto results = co_await when_all(std::move(tasks));
        for (int i = 0; i < 10; ++i) EXPECT_EQ(*results[static_cast<std::size_t>(i)], i);
        EXPECT_EQ(results.size(), 10U);
        EXPECT_TRUE((co_await when_all(std::vector<Task<>>{})).empty());
    };
    auto outcome = test.run(body());
    test.advance(1s);
    EXPECT_TRUE(outcome.ok());
}

TEST_F(WhenAll, an_error_cancels_the_others_and_is_thrown_after_they_have_ended) {
    bool unwound = false;
    auto body = [&](this auto) -> Task<> {
        co_await when_all(
            fail_after(1s, ErrorCode::not_found), slow_to_unwind(2s, &unwound), after(1h, 1)
        );
    };
    auto outcome = test.run(body());
    test.advance(1s);
    EXPECT_FALSE(outcome.done());
    test.advance(2s);
    EXPECT_TRUE(unwound);
    EXPECT_EQ(outcome.error(), ErrorCode::not_found);
}

TEST_F(WhenAll, cancelling_it_cancels_the_tasks_waits_for_them_and_throws_cancelled) {
    bool unwound = false;
    auto body = [&](this auto) -> Task<> {
        co_await when_all(after(1s, 1), slow_to_unwind(2s, &unwound));
    };
    auto outcome = test.run(body());
    test.scope().cancel();
    test.settle();
    EXPECT_FALSE(outcome.done());
    test.advance(2s);
    EXPECT_TRUE(unwound);
    EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
}

TEST_F(WhenAll, a_result_that_all_have_in_spite_of_the_cancel_is_returned) {
    auto body = [](this auto) -> Task<int> {
        auto stubborn = [](this auto, int n) -> Task<int> {
            co_await as_result(pause(1h));
            co_return n;
        };
        auto [a, b] = co_await when_all(stubborn(1), stubborn(2));
        co_return a + b;
    };
    auto outcome = test.run(body());
    test.scope().cancel();
    test.settle();
    EXPECT_EQ(outcome.value(), 3);
}

TEST_F(WhenAny, yields_the_first_and_cancels_and_waits_for_the_others) {
    bool unwound = false;
    auto body = [&](this auto) -> Task<> {
        auto first = co_await when_any(pause(5s), after(1s, 7), slow_to_unwind(2s, &unwound));
        EXPECT_EQ(first.index(), 1U);
        EXPECT_EQ(std::get<1>(first), 7);
        EXPECT_TRUE(unwound);
    };
    auto outcome = test.run(body());
    test.advance(1s);
    EXPECT_FALSE(outcome.done()) << "the others unwind first";
    test.advance(2s);
    EXPECT_TRUE(outcome.ok());
}

TEST_F(WhenAny, takes_a_vector) {
    auto body = [](this auto) -> Task<> {
        std::vector<Task<int>> tasks;
        for (int i = 0; i < 5; ++i) tasks.push_back(after(Duration{100 - i}, i));
        auto [index, value] = co_await when_any(std::move(tasks));
        EXPECT_EQ(index, 4U);
        EXPECT_EQ(value, 4);
    };
    auto outcome = test.run(body());
    test.advance(1s);
    EXPECT_TRUE(outcome.ok());
}

TEST_F(WhenAny, of_several_that_are_ready_at_once_the_first_wins) {
    auto body = [](this auto) -> Task<> {
        auto ready = [](this auto, int n) -> Task<int> { co_return n; };
        auto first = co_await when_any(ready(1), ready(2), pause(1h));
        EXPECT_EQ(first.index(), 0U);
        EXPECT_EQ(std::get<0>(first), 1);
    };
    EXPECT_TRUE(test.run(body()).ok());
}

TEST_F(WhenAny, an_error_of_the_first_is_thrown) {
    auto body = [](this auto) -> Task<> {
        co_await when_any(after(5s, 1), fail_after(1s, ErrorCode::draining));
    };
    auto outcome = test.run(body());
    test.advance(1s);
    EXPECT_EQ(outcome.error(), ErrorCode::draining);
    auto foreign = [](this auto) -> Task<> {
        auto bad = [](this auto) -> Task<int> {
            throw std::runtime_error{"foreign"};
            co_return 1;
        };
        co_await when_any(bad(), after(1h, 1));
    };
    EXPECT_EQ(test.run(foreign()).error(), ErrorCode::internal);
}

TEST_F(WhenAny, an_error_after_the_first_result_is_dropped_with_its_task) {
    auto body = [](this auto) -> Task<int> {
        auto first = co_await when_any(after(1s, 3), fail_after(1s, ErrorCode::draining));
        co_return static_cast<int>(first.index());
    };
    auto outcome = test.run(body());
    test.advance(1s);
    EXPECT_TRUE(outcome.done());
}

TEST_F(WhenAny, cancelling_it_cancels_the_tasks_waits_for_them_and_throws_cancelled) {
    bool unwound = false;
    auto body = [&](this auto) -> Task<> {
        co_await when_any(after(1s, 1), slow_to_unwind(2s, &unwound));
    };
    auto outcome = test.run(body());
    test.scope().cancel();
    test.settle();
    EXPECT_FALSE(outcome.done());
    test.advance(2s);
    EXPECT_TRUE(unwound);
    EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
}

TEST_F(WhenAny, an_error_that_is_a_tasks_value_is_a_value) {
    auto body = [](this auto) -> Task<ErrorCode> {
        auto make = [](this auto) -> Task<Error> {
            co_return Error{ErrorCode::not_found, "as a value"};
        };
        std::vector<Task<Error>> tasks;
        tasks.push_back(make());
        auto first = co_await when_any(std::move(tasks));
        co_return first.second.code();
    };
    auto outcome = test.run(body());
    ASSERT_TRUE(outcome.ok()) << outcome.message();
    EXPECT_EQ(outcome.value(), ErrorCode::not_found);
}

TEST_F(WhenAny, no_task_at_all_is_an_error_not_a_wait) {
    auto body = [](this auto) -> Task<> { co_await when_any(std::vector<Task<int>>{}); };
    EXPECT_EQ(test.run(body()).error(), ErrorCode::invalid_request);
}

}  // namespace
}  // namespace stator
