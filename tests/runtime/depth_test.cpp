// Awaiting costs no stack: built without optimisation and with -O2, run on a small stack.

#include <cstdint>

#include <gtest/gtest.h>

#include "stator/runtime/channel.hpp"
#include "stator/runtime/stream.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/runtime/small_stack.hpp"
#include "tests/support/iterations.hpp"

namespace stator {
namespace {

const auto million = test::iterations(1'000'000);

Task<int> one() { co_return 1; }
Task<> nothing() { co_return; }

Task<std::size_t> nested(std::size_t depth) {
    if (depth == 0) co_return 0;
    co_return co_await nested(depth - 1) + 1;
}

Task<> nested_failure(std::size_t depth) {
    if (depth == 0) throw Error{ErrorCode::internal, "from the deep"};
    co_await nested_failure(depth - 1);
}

Stream<std::size_t> count(std::size_t last) {
    for (std::size_t i = 0; i < last; ++i) co_yield i;
}

Stream<std::size_t> passed_on(std::size_t depth, std::size_t items) {
    auto source = depth == 0 ? count(items) : passed_on(depth - 1, items);
    while (auto item = co_await source.next()) co_yield *item;
}

/// Runs the task on a loop whose thread has little stack. The lowest and highest stack address at
/// which `touch` was called tell how much was used.
void run(Task<> task) {
    test::on_small_stack([&] {
        Loop loop;
        TaskScope scope;
        scope.spawn_on(loop, std::move(task));
        loop.run_until_idle();
        EXPECT_EQ(scope.size(), 0U);
    });
}

struct StackUse {
    void touch() {
        const auto address = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        lowest = address < lowest ? address : lowest;
        highest = address > highest ? address : highest;
    }
    std::size_t bytes() const { return highest - lowest; }
    std::uintptr_t lowest = UINTPTR_MAX;
    std::uintptr_t highest = 0;
};

TEST(Depth, a_million_sequential_awaits) {
    StackUse stack;
    auto body = [&](this auto) -> Task<> {
        std::size_t sum = 0;
        for (std::size_t i = 0; i < million; ++i) {
            sum += static_cast<std::size_t>(co_await one());
            stack.touch();
        }
        EXPECT_EQ(sum, million);
    };
    run(body());
    EXPECT_LT(stack.bytes(), 64U * 1024);
}

TEST(Depth, a_million_nested_awaits) {
    auto body = [](this auto) -> Task<> { EXPECT_EQ(co_await nested(million), million); };
    run(body());
}

TEST(Depth, an_exception_from_a_hundred_thousand_levels) {
    auto body = [](this auto) -> Task<> {
        auto result = co_await as_result(nested_failure(million / 10));
        EXPECT_EQ(result.error().message(), "from the deep");
    };
    run(body());
}

TEST(Depth, a_million_items_and_items_through_a_thousand_streams) {
    auto body = [](this auto) -> Task<> {
        std::size_t seen = 0;
        auto items = count(million);
        while (co_await items.next()) ++seen;
        EXPECT_EQ(seen, million);
        auto deep = passed_on(1000, 100);
        std::size_t sum = 0;
        while (auto item = co_await deep.next()) sum += *item;
        EXPECT_EQ(sum, 4950U);
    };
    run(body());
}

TEST(Depth, a_million_waits_that_need_not_wait) {
    auto body = [](this auto) -> Task<> {
        Event set;
        set.set();
        Channel<std::size_t> channel{1};
        for (std::size_t i = 0; i < million; ++i) {
            co_await set.wait();
            co_await channel.send(i);
            EXPECT_EQ(co_await channel.receive(), i);
        }
    };
    run(body());
}

TEST(Depth, a_million_waits_that_end_without_suspending_because_they_are_cancelled) {
    auto body = [](this auto) -> Task<> {
        Event never;
        auto wait = [&](this auto) -> Task<> { co_await never.wait(); };
        const auto token = CancellationToken::make();
        token.cancel();
        for (std::size_t i = 0; i < million / 10; ++i) {
            auto result = co_await as_result(with_token(token, wait()));
            EXPECT_EQ(result.error().code(), ErrorCode::cancelled);
        }
    };
    run(body());
}

TEST(Depth, a_hundred_thousand_tasks_that_spawn_the_next) {
    auto body = [](this auto) -> Task<> {
        TaskScope scope;
        std::size_t ran = 0;
        auto next = [&](this auto self, std::size_t left) -> Task<> {
            ++ran;
            if (left > 0) scope.spawn(self(left - 1));
            co_await nothing();
        };
        scope.spawn(next(million / 10));
        co_await scope.join();
        EXPECT_EQ(ran, million / 10 + 1);
    };
    run(body());
}

}  // namespace
}  // namespace stator
