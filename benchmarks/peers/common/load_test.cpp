#include "common/load.hpp"

#include <array>
#include <cstdint>

#include <gtest/gtest.h>

namespace bench {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST(BenchTally, MergesEveryCount) {
    Tally one;
    one.latency.record(microseconds{10});
    one.added_delay.record(microseconds{1});
    one.requests = 1;
    one.items = 2;
    one.errors = 3;
    one.failed_unaccepted = 4;
    one.failed_accepted = 5;
    Tally sum;
    sum.merge(one);
    sum.merge(one);
    EXPECT_EQ(sum.latency.count(), 2U);
    EXPECT_EQ(sum.added_delay.count(), 2U);
    EXPECT_EQ(sum.requests, 2U);
    EXPECT_EQ(sum.items, 4U);
    EXPECT_EQ(sum.errors, 6U);
    EXPECT_EQ(sum.failed_unaccepted, 8U);
    EXPECT_EQ(sum.failed_accepted, 10U);
}

TEST(BenchOptions, ReadsEveryOption) {
    const std::array arguments{"--port",  "123",       "--mode", "paced",    "--concurrency",
                               "5",       "--seconds", "0.5",    "--warmup", "0.1",
                               "--items", "7",         "--size", "9",        "--pace-us",
                               "20000",   "--spread",  "1",      "--plane",  "dynamo"};
    const auto options = Options::parse(static_cast<int>(arguments.size()), arguments.data());
    EXPECT_EQ(options.port, 123);
    EXPECT_EQ(options.mode, Mode::paced);
    EXPECT_EQ(options.concurrency, 5U);
    EXPECT_EQ(options.seconds, 0.5);
    EXPECT_EQ(options.warmup, 0.1);
    EXPECT_EQ(options.items, 7U);
    EXPECT_EQ(options.size, 9U);
    EXPECT_EQ(options.pace(), milliseconds{20});
    EXPECT_TRUE(options.dynamo_plane);
    EXPECT_EQ(options.start_delay(0), milliseconds{0});
    EXPECT_EQ(options.start_delay(4), milliseconds{16});
    EXPECT_EQ(options.due(TimePoint{}, 2), TimePoint{milliseconds{60}});
}

TEST(BenchOptions, StartsTogetherUnlessSpread) {
    Options options;
    options.mode = Mode::paced;
    options.pace_us = 20'000;
    options.concurrency = 4;
    EXPECT_EQ(options.start_delay(3), milliseconds{0});
}

TEST(BenchOptions, ModesHaveNamesAndUnits) {
    for (const char* name : {"unary", "bulk", "stream", "paced", "idle", "over_limit", "first"}) {
        const std::array arguments{"--mode", name, "--pace-us", "1", "--size", "1000"};
        const auto options = Options::parse(static_cast<int>(arguments.size()), arguments.data());
        EXPECT_EQ(to_string(options.mode), name);
        const std::string_view mode = name;
        EXPECT_EQ(options.counts_items(), mode == "stream" || mode == "paced") << mode;
        EXPECT_EQ(options.reply_size(), mode == "bulk" ? bulk_reply_size : 1000U) << mode;
    }
}

TEST(BenchServeOptions, ReadsEveryOption) {
    const std::array arguments{"--port", "80", "--unbuffered", "--limit", "64"};
    const auto options = ServeOptions::parse(static_cast<int>(arguments.size()), arguments.data());
    EXPECT_EQ(options.port, 80);
    EXPECT_EQ(options.limit, 64U);
    EXPECT_TRUE(options.unbuffered);
    EXPECT_FALSE(ServeOptions::parse(0, nullptr).unbuffered);
}

TEST(BenchServeOptions, RefusesWhatItDoesNotKnow) {
    const std::array unknown{"--mode", "unary"};
    EXPECT_EXIT(
        ServeOptions::parse(2, unknown.data()),
        testing::ExitedWithCode(2),
        "unknown option '--mode'"
    );
    const std::array missing{"--limit"};
    EXPECT_EXIT(
        ServeOptions::parse(1, missing.data()), testing::ExitedWithCode(2), "--limit needs a value"
    );
}

template <std::size_t Count>
void refuse(const std::array<const char*, Count>& arguments, const char* message) {
    EXPECT_EXIT(
        Options::parse(static_cast<int>(Count), arguments.data()),
        testing::ExitedWithCode(2),
        message
    );
}

TEST(BenchOptionsDeathTest, RefusesWhatItDoesNotUnderstand) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    refuse(std::array{"--porz", "1"}, "unknown option '--porz'");
    refuse(std::array{"--port"}, "--port needs a value");
    refuse(std::array{"--port", "65536"}, "--port needs a number, not '65536'");
    refuse(std::array{"--size", "6x"}, "--size needs a number, not '6x'");
    refuse(std::array{"--seconds", "-1"}, "--seconds needs a number, not '-1'");
    refuse(
        std::array{"--mode", "both"},
        "--mode is one of unary, bulk, stream, paced, idle, over_limit, first, failover, not 'both'"
    );
    refuse(std::array{"--concurrency", "0"}, "--concurrency must be at least 1");
    refuse(std::array{"--mode", "paced"}, "--mode paced needs --pace-us");
    refuse(std::array{"--mode", "stream", "--items", "0"}, "--items must be at least 1");
}

}  // namespace
}  // namespace bench
