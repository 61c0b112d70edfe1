#include "stator/runtime/timer.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using TimerTest = test::OnLoop;

Task<> sleep(Duration duration) { co_await sleep_for(duration); }
Task<> wait_on(Event* event) { co_await event->wait(); }

TEST_F(TimerTest, sleep_ends_when_the_clock_gets_there_and_no_earlier) {
    auto outcome = test.run(sleep(100ms));
    test.advance(99ms);
    EXPECT_FALSE(outcome.done());
    test.advance(1ms);
    EXPECT_TRUE(outcome.ok());
}

TEST_F(TimerTest, past_and_zero_durations_end_in_the_next_turn) {
    EXPECT_TRUE(test.run(sleep(0ns)).ok());
    EXPECT_TRUE(test.run(sleep(-1h)).ok());
    auto at = [this](this auto) -> Task<> {
        co_await sleep_until(Deadline::at(test.clock().now() - 1s));
    };
    EXPECT_TRUE(test.run(at()).ok());
}

TEST_F(TimerTest, a_duration_too_long_to_represent_and_never_wait_for_a_cancel) {
    auto longest = test.run(sleep(Duration::max()));
    auto never = [](this auto) -> Task<> { co_await sleep_until(Deadline::never()); };
    auto for_ever = test.run(never());
    test.advance(100 * 365 * 24h);
    EXPECT_FALSE(longest.done());
    EXPECT_FALSE(for_ever.done());
    test.scope().cancel();
    test.settle();
    EXPECT_EQ(longest.error(), ErrorCode::cancelled);
    EXPECT_EQ(for_ever.error(), ErrorCode::cancelled);
}

TEST_F(TimerTest, sleepers_end_in_the_order_of_their_deadlines) {
    std::vector<int> order;
    auto sleeper = [&](this auto, int delay) -> Task<> {
        co_await sleep_for(Duration{delay});
        order.push_back(delay);
    };
    std::vector<int> delays(500);
    for (std::size_t i = 0; i < delays.size(); ++i) delays[i] = static_cast<int>(i / 2 + 1);
    std::vector<int> expected = delays;
    std::shuffle(delays.begin(), delays.end(), std::mt19937{7});
    for (const int delay : delays) test.start(sleeper(delay));
    test.settle();
    test.advance(1us);
    EXPECT_EQ(order, expected);
}

TEST_F(TimerTest, cancelling_some_leaves_the_others_in_order) {
    std::vector<int> order;
    auto sleeper = [&](this auto, int delay) -> Task<> {
        co_await sleep_for(Duration{delay});
        order.push_back(delay);
    };
    const auto token = CancellationToken::make();
    std::mt19937 random{11};
    std::vector<int> expected;
    for (int i = 0; i < 500; ++i) {
        const int delay = 1 + static_cast<int>(random() % 1000);
        if (random() % 2 == 0) {
            test.start(with_token(token.child_token(), sleeper(delay)));
        } else {
            test.start(sleeper(delay));
            expected.push_back(delay);
        }
    }
    std::sort(expected.begin(), expected.end());
    test.settle();
    token.cancel();
    test.advance(2us);
    EXPECT_EQ(order, expected);
}

TEST_F(TimerTest, a_cancelled_sleep_throws_and_one_that_was_due_first_does_not) {
    const auto token = CancellationToken::make();
    auto cancelled = test.run(with_token(token, sleep(1s)));
    token.cancel(CancelReason::shutdown);
    test.settle();
    EXPECT_EQ(cancelled.error(), ErrorCode::cancelled);
    EXPECT_NE(cancelled.message().find("shutdown"), std::string::npos);
    test.advance(2s);
    EXPECT_EQ(cancelled.times(), 1);
    EXPECT_EQ(test.run(with_token(token, sleep(1s))).error(), ErrorCode::cancelled);
}

