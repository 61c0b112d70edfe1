// The rules of routing as what they are: functions of numbers.
#include "component/policy.hpp"

#include <cmath>
#include <map>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "component/load_book.hpp"
#include "component/load_table.hpp"
#include "component/selection.hpp"
#include "stator/component/overload.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

TEST(BetterOfTwo, NeverTheWorstOfThree) {
    Random random{1};
    const std::vector<int> loads{5, 9, 1};
    std::map<std::size_t, int> chosen;
    for (int i = 0; i < 3000; ++i)
        ++chosen[policy::better_of_two(3, random, [&](std::size_t at) { return loads[at]; })];
    EXPECT_EQ(chosen[1], 0);
    EXPECT_NEAR(chosen[2], 2000, 150);
    EXPECT_NEAR(chosen[0], 1000, 150);
    EXPECT_EQ(policy::better_of_two(1, random, [](std::size_t) { return 0; }), 0U);
}

TEST(BetterOfTwo, EqualOnesAreChosenEqually) {
    Random random{2};
    std::vector<int> chosen(4);
    for (int i = 0; i < 8000; ++i)
        ++chosen[policy::better_of_two(4, random, [](std::size_t) { return 0; })];
    for (const int count : chosen) EXPECT_NEAR(count, 2000, 200);
}

TEST(Lowest, TheFirstFromTheStart) {
    const std::vector<int> loads{3, 1, 2, 1};
    const auto load = [&](std::size_t at) { return loads[at]; };
    EXPECT_EQ(policy::lowest(4, 0, load), 1U);
    EXPECT_EQ(policy::lowest(4, 2, load), 3U);
    EXPECT_EQ(policy::lowest(4, 7, load), 3U);
}

TEST(CpuHasRoom, WhenItsShareIsNoMoreThanTheAccelerators) {
    using policy::cpu_has_room;
    EXPECT_FALSE(cpu_has_room({0, 1}, {0, 1}, 8));
    EXPECT_FALSE(cpu_has_room({0, 1}, {7, 1}, 8));
    EXPECT_TRUE(cpu_has_room({0, 1}, {8, 1}, 8));
    EXPECT_FALSE(cpu_has_room({1, 1}, {15, 1}, 8));
    EXPECT_TRUE(cpu_has_room({1, 2}, {8, 1}, 8));
    EXPECT_FALSE(cpu_has_room({1, 1}, {24, 2}, 8));
    // Who is alone gets everything; a weight of nothing counts as one.
    EXPECT_TRUE(cpu_has_room({9, 1}, {0, 0}, 8));
    EXPECT_FALSE(cpu_has_room({0, 0}, {100, 1}, 8));
    EXPECT_TRUE(cpu_has_room({0, 1}, {1, 1}, 0));
}

TEST(OwnerOf, MovesOnlyWhatItMust) {
    std::vector<std::uint64_t> ids(10);
    std::iota(ids.begin(), ids.end(), 100);
    const auto owner = [&ids](std::uint64_t key) {
        return ids[policy::owner_of(key, ids.size(), [&](std::size_t i) { return ids[i]; })];
    };
    std::map<std::uint64_t, std::uint64_t> before;
    std::map<std::uint64_t, int> shares;
    for (std::uint64_t key = 0; key < 5000; ++key) ++shares[before[key] = owner(key)];
    for (const auto id : ids) EXPECT_NEAR(shares[id], 500, 120);
    std::ranges::reverse(ids);
    for (std::uint64_t key = 0; key < 5000; ++key) ASSERT_EQ(owner(key), before[key]);
    std::erase(ids, 104);
    for (std::uint64_t key = 0; key < 5000; ++key) {
        if (before[key] != 104) ASSERT_EQ(owner(key), before[key]);
    }
}

TEST(PeakEwma, RisesAtOnceFallsSlowlyAndForgets) {
    policy::PeakEwma latency;
    const TimePoint begin{1h};
    EXPECT_EQ(latency.value(begin, 10s), 0);
    latency.observe(10ms, begin, 10s);
    EXPECT_EQ(latency.value(begin, 10s), 10e6);
    latency.observe(100ms, begin + 1ms, 10s);
    EXPECT_EQ(latency.value(begin + 1ms, 10s), 100e6);
    latency.observe(10ms, begin + 2ms, 10s);
    EXPECT_GT(latency.value(begin + 2ms, 10s), 99e6);
    latency.observe(10ms, begin + 10s, 10s);
    EXPECT_NEAR(latency.value(begin + 10s, 10s), 43e6, 2e6);
    EXPECT_LT(latency.value(begin + 60s, 10s), 1e6);
    EXPECT_EQ(latency.value(begin + 1h, 10s), 0);
}

