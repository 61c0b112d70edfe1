#include "cli/call_summary.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stator::cli {
namespace {

using namespace std::chrono_literals;

class Summary : public testing::Test {
protected:
    void SetUp() override { Clock::set_current(&clock_); }
    void TearDown() override { Clock::set_current(nullptr); }
    ManualClock clock_;
};

const InstanceId first{0xa};
const InstanceId second{0x1b};

TEST_F(Summary, CountsWhatWasAdded) {
    CallTally tally;
    tally.add(2ms, 3, first, std::nullopt);
    tally.add(4ms, 1, second, std::nullopt);
    tally.add(1ms, 1, second, Error{ErrorCode::disconnected, "gone"});
    tally.add(1ms, 0, {}, Error{ErrorCode::unavailable, "nobody"});
    EXPECT_EQ(
        tally.summary(2s),
        "requests 4 (2 succeeded) in 2.00 s, 2/s\n"
        "items    5\n"
        "errors   unavailable 1, disconnected 1\n"
        "latency  p50 2.00 ms, p90 4.00 ms, p99 4.00 ms, p99.9 4.00 ms\n"
        "worker   a 1 (25.0 %)\n"
        "worker   1b 2 (50.0 %)\n"
    );
}

TEST_F(Summary, HasNoLatencyWithoutSuccess) {
    CallTally tally;
    tally.add(1ms, 0, {}, Error{ErrorCode::cancelled, "enough"});
    EXPECT_EQ(
        tally.summary(100ms),
        "requests 1 (0 succeeded) in 100 ms, 10/s\nitems    0\nerrors   cancelled 1\n"
    );
}

TEST_F(Summary, MergesAndKeepsTheFailureThatWasFirst) {
    CallTally late;
    CallTally early;
    CallTally all;
    EXPECT_FALSE(all.first_failure());
    early.add(1ms, 0, first, Error{ErrorCode::overloaded, "early"});
    clock_.advance(1ms);
    late.add(1ms, 2, first, Error{ErrorCode::internal, "late"});
    early.add(1ms, 5, first, std::nullopt);
    all.merge(late);
    all.merge(early);
    all.merge(CallTally{});
    EXPECT_EQ(all.requests(), 3U);
    ASSERT_TRUE(all.first_failure());
    EXPECT_EQ(all.first_failure()->message(), "early");
    EXPECT_NE(all.summary(1s).find("items    7\n"), std::string::npos);
    EXPECT_NE(all.summary(1s).find("worker   a 3 (100.0 %)"), std::string::npos);
}

TEST(Percentile, IsAValueThatOccurred) {
    std::vector<Duration> sorted;
    for (int i = 1; i <= 1000; ++i) sorted.emplace_back(i);
    EXPECT_EQ(percentile(sorted, 0.5).count(), 500);
    EXPECT_EQ(percentile(sorted, 0.9).count(), 900);
    EXPECT_EQ(percentile(sorted, 0.99).count(), 990);
    EXPECT_EQ(percentile(sorted, 0.999).count(), 999);
    EXPECT_EQ(percentile(sorted, 1.0).count(), 1000);
    EXPECT_EQ(percentile(sorted, 0.0).count(), 1);
    EXPECT_EQ(percentile({Duration{7}}, 0.999).count(), 7);
}

TEST(DurationText, HasThreeDigitsAndAUnit) {
    EXPECT_EQ(to_text(Duration{0}), "0 ns");
    EXPECT_EQ(to_text(Duration{999}), "999 ns");
    EXPECT_EQ(to_text(Duration{1000}), "1.00 us");
    EXPECT_EQ(to_text(Duration{12'340}), "12.3 us");
    EXPECT_EQ(to_text(Duration{999'400}), "999 us");
    EXPECT_EQ(to_text(Duration{999'600}), "1.00 ms");
    EXPECT_EQ(to_text(9'996us), "10.0 ms");
    EXPECT_EQ(to_text(123ms), "123 ms");
    EXPECT_EQ(to_text(90s), "90.0 s");
    EXPECT_EQ(to_text(3h), "10800 s");
}

}  // namespace
}  // namespace stator::cli
