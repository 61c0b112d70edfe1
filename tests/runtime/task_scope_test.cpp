#include "stator/runtime/task_scope.hpp"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/event.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator {
namespace {

using TaskScopeTest = test::OnLoop;

Task<> wait_on(Event* event) { co_await event->wait(); }
Task<> fail_with(ErrorCode code) {
    throw Error{code, "on purpose"};
    co_return;
}

class Reports final : public Sink {
public:
    Reports() { set_sink(this); }
    ~Reports() override { set_sink(nullptr); }
    void report(
        Severity, std::string_view, std::string_view message, std::source_location
    ) noexcept override {
        text += std::string{message} + "\n";
    }
    void count(std::string_view, std::uint64_t) noexcept override {}
    void gauge(std::string_view, double) noexcept override {}
    std::string text;
};

TEST_F(TaskScopeTest, join_waits_for_all_also_for_those_spawned_meanwhile) {
    TaskScope scope;
    Event first;
    Event second;
    auto spawner = [&](this auto) -> Task<> {
        co_await first.wait();
        scope.spawn(wait_on(&second));
    };
    scope.spawn_on(test.loop(), spawner());
    auto joined = test.run(scope.join());
    EXPECT_EQ(scope.size(), 1U);
    first.set();
    test.settle();
    EXPECT_EQ(scope.size(), 1U);
    EXPECT_FALSE(joined.done());
    second.set();
    test.settle();
    EXPECT_EQ(scope.size(), 0U);
    EXPECT_TRUE(joined.ok());
    EXPECT_TRUE(test.run(scope.join()).ok()) << "an empty scope is joined at once";
}

TEST_F(TaskScopeTest, several_may_join_and_be_cancelled_while_the_tasks_go_on) {
    TaskScope scope;
    Event event;
    scope.spawn_on(test.loop(), wait_on(&event));
    const auto impatient = CancellationToken::make();
    auto cancelled = test.run(with_token(impatient, scope.join()));
    auto patient = test.run(scope.join());
    impatient.cancel();
    test.settle();
    EXPECT_EQ(cancelled.error(), ErrorCode::cancelled);
    EXPECT_EQ(scope.size(), 1U);
    event.set();
    test.settle();
    EXPECT_TRUE(patient.ok());
}

TEST_F(TaskScopeTest, close_cancels_with_the_reason_and_waits_for_the_clean_up) {
    TaskScope scope;
    Event never;
    Event cleaned;
    std::string seen;
    auto body = [&](this auto) -> Task<> {
        auto ended = co_await as_result(wait_on(&never));
        seen = ended.error().message();
        co_await shielded(wait_on(&cleaned));
    };
    scope.spawn_on(test.loop(), body());
    test.settle();
    auto closed = test.run(scope.close(CancelReason::shutdown));
    EXPECT_NE(seen.find("shutdown"), std::string::npos) << seen;
    EXPECT_FALSE(closed.done());
    cleaned.set();
    test.settle();
    EXPECT_TRUE(closed.ok());
}

TEST_F(TaskScopeTest, close_waits_even_when_its_own_task_is_cancelled) {
    TaskScope scope;
    Event cleaned;
    scope.spawn_on(test.loop(), shielded(wait_on(&cleaned)));
    const auto token = CancellationToken::make();
    token.cancel();
    auto closed = test.run(with_token(token, scope.close()));
    EXPECT_FALSE(closed.done());
    cleaned.set();
    test.settle();
    EXPECT_TRUE(closed.ok());
}

TEST_F(TaskScopeTest, the_first_error_cancels_the_others_and_comes_out_of_join) {
    TaskScope scope;
    Event never;
    Event go;
    auto fail_later = [&](this auto, ErrorCode code) -> Task<> {
        co_await go.wait();
        co_await fail_with(code);
    };
    scope.spawn_on(test.loop(), wait_on(&never));
    scope.spawn_on(test.loop(), fail_later(ErrorCode::not_found));
    scope.spawn_on(test.loop(), fail_later(ErrorCode::overloaded));
    auto joined = test.run(scope.join());
    EXPECT_FALSE(scope.token().cancelled());
    go.set();
    test.settle();
    EXPECT_TRUE(scope.token().cancelled());
    EXPECT_EQ(scope.size(), 0U);
    EXPECT_EQ(joined.error(), ErrorCode::not_found);
    EXPECT_TRUE(test.run(scope.join()).ok()) << "an error is thrown once";
}

TEST_F(TaskScopeTest, a_foreign_exception_counts_as_an_error_cancelled_does_not) {
    TaskScope scope;
    scope.spawn_on(test.loop(), fail_with(ErrorCode::cancelled));
    test.settle();
    EXPECT_FALSE(scope.token().cancelled());
    auto foreign = [](this auto) -> Task<> {
        throw std::runtime_error{"foreign"};
        co_return;
    };
    scope.spawn_on(test.loop(), foreign());
    test.settle();
    EXPECT_TRUE(scope.token().cancelled());
    auto join = [&](this auto) -> Task<std::string> {
        try {
            co_await scope.join();
        } catch (const std::runtime_error& error) {
            co_return error.what();
        }
        co_return "nothing";
    };
    EXPECT_EQ(test.run(join()).value(), "foreign");
}

TEST_F(TaskScopeTest, close_reports_an_error_that_nobody_joined_for) {
    Reports reports;
    TaskScope scope;
    scope.spawn_on(test.loop(), fail_with(ErrorCode::not_found));
    test.settle();
    EXPECT_TRUE(test.run(scope.close()).ok());
    EXPECT_NE(reports.text.find("not_found"), std::string::npos) << reports.text;
}

TEST_F(TaskScopeTest, destroying_a_scope_reports_an_error_that_nobody_took) {
    Reports reports;
    {
        TaskScope scope;
        scope.spawn_on(test.loop(), fail_with(ErrorCode::not_found));
        test.settle();
    }
    EXPECT_NE(reports.text.find("not_found"), std::string::npos) << reports.text;
}

TEST_F(TaskScopeTest, its_token_is_a_child_of_the_one_it_was_made_with) {
    const auto parent = CancellationToken::make();
    TaskScope scope{parent};
    Event never;
    scope.spawn_on(test.loop(), wait_on(&never));
    test.settle();
    scope.cancel(CancelReason::deadline);
    EXPECT_FALSE(parent.cancelled());
    EXPECT_EQ(scope.token().reason(), CancelReason::deadline);
    test.settle();
    TaskScope other{parent};
    other.spawn_on(test.loop(), wait_on(&never));
    test.settle();
    parent.cancel();
    test.settle();
    EXPECT_EQ(other.size(), 0U);
}

TEST_F(TaskScopeTest, a_task_spawned_under_a_cancelled_token_runs_to_its_first_wait) {
    TaskScope scope;
    scope.cancel();
    Event never;
    int reached = 0;
    auto body = [&](this auto) -> Task<> {
        ++reached;
        co_await never.wait();
        ++reached;
    };
    scope.spawn_on(test.loop(), body());
    test.settle();
    EXPECT_EQ(reached, 1);
    EXPECT_EQ(scope.size(), 0U);
}

TEST_F(TaskScopeTest, what_a_task_holds_is_gone_before_join_returns) {
    TaskScope scope;
    auto held = std::make_shared<int>(1);
    std::weak_ptr<int> watch = held;
    auto body = [](this auto, std::shared_ptr<int>) -> Task<> { co_return; };
    scope.spawn_on(test.loop(), body(std::move(held)));
    bool gone = false;
    auto join = [&](this auto) -> Task<> {
        co_await scope.join();
        gone = watch.expired();
    };
    EXPECT_TRUE(test.run(join()).ok());
    EXPECT_TRUE(gone);
}

TEST_F(TaskScopeTest, tasks_run_on_the_loop_that_was_named) {
    test::TestLoop other;
    TaskScope scope;
    Event event;
    Loop* first = nullptr;
    Loop* after_wait = nullptr;
    auto body = [&](this auto) -> Task<> {
        first = Loop::current();
        co_await event.wait();
        after_wait = Loop::current();
    };
    scope.spawn_on(other.loop(), body());
    auto joined = test.run(scope.join());
    EXPECT_EQ(first, nullptr);
    other.settle();
    EXPECT_EQ(first, &other.loop());
    auto set = [&](this auto) -> Task<> {
        event.set();
        co_return;
    };
    test.run(set());
    EXPECT_EQ(after_wait, nullptr);
    other.settle();
    EXPECT_EQ(after_wait, &other.loop());
    EXPECT_FALSE(joined.done());
    test.settle();
    EXPECT_TRUE(joined.ok());
}

TEST_F(TaskScopeTest, its_last_task_may_end_the_owner_of_the_scope) {
    struct Owner {
        Event done;
        TaskScope scope;
    };
    auto owner = std::make_unique<Owner>();
    auto body = [](this auto) -> Task<> { co_return; };
    owner->scope.spawn_on(test.loop(), body());
    auto end = [&](this auto) -> Task<> {
        co_await owner->scope.join();
        owner.reset();
    };
    EXPECT_TRUE(test.run(end()).ok());
    EXPECT_EQ(owner, nullptr);
}

TEST_F(TaskScopeTest, a_hundred_thousand_tasks_come_and_go) {
    TaskScope scope;
    int ran = 0;
    auto body = [&](this auto) -> Task<> {
        ++ran;
        co_return;
    };
    for (int i = 0; i < 100'000; ++i) scope.spawn_on(test.loop(), body());
    test.settle();
    EXPECT_EQ(ran, 100'000);
    EXPECT_EQ(scope.size(), 0U);
}

TEST(TaskScopeDeathTest, destroying_one_whose_tasks_run_ends_the_process_with_a_message) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(
        {
            Loop loop;
            Event never;
            {
                TaskScope scope;
                scope.spawn_on(loop, wait_on(&never));
                scope.spawn_on(loop, wait_on(&never));
                loop.run_until_idle();
            }
        },
        "TaskScope was destroyed while 2 of its tasks run"
    );
}

}  // namespace
}  // namespace stator
