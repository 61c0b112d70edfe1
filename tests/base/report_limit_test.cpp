#include "stator/base/report_limit.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace stator {
namespace {

using namespace std::chrono_literals;

TEST(ReportLimit, LetsOneThroughEachIntervalAndCountsTheRest) {
    ReportLimit limit{10s};
    const TimePoint start{};
    EXPECT_EQ(limit.admit(start), 0U);
    EXPECT_EQ(limit.admit(start), std::nullopt);
    EXPECT_EQ(limit.admit(start + 9s), std::nullopt);
    EXPECT_EQ(limit.admit(start + 10s), 2U);
    EXPECT_EQ(limit.admit(start + 19s), std::nullopt);
    EXPECT_EQ(limit.admit(start + 60s), 1U);
    EXPECT_EQ(limit.admit(start + 120s), 0U);
}

TEST(ReportLimit, OneOfManyThreadsReportsAndNoneIsForgotten) {
    ReportLimit limit{10s};
    std::atomic<int> admitted{0};
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] {
                for (int k = 0; k < 1000; ++k) {
                    if (limit.admit(TimePoint{} + 1s)) ++admitted;
                }
            });
        }
    }
    EXPECT_EQ(admitted, 1);
    EXPECT_EQ(limit.admit(TimePoint{} + 11s), 3999U);
}

TEST(ReportLimit, SaysHowManyWereHeldBack) {
    EXPECT_EQ(and_unreported(0), "");
    EXPECT_EQ(and_unreported(3), " (and 3 more like it)");
}

}  // namespace
}  // namespace stator
