#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/stream_ops.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/runtime/loop_fixture.hpp"
#include "tests/runtime/recording_sink.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using StreamClose = test::OnLoop;

/// What happened, in order.
struct Trace {
    std::string text;
    void add(std::string_view what) { text += (text.empty() ? "" : " ") + std::string{what}; }
};

Task<> until_cancelled(Trace* trace) {
    try {
        co_await sleep_until(Deadline::never());
    } catch (const Error&) {
        trace->add("task");
        throw;
    }
}

/// A generator whose own frame owns tasks.
Stream<int> with_tasks(Trace* trace) {
    TaskScope scope{co_await current_token()};
    std::exception_ptr failure;
    try {
        scope.spawn(until_cancelled(trace));
        for (int i = 0;; ++i) co_yield i;
    } catch (...) {
        failure = std::current_exception();
    }
    co_await scope.close();
    trace->add("body");
    std::rethrow_exception(failure);
}

TEST_F(StreamClose, a_body_that_owns_tasks_ends_them_before_it_goes) {
    Trace trace;
    auto body = [](this auto, Trace* seen) -> Task<> {
        auto items = with_tasks(seen);
        EXPECT_EQ(co_await items.next(), 0);
        EXPECT_EQ(co_await items.next(), 1);
        co_await yield();  // the task has begun
        EXPECT_TRUE(items.at_yield());
        co_await items.close();
        EXPECT_FALSE(items.at_yield());
        EXPECT_FALSE(items.valid());
        EXPECT_EQ(co_await items.next(), std::nullopt);
        co_await items.close();
        seen->add("after");
    };
    EXPECT_TRUE(test.run(body(&trace)).ok());
    EXPECT_EQ(trace.text, "task body after");
}

TEST_F(StreamClose, works_for_a_consumer_that_was_cancelled) {
    Trace trace;
    const auto token = CancellationToken::make();
    auto consume = [](this auto, Trace* seen) -> Task<> {
        auto items = with_tasks(seen);
        EXPECT_EQ(co_await items.next(), 0);
        std::exception_ptr failure;
        try {
            co_await sleep_until(Deadline::never());
        } catch (...) {
            failure = std::current_exception();
        }
        co_await shielded(items.close());
        std::rethrow_exception(failure);
    };
    auto outcome = test.start(with_token(token, consume(&trace)));
    test.settle();
    token.cancel();
    test.settle();
    EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
    EXPECT_EQ(trace.text, "task body");
}

TEST_F(StreamClose, one_that_has_not_begun_never_begins_and_one_that_has_ended_stays_so) {
    Trace trace;
    auto none = [](this auto) -> Stream<int> { co_return; };
    auto body = [&](this auto) -> Task<> {
        auto items = with_tasks(&trace);
        EXPECT_FALSE(items.at_yield());
        co_await items.close();
        auto ended = none();
        EXPECT_EQ(co_await ended.next(), std::nullopt);
        co_await ended.close();
        Stream<int> empty;
        co_await empty.close();
    };
    EXPECT_TRUE(test.run(body()).ok());
    EXPECT_EQ(trace.text, "");
}

TEST_F(StreamClose, one_that_yields_nevertheless_is_told_again_and_then_dropped) {
    int caught = 0;
    auto stubborn = [&](this auto, std::shared_ptr<int> held) -> Stream<int> {
        for (;;) {
            try {
                co_yield *held;
            } catch (const Error&) {
                ++caught;
            }
        }
    };
    const auto alive = std::make_shared<int>(1);
    auto body = [&](this auto) -> Task<> {
        auto items = stubborn(alive);
        EXPECT_EQ(co_await items.next(), 1);
        co_await items.close();
    };
    EXPECT_TRUE(test.run(body()).ok());
    EXPECT_EQ(caught, 8);
    EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(StreamClose, an_error_on_the_way_out_is_reported) {
    const test::RecordingSink sink;
    auto fails = [](this auto) -> Stream<int> {
        try {
            co_yield 1;
        } catch (const Error&) {
            throw Error{ErrorCode::internal, "no way out"};
        }
    };
    auto body = [&](this auto) -> Task<> {
        auto items = fails();
        co_await items.next();
        co_await items.close();
    };
    EXPECT_TRUE(test.run(body()).ok());
    ASSERT_EQ(sink.reports().size(), 1U);
    EXPECT_THAT(sink.reports()[0], testing::HasSubstr("no way out"));
}

TEST_F(StreamClose, goes_through_streams_that_are_made_of_streams) {
    Trace trace;
    auto body = [](this auto, Trace* seen) -> Task<> {
        auto doubled = transformed(with_tasks(seen), [](int n) { return std::to_string(2 * n); });
        auto limited = until_deadline(std::move(doubled), Deadline::in(1h));
        EXPECT_EQ(co_await limited.next(), "0");
        EXPECT_EQ(co_await limited.next(), "2");
        co_await limited.close();
    };
    EXPECT_TRUE(test.run(body(&trace)).ok());
    EXPECT_EQ(trace.text, "task body");
}

TEST_F(StreamClose, transformed_ends_with_what_the_change_throws) {
    Trace trace;
    auto body = [](this auto, Trace* seen) -> Task<> {
        auto items = transformed(with_tasks(seen), [](int n) {
            if (n == 1) throw Error{ErrorCode::invalid_request, "one"};
            return n;
        });
        EXPECT_EQ(co_await items.next(), 0);
        co_await items.next();
    };
    EXPECT_EQ(test.run(body(&trace)).error(), ErrorCode::invalid_request);
    EXPECT_EQ(trace.text, "task body");
}

Stream<int> ticks(Duration period) {
    for (int i = 0;; ++i) {
        co_await sleep_for(period);
        co_yield i;
    }
}

TEST_F(StreamClose, until_deadline_ends_the_stream_there) {
    auto count = [](this auto, Stream<int> items) -> Task<int> {
        int seen = 0;
        while (co_await items.next()) ++seen;
        EXPECT_EQ(co_await items.next(), std::nullopt);
        co_return seen;
    };
    auto outcome =
        test.start(count(until_deadline(ticks(10ms), Deadline::at(test.clock().now() + 35ms))));
    for (int i = 0; i < 34; ++i) test.advance(1ms);
    EXPECT_FALSE(outcome.done());
    test.advance(1ms);
    ASSERT_TRUE(outcome.ok());
    EXPECT_EQ(outcome.value(), 3);
    auto late = test.run(count(until_deadline(ticks(1ms), Deadline::at(test.clock().now()))));
    EXPECT_EQ(late.value(), 0);
}

TEST_F(StreamClose, until_deadline_passes_on_errors_of_the_items) {
    auto fails = [](this auto) -> Stream<int> {
        co_yield 1;
        throw Error{ErrorCode::deadline_exceeded, "their own"};
    };
    auto body = [&](this auto) -> Task<> {
        auto items = until_deadline(fails(), Deadline::in(1h));
        EXPECT_EQ(co_await items.next(), 1);
        co_await items.next();
    };
    EXPECT_EQ(test.run(body()).error(), ErrorCode::deadline_exceeded);
}

}  // namespace
}  // namespace stator
