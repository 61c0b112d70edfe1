#include "stator/base/latency_histogram.hpp"

#include <cstdint>

#include <gtest/gtest.h>

namespace stator {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

TEST(LatencyHistogram, IsEmptyWithoutSamples) {
    EXPECT_FALSE(LatencyHistogram{}.percentile_us(0.5).has_value());
    EXPECT_FALSE(LatencyHistogram{}.max_us().has_value());
}

TEST(LatencyHistogram, FindsEveryValueWithinOnePercent) {
    for (std::uint64_t ns = 1; ns < (std::uint64_t{1} << 40) - 1; ns += 1 + ns / 7) {
        LatencyHistogram histogram;
        histogram.record(nanoseconds{ns});
        histogram.record(24h);
        const double found = *histogram.percentile_us(0.5) * 1000;
        ASSERT_NEAR(found, static_cast<double>(ns), static_cast<double>(ns) * 0.01) << ns;
    }
}

TEST(LatencyHistogram, RanksUniformSamples) {
    LatencyHistogram histogram;
    for (int us = 1; us <= 1000; ++us) histogram.record(std::chrono::microseconds{us});
    EXPECT_EQ(histogram.count(), 1000U);
    EXPECT_NEAR(*histogram.percentile_us(0.5), 500, 5);
    EXPECT_NEAR(*histogram.percentile_us(0.99), 990, 10);
    EXPECT_EQ(*histogram.percentile_us(1), 1000);
    EXPECT_NEAR(*histogram.percentile_us(0), 1, 0.1);
}

TEST(LatencyHistogram, APercentileIsASampleThatTheShareDoesNotExceed) {
    LatencyHistogram histogram;
    for (int i = 0; i < 99; ++i) histogram.record(10us);
    histogram.record(5ms);
    EXPECT_NEAR(*histogram.percentile_us(0.99), 10, 0.1);
    EXPECT_EQ(*histogram.percentile_us(0.999), 5000);
}

TEST(LatencyHistogram, NoPercentileIsAboveTheMaximum) {
    LatencyHistogram histogram;
    for (int i = 0; i < 3; ++i) histogram.record(1'000'001ns);
    for (const double quantile : {0.0, 0.5, 0.9, 1.0}) {
        EXPECT_LE(*histogram.percentile_us(quantile), *histogram.max_us()) << quantile;
    }
}

TEST(LatencyHistogram, ClampsWhatIsOutOfRange) {
    LatencyHistogram histogram;
    histogram.record(-5ns);
    histogram.record(24h);
    histogram.record(25h);
    EXPECT_EQ(histogram.count(), 3U);
    EXPECT_EQ(*histogram.percentile_us(0), 0);
    EXPECT_NEAR(*histogram.percentile_us(0.5), 1.0995e9, 1e7);
    EXPECT_EQ(*histogram.max_us(), 25 * 3600e6);
}

TEST(LatencyHistogram, MergesAndRecordsManyAtOnce) {
    LatencyHistogram one;
    one.record(10us, 99);
    one.record(10us, 0);
    LatencyHistogram other;
    other.record(2ms);
    one.merge(other);
    EXPECT_EQ(one.count(), 100U);
    EXPECT_NEAR(*one.percentile_us(0.99), 10, 0.1);
    EXPECT_EQ(*one.max_us(), 2000);
}

}  // namespace
}  // namespace stator
