#include "stator/runtime/stream.hpp"

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using StreamTest = test::OnLoop;

Stream<int> count_to(int last) {
    for (int i = 1; i <= last; ++i) co_yield i;
}

/// Sets a flag when it is destroyed.
struct Mark {
    explicit Mark(int* gone_) : gone{gone_} {}
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;
    ~Mark() { ++*gone; }
    int* gone;
};

TEST_F(StreamTest, yields_items_in_order_then_nothing_for_ever) {
    auto body = [](this auto) -> Task<std::string> {
        std::string seen;
        auto numbers = count_to(3);
        while (auto n = co_await numbers.next()) seen += std::to_string(*n);
        for (int i = 0; i < 3; ++i) {
            if (co_await numbers.next()) seen += "again";
        }
        co_return seen;
    };
    EXPECT_EQ(test.run(body()).value(), "123");
}

TEST_F(StreamTest, an_empty_and_a_default_constructed_stream_end_at_once) {
    auto body = [](this auto) -> Task<bool> {
        auto empty = count_to(0);
        Stream<int> none;
        EXPECT_FALSE(none.valid());
        co_return (co_await empty.next()).has_value() || (co_await none.next()).has_value();
    };
    EXPECT_FALSE(test.run(body()).value());
}

TEST_F(StreamTest, the_body_runs_only_while_somebody_waits_for_an_item) {
    int made = 0;
    auto make = [&](this auto) -> Stream<int> {
        for (;;) co_yield ++made;
    };
    auto body = [&](this auto) -> Task<> {
        auto numbers = make();
        EXPECT_EQ(made, 0);
        co_await numbers.next();
        co_await yield();
        EXPECT_EQ(made, 1);
        co_await numbers.next();
        EXPECT_EQ(made, 2);
    };
    EXPECT_TRUE(test.run(body()).ok());
    EXPECT_EQ(made, 2);
}

TEST_F(StreamTest, dropping_it_at_a_yield_destroys_its_locals_there) {
    int gone = 0;
    bool went_on = false;
    auto make = [&](this auto) -> Stream<int> {
        Mark mark{&gone};
        co_yield 1;
        went_on = true;
        co_yield 2;
    };
    auto body = [&](this auto) -> Task<> {
        {
            auto numbers = make();
            co_await numbers.next();
            EXPECT_EQ(gone, 0);
        }
        EXPECT_EQ(gone, 1);
    };
    EXPECT_TRUE(test.run(body()).ok());
    EXPECT_FALSE(went_on);
}

TEST_F(StreamTest, dropping_it_unstarted_or_moving_it_is_free) {
    int gone = 0;
    auto make = [&](this auto) -> Stream<int> {
        Mark mark{&gone};
        co_yield 1;
    };
    auto body = [&](this auto) -> Task<> {
        {
            auto unstarted = make();
        }
        EXPECT_EQ(gone, 0) << "its body never began";
        auto first = make();
        co_await first.next();
        auto second = std::move(first);
        EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move)
        EXPECT_EQ(gone, 0);
        second = make();
        EXPECT_EQ(gone, 1);
        EXPECT_EQ(co_await second.next(), 1);
    };
    EXPECT_TRUE(test.run(body()).ok());
}

TEST_F(StreamTest, an_error_comes_after_the_items_and_then_nothing) {
    auto make = [](this auto) -> Stream<int> {
        co_yield 1;
        throw Error{ErrorCode::unavailable, "gone"};
    };
    auto body = [&](this auto) -> Task<> {
        auto numbers = make();
        EXPECT_EQ(co_await numbers.next(), 1);
        auto next = [&](this auto) -> Task<std::optional<int>> {
            co_return co_await numbers.next();
        };
        auto failed = co_await as_result(next());
        EXPECT_EQ(failed.error().code(), ErrorCode::unavailable);
        EXPECT_EQ(co_await numbers.next(), std::nullopt);
        EXPECT_EQ(co_await numbers.next(), std::nullopt);
    };
    EXPECT_TRUE(test.run(body()).ok());
}

TEST_F(StreamTest, items_may_be_move_only) {
    auto make = [](this auto) -> Stream<std::unique_ptr<int>> {
        co_yield std::make_unique<int>(5);
        auto named = std::make_unique<int>(6);
        co_yield std::move(named);
    };
    auto body = [&](this auto) -> Task<int> {
        auto items = make();
        auto first = co_await items.next();
        auto second = co_await items.next();
        co_return **first + **second;
    };
    EXPECT_EQ(test.run(body()).value(), 11);
}

TEST_F(StreamTest, each_next_gives_the_body_the_consumers_token_of_that_moment) {
    auto other = CancellationToken::make();
    auto make = [](this auto) -> Stream<CancellationToken> {
        for (;;) co_yield co_await current_token();
    };
    auto body = [&](this auto) -> Task<> {
        auto tokens = make();
        auto next = [&](this auto) -> Task<CancellationToken> {
            co_return (co_await tokens.next()).value();
        };
        EXPECT_EQ(co_await next(), test.token());
        EXPECT_EQ(co_await with_token(other, next()), other);
        EXPECT_EQ(co_await next(), test.token());
    };
    EXPECT_TRUE(test.run(body()).ok());
}

TEST_F(StreamTest, the_body_may_wait_and_is_cancelled_through_the_consumer) {
    int gone = 0;
    auto make = [&](this auto) -> Stream<int> {
        Mark mark{&gone};
        co_await sleep_for(1s);
        co_yield 1;
        co_await sleep_for(1h);
        co_yield 2;
    };
    int seen = 0;
    auto body = [&](this auto) -> Task<> {
        auto numbers = make();
        while (auto n = co_await numbers.next()) seen += *n;
    };
    auto outcome = test.run(body());
    test.advance(1s);
    EXPECT_EQ(seen, 1);
    EXPECT_FALSE(outcome.done());
    test.scope().cancel();
    test.settle();
    EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
    EXPECT_EQ(gone, 1);
    EXPECT_EQ(seen, 1);
}

TEST_F(StreamTest, streams_compose) {
    auto doubled = [](this auto, Stream<int> source) -> Stream<int> {
        while (auto n = co_await source.next()) co_yield *n * 2;
    };
    auto body = [&](this auto) -> Task<int> {
        auto numbers = doubled(doubled(count_to(100)));
        int sum = 0;
        while (auto n = co_await numbers.next()) sum += *n;
        co_return sum;
    };
    EXPECT_EQ(test.run(body()).value(), 4 * 5050);
}

}  // namespace
}  // namespace stator
