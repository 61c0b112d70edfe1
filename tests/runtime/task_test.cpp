#include "stator/runtime/task.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator {
namespace {

using TaskTest = test::OnLoop;

Task<int> number(int value) { co_return value; }
Task<> nothing() { co_return; }
Task<int> failing(ErrorCode code) {
    throw Error{code, "on purpose"};
    co_return 0;
}
Task<int> failing_foreign() {
    throw std::runtime_error{"foreign"};
    co_return 0;
}

/// Counts what is alive, so that a lost or a double destruction shows.
struct Counted {
    explicit Counted(int* alive_) : alive{alive_} { ++*alive; }
    Counted(const Counted& other) : alive{other.alive} { ++*alive; }
    Counted(Counted&& other) noexcept : alive{other.alive} { ++*alive; }
    Counted& operator=(const Counted&) = default;
    ~Counted() { --*alive; }
    int* alive;
};

Task<int> sum_of(int count) {
    int sum = 0;
    for (int i = 0; i < count; ++i) sum += co_await number(i);
    co_return sum;
}

TEST_F(TaskTest, yields_its_value_to_the_awaiter) { EXPECT_EQ(test.run(sum_of(5)).value(), 10); }

TEST_F(TaskTest, starts_only_when_awaited) {
    bool started = false;
    auto body = [&](this auto) -> Task<> {
        started = true;
        co_return;
    };
    Task<> task = body();
    EXPECT_FALSE(started);
    auto outcome = test.start(std::move(task));
    EXPECT_FALSE(started) << "spawning starts a task in the next turn, not at once";
    test.settle();
    EXPECT_TRUE(started);
    EXPECT_TRUE(outcome.ok());
}

TEST_F(TaskTest, value_types_may_be_move_only_and_without_default_constructor) {
    struct NoDefault {
        explicit NoDefault(int n_) : n{n_} {}
        int n;
    };
    auto body = [](this auto) -> Task<std::unique_ptr<NoDefault>> {
        co_return std::make_unique<NoDefault>(7);
    };
    EXPECT_EQ(test.run(body()).value()->n, 7);
}

TEST_F(TaskTest, implicit_conversions_apply_to_the_returned_value) {
    auto body = [](this auto) -> Task<std::string> { co_return "text"; };
    EXPECT_EQ(test.run(body()).value(), "text");
}

TEST_F(TaskTest, exceptions_come_out_of_the_await) {
    auto body = [](this auto) -> Task<std::string> {
        try {
            co_await failing(ErrorCode::not_found);
        } catch (const Error& error) {
            co_return error.message();
        }
        co_return "not thrown";
    };
    EXPECT_EQ(test.run(body()).value(), "on purpose");
}

TEST_F(TaskTest, exceptions_pass_through_any_number_of_awaiters) {
    auto nested = [](this auto self, int depth) -> Task<int> {
        if (depth == 0) co_return co_await failing(ErrorCode::draining);
        co_return co_await self(depth - 1);
    };
    EXPECT_EQ(test.run(nested(50)).error(), ErrorCode::draining);
}

TEST_F(TaskTest, an_exception_that_nobody_takes_dies_with_the_task) {
    int alive = 0;
    auto body = [&](this auto) -> Task<> {
        Counted local{&alive};
        throw Error{ErrorCode::internal, "x"};
        co_return;
    };
    EXPECT_EQ(test.run(body()).error(), ErrorCode::internal);
    EXPECT_EQ(alive, 0);
}

TEST_F(TaskTest, destroying_an_unstarted_task_destroys_its_arguments) {
    int alive = 0;
    auto body = [](this auto, Counted) -> Task<> { co_return; };
    {
        Task<> task = body(Counted{&alive});
        EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
}

TEST_F(TaskTest, moving_leaves_the_source_empty_and_assigning_destroys_the_old_one) {
    int alive = 0;
    auto body = [](this auto, Counted) -> Task<> { co_return; };
    Task<> first = body(Counted{&alive});
    Task<> second = body(Counted{&alive});
    EXPECT_EQ(alive, 2);
    second = std::move(first);
    EXPECT_EQ(alive, 1);
    EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move)
    EXPECT_TRUE(second.valid());
    Task<>& same = second;
    second = std::move(same);
    EXPECT_TRUE(second.valid());
    EXPECT_EQ(alive, 1);
    EXPECT_FALSE(Task<>{}.valid());
}

TEST_F(TaskTest, locals_are_destroyed_when_it_ends_arguments_when_it_is_destroyed) {
    int locals = 0;
    int arguments = 0;
    auto inner = [&](this auto, Counted) -> Task<> {
        Counted local{&locals};
        co_return;
    };
    auto outer = [&](this auto) -> Task<> {
        Task<> task = inner(Counted{&arguments});
        co_await std::move(task);
        EXPECT_EQ(locals, 0);
        EXPECT_EQ(arguments, 1);
    };
    EXPECT_TRUE(test.run(outer()).ok());
    EXPECT_EQ(arguments, 0);
}

TEST_F(TaskTest, inherits_loop_and_token_through_every_level) {
    auto leaf = [this](this auto) -> Task<bool> {
        const Env& env = co_await current_env();
        co_return env.loop == &test.loop() && env.token == test.token() &&
            Loop::current() == &test.loop();
    };
    auto middle = [&](this auto) -> Task<bool> { co_return co_await leaf(); };
    EXPECT_TRUE(test.run(middle()).value());
}

TEST_F(TaskTest, with_token_replaces_the_token_below_and_nowhere_else) {
    auto token = CancellationToken::make();
    auto read = [](this auto) -> Task<CancellationToken> { co_return co_await current_token(); };
    auto body = [&](this auto) -> Task<> {
        EXPECT_EQ(co_await with_token(token, read()), token);
        EXPECT_EQ(co_await read(), test.token());
        EXPECT_FALSE(co_await shielded(read()));
    };
    EXPECT_TRUE(test.run(body()).ok());
}

TEST_F(TaskTest, a_shielded_task_is_not_reached_by_cancellation) {
    Event event;
    auto body = [&](this auto) -> Task<int> {
        auto wait = [&](this auto) -> Task<> { co_await event.wait(); };
        co_await shielded(wait());
        co_return 1;
    };
    auto outcome = test.run(body());
    test.scope().cancel();
    test.settle();
    EXPECT_FALSE(outcome.done());
    event.set();
    test.settle();
    EXPECT_EQ(outcome.value(), 1);
}

TEST_F(TaskTest, as_result_turns_errors_into_values) {
    auto body = [](this auto) -> Task<> {
        auto good = co_await as_result(number(3));
        EXPECT_EQ(good.value(), 3);
        auto bad = co_await as_result(failing(ErrorCode::overloaded));
        EXPECT_EQ(bad.error().code(), ErrorCode::overloaded);
        auto foreign = co_await as_result(failing_foreign());
        EXPECT_EQ(foreign.error().code(), ErrorCode::internal);
        EXPECT_NE(foreign.error().message().find("foreign"), std::string::npos);
        EXPECT_TRUE((co_await as_result(nothing())).has_value());
    };
    EXPECT_TRUE(test.run(body()).ok());
}

TEST_F(TaskTest, as_result_yields_cancelled_for_a_cancelled_task) {
    Event never;
    auto body = [&](this auto) -> Task<ErrorCode> {
        auto wait = [&](this auto) -> Task<> { co_await never.wait(); };
        auto result = co_await as_result(wait());
        co_return result.has_value() ? ErrorCode::internal : result.error().code();
    };
    auto outcome = test.run(body());
    test.scope().cancel(CancelReason::shutdown);
    test.settle();
    EXPECT_EQ(outcome.value(), ErrorCode::cancelled);
}

TEST_F(TaskTest, a_cancelled_wait_names_the_reason) {
    Event never;
    auto wait = [&](this auto) -> Task<> { co_await never.wait(); };
    auto outcome = test.run(wait());
    test.scope().cancel(CancelReason::peer_gone);
    test.settle();
    EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
    EXPECT_NE(outcome.message().find("peer_gone"), std::string::npos) << outcome.message();
}

TEST_F(TaskTest, yield_lets_everything_that_is_ready_run_first) {
    std::string order;
    auto body = [&](this auto, char name) -> Task<> {
        for (int i = 0; i < 3; ++i) {
            order += name;
            co_await yield();
        }
    };
    test.start(body('a'));
    test.start(body('b'));
    test.start(body('c'));
    test.settle();
    EXPECT_EQ(order, "abcabcabc");
}

}  // namespace
}  // namespace stator