TEST(PeakEwma, WhatIsUnknownIsTriedOnceAtATime) {
    EXPECT_EQ(policy::peak_ewma_score(0, 0), 0);
    EXPECT_GT(policy::peak_ewma_score(0, 1), policy::peak_ewma_score(1e12, 100));
    EXPECT_LT(policy::peak_ewma_score(1e6, 5), policy::peak_ewma_score(10e6, 0));
}

TEST(HedgeBudget, IsAShareOfTheCalls) {
    policy::HedgeBudget budget{0.1};
    int hedges = 0;
    for (int i = 0; i < 1000; ++i) {
        budget.call();
        if (budget.take()) ++hedges;
    }
    EXPECT_NEAR(hedges, 100, 2);
    for (int i = 0; i < 10000; ++i) budget.call();
    hedges = 0;
    while (budget.take()) ++hedges;
    EXPECT_EQ(hedges, 10);
}

TEST(LoadTable, OneOwnerPerField) {
    LoadTable table;
    ASSERT_TRUE(table.claim("blocks", "metrics"));
    const auto second = table.claim("blocks", "router");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().detail(), "component.load_field_owned");
    EXPECT_NE(second.error().message().find("metrics"), std::string::npos);
    table.release("blocks");
    EXPECT_TRUE(table.claim("blocks", "router"));
}

TEST(LoadTable, BusyAboveTheThresholdUntilTheReportIsOld) {
    LoadTable table;
    const TimePoint now{1h};
    const InstanceId a{1};
    table.claim("blocks", "metrics").value();
    table.report("blocks", a, 95, now + 1s);
    EXPECT_FALSE(table.busy(a, now));
    table.set_threshold("blocks", 90);
    ASSERT_TRUE(table.busy(a, now));
    EXPECT_EQ(*table.busy(a, now)->field, "blocks");
    EXPECT_EQ(table.busy(a, now)->value, 95);
    EXPECT_FALSE(table.busy(InstanceId{2}, now));
    EXPECT_FALSE(table.busy(a, now + 1s));
    table.report("blocks", a, 90, now + 2s);
    EXPECT_FALSE(table.busy(a, now));
    table.report("blocks", a, std::nan(""), now + 2s);
    EXPECT_FALSE(table.busy(a, now));
    table.report("blocks", a, 91, now + 2s);
    table.release("blocks");
    EXPECT_FALSE(table.busy(a, now));
    table.report("blocks", a, 91, now + 2s);
    table.set_threshold("blocks", std::nullopt);
    EXPECT_FALSE(table.busy(a, now));
}

TEST(Overload, SurvivesItsOwnWords) {
    const Overload said{"max_inflight", "worker 1f of a.b.c", 9, 8, 250ms};
    const auto error = said.error("component.at_capacity");
    EXPECT_EQ(error.code(), ErrorCode::overloaded);
    const auto read = overload_of(error).value();
    EXPECT_EQ(read.knob, said.knob);
    EXPECT_EQ(read.owner, said.owner);
    EXPECT_EQ(read.measured, 9);
    EXPECT_EQ(read.limit, 8);
    EXPECT_EQ(read.retry_after, 250ms);
    EXPECT_EQ(retry_after(error), 250ms);
    EXPECT_EQ(retry_after(Error{ErrorCode::overloaded, "full"}), 100ms);
    EXPECT_FALSE(overload_of(Error{ErrorCode::internal, "", error.message()}));
    for (const char* text :
         {"x has no room: a is b, measured 1; retry after 1 ms",
          "x has no room: a is 1, measured 1; retry after ms",
          "x has no room: a is 1, measured 1"}) {
        EXPECT_FALSE(overload_of(Error{ErrorCode::overloaded, text})) << text;
    }
}