/// The order of two things that fall into one turn.
TEST_F(TimerTest, timer_and_cancel_in_one_turn_wake_once) {
    const auto token = CancellationToken::make();
    test::TestLoop other;
    auto sleeper = other.run(with_token(token, sleep(1s)));
    auto cancel = [&](this auto) -> Task<> {
        token.cancel();
        co_return;
    };
    other.clock().advance(1s);
    test.run(cancel());  // the hop is in the inbox of the other loop when its timer is due
    other.settle();
    EXPECT_EQ(sleeper.times(), 1);
    EXPECT_EQ(sleeper.error(), ErrorCode::cancelled) << "the inbox is taken before timers fire";
}

TEST_F(TimerTest, of_two_that_are_due_together_the_first_may_cancel_the_second_which_wakes_once) {
    for (const bool with_stop : {false, true}) {
        std::vector<CancellationToken> tokens;
        int slept = 0;
        int woken_again = 0;
        auto sleeper = [&](this auto, std::size_t i) -> Task<> {
            with_stop ? void(co_await sleep_for(1s, CancellationToken::make()))
                      : co_await sleep_for(1s);
            ++slept;
            for (const auto& token : tokens) token.cancel();
            co_await yield();
            if (i == 0) co_await yield();
            ++woken_again;
        };
        std::vector<test::Outcome<void>> outcomes;
        for (std::size_t i = 0; i < 3; ++i) {
            tokens.push_back(CancellationToken::make());
            outcomes.push_back(test.run(with_token(tokens.back(), sleeper(i))));
        }
        test.advance(1s);
        EXPECT_EQ(slept, 3) << "all were due before the first cancelled";
        EXPECT_EQ(woken_again, 3);
        for (const auto& outcome : outcomes) EXPECT_EQ(outcome.times(), 1);
    }
}

Task<bool> sleep_or_stop(Duration duration, CancellationToken stop) {
    return sleep_for(duration, std::move(stop));
}

TEST_F(TimerTest, sleep_with_a_stop_token_is_true_at_its_time_and_false_when_stopped) {
    const auto stop = CancellationToken::make();
    auto slept = test.run(sleep_or_stop(1s, stop));
    auto stopped = test.run(sleep_or_stop(2s, stop));
    test.advance(1s);
    EXPECT_TRUE(slept.value());
    EXPECT_FALSE(stopped.done());
    stop.cancel();
    test.settle();
    EXPECT_FALSE(stopped.value());
    EXPECT_FALSE(test.run(sleep_or_stop(1s, stop)).value()) << "had fired before";
    auto until = [&](this auto) -> Task<bool> {
        co_return co_await sleep_until(Deadline::in(1s), stop.child_token());
    };
    EXPECT_FALSE(test.run(until()).value());
}

TEST_F(TimerTest, sleep_with_a_stop_token_throws_when_only_the_tasks_own_token_fires) {
    const auto own = CancellationToken::make();
    const auto stop = CancellationToken::make();
    auto outcome = test.run(with_token(own, sleep_or_stop(1s, stop)));
    own.cancel();
    test.settle();
    EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
    stop.cancel();
    test.advance(2s);
    EXPECT_EQ(outcome.times(), 1);
    EXPECT_EQ(
        test.run(with_token(own, sleep_or_stop(1s, CancellationToken::make()))).error(),
        ErrorCode::cancelled
    );
}

TEST_F(TimerTest, a_stop_token_that_is_above_the_tasks_own_answers_false) {
    const auto root = CancellationToken::make();
    test::TestLoop inner{root};
    auto above = inner.run(sleep_or_stop(1s, root));
    auto same = inner.run(sleep_or_stop(1s, inner.token()));
    root.cancel();
    inner.settle();
    EXPECT_FALSE(above.value());
    EXPECT_FALSE(same.value());
}

TEST_F(TimerTest, with_deadline_returns_the_result_or_throws_deadline_exceeded) {
    auto value = [](this auto, Duration after) -> Task<int> {
        co_await sleep_for(after);
        co_return 5;
    };
    auto on_time = [&](this auto, Duration after) -> Task<int> {
        co_return co_await with_deadline(Deadline::in(1s), value(after));
    };
    auto early = test.run(on_time(999ms));
    auto late = test.run(on_time(1001ms));
    test.advance(999ms);
    EXPECT_EQ(early.value(), 5);
    EXPECT_FALSE(late.done());
    test.advance(1ms);
    EXPECT_EQ(late.error(), ErrorCode::deadline_exceeded);
    auto never = [&](this auto) -> Task<int> {
        co_return co_await with_deadline(Deadline::never(), value(1h));
    };
    auto unbounded = test.run(never());
    test.advance(1h);
    EXPECT_EQ(unbounded.value(), 5);
}

