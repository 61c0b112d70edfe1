#include "cli/bench_load.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/diagnostic_request.hpp"
#include "stator/codec/json.hpp"

namespace stator::cli {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{1h};

DiagnosticRequest asked(const BenchLoad& load, bool slow) {
    const auto request = bench_request(load, slow);
    if (!request) throw request.error();
    auto decoded = DiagnosticRequest::decode(request->body, PayloadCodec::msgpack);
    if (!decoded) throw decoded.error();
    EXPECT_EQ(decoded->items, request->items);
    return *decoded;
}

TEST(BenchRequest, IsWhatTheDiagnosticEndpointUnderstands) {
    const auto unary = asked({}, false);
    EXPECT_EQ(unary.items, 1U);
    EXPECT_EQ(unary.size, 64U);
    EXPECT_EQ(unary.delay, 0ms);
    const auto paced =
        asked({.workload = BenchWorkload::paced, .items = 40, .size = 100, .pace = 20ms}, false);
    EXPECT_EQ(paced.items, 40U);
    EXPECT_EQ(paced.pace, 20ms);
    EXPECT_EQ(paced.size, 100U);
}

TEST(BenchRequest, OfBulkIsLargeAndItsAnswerIsNot) {
    const BenchLoad load{.workload = BenchWorkload::bulk, .items = 0, .size = 100'000};
    const auto bulk = asked(load, false);
    EXPECT_EQ(bulk.text->size(), 100'000U);
    EXPECT_EQ(bulk.items, 0U);
    EXPECT_FALSE(bench_request(load, false)->unary());
}

TEST(BenchRequest, OnlyTheTailIsSlow) {
    const BenchLoad load{.tail_percent = 1, .tail_delay = 5ms};
    EXPECT_EQ(asked(load, false).delay, 0ms);
    EXPECT_EQ(asked(load, true).delay, 5ms);
    EXPECT_TRUE(bench_request(load, true)->unary());
}

TEST(BenchRequest, AHoldNeedsASecondItem) {
    const BenchLoad load{.tail_percent = 1, .tail_hold = 5ms};
    EXPECT_EQ(asked(load, false).items, 1U);
    const auto slow = asked(load, true);
    EXPECT_EQ(slow.items, 2U);
    EXPECT_EQ(slow.hold, 5ms);
    EXPECT_FALSE(bench_request(load, true)->unary());
}

TEST(BenchSchedule, TheWindowFollowsTheWarmup) {
    const BenchSchedule schedule{{.warmup = 1s, .duration = 5s}, start};
    EXPECT_EQ(schedule.opens(), start + 1s);
    EXPECT_EQ(schedule.closes(), start + 6s);
    EXPECT_FALSE(schedule.in_window(start + 1s - 1ns));
    EXPECT_TRUE(schedule.in_window(start + 1s));
    EXPECT_TRUE(schedule.in_window(start + 6s - 1ns));
    EXPECT_FALSE(schedule.in_window(start + 6s));
}

TEST(BenchSchedule, AnOpenLoopIsDueByTheClock) {
    const BenchSchedule schedule{{.rate = 4000}, start};
    EXPECT_EQ(schedule.due(0), start);
    EXPECT_EQ(schedule.due(1), start + 250us);
    EXPECT_EQ(schedule.due(4'000'000'000), start + 1'000'000s);
}

TEST(BenchSchedule, SpreadsTheSlowOnes) {
    for (const double percent : {0.0, 0.5, 1.0, 7.0, 30.0, 100.0}) {
        const BenchSchedule schedule{{.tail_percent = percent}, start};
        for (std::uint64_t from = 0; from < 100'000; from += 1000) {
            int slow = 0;
            for (std::uint64_t i = from; i < from + 1000; ++i) slow += schedule.slow(i) ? 1 : 0;
            ASSERT_EQ(slow, static_cast<int>(percent * 10)) << percent << " % from " << from;
        }
    }
}

TEST(BenchLoad, RequestsGetTimeToEnd) {
    EXPECT_EQ(BenchLoad{}.grace(), 5s);
    const BenchLoad paced{.workload = BenchWorkload::paced, .items = 40, .pace = 20ms};
    EXPECT_EQ(paced.grace(), 5800ms);
}

TEST(BenchWorkload, HasNames) {
    for (const char* name : {"unary", "stream", "paced", "bulk", "tail"}) {
        EXPECT_EQ(to_string(*bench_workload_from_name(name)), name);
    }
    EXPECT_FALSE(bench_workload_from_name("open").has_value());
}

}  // namespace
}  // namespace stator::cli