std::vector<std::shared_ptr<const discovery::Instance>> instances(std::size_t count) {
    std::vector<std::shared_ptr<const discovery::Instance>> all;
    for (std::size_t i = 1; i <= count; ++i) {
        auto instance = std::make_shared<discovery::Instance>();
        instance->id = InstanceId{i};
        all.push_back(std::move(instance));
    }
    return all;
}

TEST(LoadBook, ChoosingAndReservingIsOneStep) {
    const auto book = std::make_shared<LoadBook>();
    const auto loads = book->loads_of(instances(4));
    constexpr int threads = 4;
    constexpr int each = 2000;
    std::vector<std::vector<Reservation>> held(threads);
    {
        std::vector<std::jthread> running;
        for (auto& own : held) {
            running.emplace_back([&] {
                for (int i = 0; i < each; ++i) {
                    const std::lock_guard guard{book->lock()};
                    const auto at = policy::lowest(4, 0, [&](std::size_t n) {
                        return loads[n]->outstanding.load();
                    });
                    own.emplace_back(book, loads[at]);
                }
            });
        }
    }
    for (const auto& load : loads) EXPECT_EQ(load->outstanding, threads * each / 4);
    held.clear();
    for (const auto& load : loads) EXPECT_EQ(load->outstanding, 0U);
}

/// Whom 20 calls that do not end were given to: id -> calls.
std::map<std::uint64_t, std::uint32_t> placed_by_device(std::vector<discovery::DeviceType> devices
) {
    std::vector<InstancePtr> all;
    for (const auto device : devices) {
        auto instance = std::make_shared<discovery::Instance>();
        instance->id = InstanceId{all.size() + 1};
        instance->mux = discovery::MuxAddress{.address = "127.0.0.1:1"};
        instance->device_type = device;
        all.push_back(std::move(instance));
    }
    const auto book = std::make_shared<LoadBook>();
    const auto loads = book->loads_of(all);
    RoutingView view;
    for (std::size_t i = 0; i < all.size(); ++i) view.routable.push_back({all[i], loads[i]});
    Selector selector{RouterOptions{.mode = RouterMode::device_aware}};
    const Context context;
    const CallOptions options;
    std::vector<Chosen> held;
    for (int i = 0; i < 20; ++i)
        held.push_back(choose(selector, view, book, {"a", "b", "c"}, {context, options, {}}));
    std::map<std::uint64_t, std::uint32_t> calls;
    for (std::size_t i = 0; i < all.size(); ++i) calls[i + 1] = loads[i]->outstanding;
    return calls;
}

TEST(DeviceAware, CpusGetTheirShareTheLeastLoadedFirst) {
    using enum discovery::DeviceType;
    using Calls = std::map<std::uint64_t, std::uint32_t>;
    EXPECT_EQ(placed_by_device({cpu, cuda, cpu}), (Calls{{1, 2}, {2, 16}, {3, 2}}));
    EXPECT_EQ(placed_by_device({cpu, cpu}), (Calls{{1, 10}, {2, 10}}));
    EXPECT_EQ(placed_by_device({cuda, cuda}), (Calls{{1, 10}, {2, 10}}));
}

TEST(LoadBook, ForgetsWhoIsGoneAndKeepsWhoIsStillCalled) {
    const auto book = std::make_shared<LoadBook>();
    auto loads = book->loads_of(instances(2));
    auto held = std::make_optional<Reservation>(book, loads[1]);
    loads = book->loads_of(instances(1));
    loads = book->loads_of(instances(2));
    EXPECT_EQ(loads[1]->outstanding, 1U);
    held.reset();
    EXPECT_EQ(loads[1]->outstanding, 0U);
}

TEST(Reservation, MovesWithItsCountAndItsClock) {
    const auto book = std::make_shared<LoadBook>();
    const auto loads = book->loads_of(instances(2));
    Reservation a{book, loads[0]};
    a.time(Clock::current().now(), 10s);
    Reservation b = std::move(a);
    EXPECT_FALSE(a.timed());
    EXPECT_TRUE(b.timed());
    EXPECT_EQ(loads[0]->outstanding, 1U);
    b = Reservation{book, loads[1]};
    EXPECT_EQ(loads[0]->outstanding, 0U);
    EXPECT_EQ(loads[1]->outstanding, 1U);
    // Given up without an answer, it has told how long it took at least.
    EXPECT_GT(loads[0]->latency.value(Clock::current().now(), 10s), 0);
}

}  // namespace
}  // namespace stator