TEST_F(TimerTest, with_deadline_waits_until_the_task_has_unwound) {
    Event never;
    Event cleaned;
    auto stubborn = [&](this auto) -> Task<> {
        auto ended = co_await as_result(wait_on(&never));
        co_await shielded(wait_on(&cleaned));
        throw ended.error();
    };
    auto body = [&](this auto) -> Task<> { co_await with_deadline(Deadline::in(1s), stubborn()); };
    auto outcome = test.run(body());
    test.advance(5s);
    EXPECT_FALSE(outcome.done());
    cleaned.set();
    test.settle();
    EXPECT_EQ(outcome.error(), ErrorCode::deadline_exceeded);
}

TEST_F(TimerTest, with_deadline_keeps_the_tasks_own_outcome_in_spite_of_the_deadline) {
    Event never;
    auto has_result = [&](this auto) -> Task<int> {
        auto ended = co_await as_result(wait_on(&never));
        co_return 3;
    };
    auto has_error = [&](this auto) -> Task<int> {
        auto ended = co_await as_result(wait_on(&never));
        throw Error{ErrorCode::not_found, "x"};
        co_return 0;
    };
    auto bounded = [](this auto, Task<int> task) -> Task<int> {
        co_return co_await with_deadline(Deadline::in(1s), std::move(task));
    };
    auto result = test.run(bounded(has_result()));
    auto error = test.run(bounded(has_error()));
    test.advance(1s);
    EXPECT_EQ(result.value(), 3);
    EXPECT_EQ(error.error(), ErrorCode::not_found);
}

TEST_F(TimerTest, a_cancel_from_above_stays_cancelled_even_if_the_deadline_passes_while_unwinding) {
    Event never;
    Event cleaned;
    auto stubborn = [&](this auto) -> Task<> {
        auto ended = co_await as_result(wait_on(&never));
        co_await shielded(wait_on(&cleaned));
        throw ended.error();
    };
    auto body = [&](this auto) -> Task<> { co_await with_deadline(Deadline::in(1s), stubborn()); };
    auto outcome = test.run(body());
    test.scope().cancel();
    test.settle();
    test.advance(5s);
    cleaned.set();
    test.settle();
    EXPECT_EQ(outcome.error(), ErrorCode::cancelled) << outcome.message();
}

TEST_F(TimerTest, deadlines_nest_and_the_earliest_counts) {
    Event never;
    auto inner = [&](this auto) -> Task<> {
        co_await with_deadline(Deadline::in(10s), wait_on(&never));
    };
    auto outer = [&](this auto) -> Task<> { co_await with_deadline(Deadline::in(1s), inner()); };
    auto outcome = test.run(outer());
    test.advance(1s);
    EXPECT_EQ(outcome.error(), ErrorCode::deadline_exceeded);
    auto other_way = [&](this auto) -> Task<ErrorCode> {
        auto bounded = [&](this auto) -> Task<> {
            co_await with_deadline(Deadline::in(1s), wait_on(&never));
        };
        auto result = co_await as_result(with_deadline(Deadline::in(10s), bounded()));
        co_return result.error().code();
    };
    auto second = test.run(other_way());
    test.advance(1s);
    EXPECT_EQ(second.value(), ErrorCode::deadline_exceeded);
}

TEST_F(TimerTest, the_reason_below_a_deadline_is_deadline) {
    Event never;
    CancelReason seen = CancelReason::none;
    auto body = [&](this auto) -> Task<> {
        const auto token = co_await current_token();
        auto ended = co_await as_result(wait_on(&never));
        seen = token.reason();
        throw ended.error();
    };
    auto bounded = [&](this auto) -> Task<> { co_await with_deadline(Deadline::in(1s), body()); };
    test.run(bounded());
    test.advance(1s);
    EXPECT_EQ(seen, CancelReason::deadline);
}

}  // namespace
}  // namespace stator
