#include "stator/testing/seeded_scheduler.hpp"

#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/timer.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::for_each_seed;
using testing::SeededScheduler;

Task<> letters(char letter, std::string* into) {
    for (int i = 0; i < 3; ++i) {
        *into += letter;
        co_await yield();
    }
}

std::string interleaving(std::uint64_t seed) {
    std::string order;
    SeededScheduler scheduler{seed, 2};
    scheduler.spawn(0, letters('a', &order));
    scheduler.spawn(1, letters('b', &order));
    scheduler.spawn(1, letters('c', &order));
    scheduler.run_to_end();
    return order;
}

TEST(SeededScheduler, a_seed_is_an_interleaving_and_seeds_differ) {
    std::set<std::string> orders;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        orders.insert(interleaving(seed));
        EXPECT_EQ(interleaving(seed), interleaving(seed));
    }
    EXPECT_GT(orders.size(), 100U);
}

TEST(SeededScheduler, time_moves_only_when_nothing_is_ready) {
    SeededScheduler scheduler{1, 2};
    const auto begun = scheduler.clock().now();
    std::vector<int> order;
    auto sleeps = [&](this auto, Duration time, int name) -> Task<> {
        co_await sleep_for(time);
        order.push_back(name);
    };
    auto spins = [&](this auto) -> Task<> {
        for (int i = 0; i < 1000; ++i) co_await yield();
        EXPECT_EQ(scheduler.clock().now(), begun);
    };
    scheduler.spawn(0, sleeps(2h, 2));
    scheduler.spawn(1, sleeps(1h, 1));
    scheduler.spawn(0, spins());
    scheduler.run_to_end();
    EXPECT_EQ(order, (std::vector{1, 2}));
    EXPECT_EQ(scheduler.clock().now(), begun + 2h);
}

TEST(SeededScheduler, a_task_that_waits_for_ever_and_one_that_never_ends_are_named) {
    Event never;
    auto waits = [&](this auto) -> Task<> { co_await never.wait(); };
    SeededScheduler stuck{1};
    stuck.spawn(0, waits());
    EXPECT_THROW(stuck.run_to_end(), std::runtime_error);
    auto spins = [](this auto) -> Task<> {
        const auto token = co_await current_token();
        while (!token.cancelled()) co_await yield();
    };
    SeededScheduler busy{1};
    busy.spawn(0, spins());
    EXPECT_THROW(busy.run(100), std::runtime_error);
}

TEST(SeededScheduler, an_error_of_a_task_names_the_seed) {
    auto fails = [](this auto) -> Task<> {
        throw Error{ErrorCode::internal, "as planned"};
        co_return;
    };
    try {
        for_each_seed(5, [&](std::uint64_t seed) {
            SeededScheduler scheduler{seed};
            if (seed == 3) scheduler.spawn(0, fails());
            scheduler.run();
        });
        ADD_FAILURE() << "no error";
    } catch (const std::runtime_error& error) {
        EXPECT_THAT(error.what(), ::testing::StartsWith("seed 3: "));
        EXPECT_THAT(error.what(), ::testing::HasSubstr("as planned"));
    }
}

}  // namespace
}  // namespace stator
