// Many connections that share what the process may hold.
#include <memory>
#include <thread>
#include <vector>

#include "tests/transport/mux_pair.hpp"
#include "tests/transport/mux_support.hpp"

namespace stator::transport::test {
namespace {

constexpr std::uint64_t mib = 1U << 20U;

/// Both sides of all pairs share one budget.
struct House {
    explicit House(std::uint64_t limit, std::size_t pairs) : budget{new BufferBudget{limit}} {
        auto config = windows();
        config.process = budget;
        EXPECT_TRUE(config.check());
        for (std::size_t i = 0; i < pairs; ++i) add(config);
    }
    void add(const MuxConfig& config) { pairs.push_back(std::make_unique<Pair>(config)); }
    std::uint64_t held() const {
        std::uint64_t sum = 0;
        for (const auto& pair : pairs) sum += pair->dialler.stats().held;
        return sum;
    }
    std::shared_ptr<BufferBudget> budget;
    std::vector<std::unique_ptr<Pair>> pairs;
};

TEST(BufferBudget, ReservesNoMoreThanThereIs) {
    BufferBudget budget{2000};
    EXPECT_TRUE(budget.reserve(600));
    EXPECT_FALSE(budget.reserve(401));
    EXPECT_TRUE(budget.reserve(400));
    budget.release(600);
    EXPECT_EQ(budget.reserved(), 400U);
    std::atomic<int> granted{0};
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] {
                for (int k = 0; k < 1000; ++k) granted += budget.reserve(1) ? 1 : 0;
            });
        }
    }
    EXPECT_EQ(granted, 600);
}

TEST(MuxBudget, AloneAConnectionHasItsWholeWindow) {
    House house{1024 * mib, 1};
    EXPECT_EQ(house.pairs[0]->dialler.stats().credit_in, mib);
    EXPECT_EQ(house.budget->windows(), 2 * mib);
}

TEST(MuxBudget, WindowsShrinkAsItIsUsedUp) {
    constexpr std::size_t count = 300;
    House house{64 * mib, count};
    const auto last = house.pairs.back()->dialler.stats().credit_in;
    EXPECT_EQ(last, std::int64_t{256} << 10U);
    // Half for windows, and the least window for each side of whoever came too late.
    EXPECT_LE(house.budget->windows(), 32 * mib + 2 * count * (256U << 10U));
    // Nobody takes what he gets.
    for (auto& pair : house.pairs) {
        for (int i = 0; i < 8; ++i) {
            send_until_wait(pair->acceptor, pair->open(CallShape::server_streaming), 992);
            pair->exchange();
        }
    }
    EXPECT_GT(house.held(), 32 * mib);
    EXPECT_LE(house.held(), 32 * mib + count * (512U << 10U));
    // Who does take it is served all the same.
    const auto config = [&] {
        auto of_all = windows();
        of_all.process = house.budget;
        return of_all;
    }();
    house.add(config);
    auto& late = *house.pairs.back();
    const auto id = late.open(CallShape::server_streaming);
    for (int round = 0; round < 2'000; ++round) {
        ASSERT_EQ(late.acceptor.send(id, item(992), false), SendStatus::more) << round;
        late.exchange();
        late.dialler.consumed(id, 992);
        late.exchange();
    }
}

TEST(MuxBudget, WindowsGrowAgainAndAllIsGivenBack) {
    House house{16 * mib, 60};
    auto& pair = *house.pairs.back();
    EXPECT_EQ(pair.dialler.stats().credit_in, std::int64_t{256} << 10U);
    house.pairs.erase(house.pairs.begin(), house.pairs.end() - 1);
    auto& left = *house.pairs.back();
    const auto id = left.open(CallShape::server_streaming);
    for (int round = 0; round < 2'000; ++round) {
        ASSERT_EQ(left.acceptor.send(id, item(992), false), SendStatus::more);
        left.exchange();
        left.dialler.consumed(id, 992);
        left.exchange();
    }
    EXPECT_GT(left.dialler.stats().credit_in, std::int64_t{256} << 10U);
    house.pairs.clear();
    EXPECT_EQ(house.budget->windows(), 0U);
    EXPECT_EQ(house.budget->reserved(), 0U);
}

TEST(MuxBudget, LargeMessagesOfAllConnectionsTakeTurns) {
    // Room for one message of 2 MiB at a time.
    House house{6 * mib, 2};
    std::vector<StreamId> ids;
    for (auto& pair : house.pairs) {
        ids.push_back(pair->open(CallShape::server_streaming));
        pair->acceptor.send(ids.back(), item(2 * mib), true);
        pair->exchange();
    }
    auto& first = *house.pairs[0];
    auto& second = *house.pairs[1];
    ASSERT_EQ(first.caller.messages[ids[0]].size(), 1U);
    EXPECT_EQ(second.caller.messages[ids[1]].size(), 0U);
    EXPECT_EQ(house.budget->reserved(), 2 * mib + 32);
    // Nobody tells the second one when there is room: it asks, after a while.
    first.dialler.consumed(ids[0], 2 * mib);
    second.exchange();
    EXPECT_EQ(second.caller.messages[ids[1]].size(), 0U);
    const auto due = second.dialler.next_timer();
    EXPECT_LE(due, TimePoint{} + 10ms);
    second.dialler.on_timer(due);
    second.exchange();
    EXPECT_EQ(second.caller.messages[ids[1]].size(), 1U);
}

TEST(MuxBudget, AMessageWhoseLastFragmentIsOnItsWayNeedsNoReservationAnyMore) {
    auto config = windows();
    config.large_budget = 2 * mib + 32;  // for one message
    Dialler caller{config};
    const auto large = caller.open(CallShape::server_streaming);
    const auto waiting = caller.open(CallShape::server_streaming);
    caller.feed(first_fragment(large, 2 * mib, std::string(mib / 32, 'x')));
    take_output(caller.session);
    for (int i = 1; i < 64; ++i)
        caller.feed(data(large, std::string(mib / 32, 'x'), i < 63 ? more_flag : 0U));
    ASSERT_EQ(caller.session.stats().reserved, 2 * mib + 32);
    // The next one waits for the budget, but what is taken before it gives it all the credit that
    // it needs.
    caller.feed(data(waiting, std::string(40'000, 'a')));
    caller.feed(first_fragment(waiting, 50'000, std::string(10'000, 'b')));
    caller.session.consumed(waiting, 40'000);
    take_output(caller.session);
    const auto last = data(waiting, std::string(40'000, 'c'), 0);
    caller.feed(last.substr(0, 100));
    caller.session.consumed(large, 2 * mib);
    caller.feed(last.substr(100));
    ASSERT_EQ(caller.handler.messages[waiting].size(), 2U);
    caller.session.consumed(waiting, 50'000);
    EXPECT_EQ(caller.session.stats().reserved, 0U);
    // And the books are right for what comes next.
    caller.feed(data(waiting, std::string(1'000, 'd')));
    caller.session.consumed(waiting, 1'000);
    EXPECT_EQ(caller.session.stats().held, 0U);
    EXPECT_EQ(caller.session.stats().reserved, 0U);
}

TEST(MuxBudget, MustHoldOneMessageAtLeast) {
    auto config = windows();
    config.process = std::make_shared<BufferBudget>(4 * mib);
    EXPECT_EQ(config.check().error().detail(), "mux.bad_config");
}

}  // namespace
}  // namespace stator::transport::test
