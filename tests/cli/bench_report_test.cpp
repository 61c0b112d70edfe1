#include "cli/bench_report.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace stator::cli {
namespace {

using namespace std::chrono_literals;

BenchReport small_report() {
    BenchReport report{.endpoint = "a.b.c", .load = {}};
    report.elapsed = 2s;
    for (int i = 0; i < 99; ++i) report.tally.latency.record(100us);
    report.tally.latency.record(5ms);
    report.tally.requests = 100;
    report.tally.items = 100;
    report.tally.bytes_sent = 2000;
    report.tally.bytes_received = 3'000'000;
    report.client_cpu = 1ms;
    report.workers = {{.instance = *InstanceId::parse("1a2b"), .pid = 77}};
    return report;
}

nlohmann::json parsed(const BenchReport& report) { return nlohmann::json::parse(report.json()); }

TEST(BenchReport, TableForPeople) {
    EXPECT_EQ(
        small_report().table(),
        "unary, 16 in flight, 2.00 s after 1.00 s\n"
        "requests     100 (50/s)\n"
        "items        100 (50/s)\n"
        "bytes        1 kB/s sent, 1.5 MB/s received\n"
        "latency      p50 100 us, p90 100 us, p99 100 us, p99.9 5.00 ms, max 5.00 ms\n"
        "errors       none\n"
        "cpu          client 10.0 us, workers unknown, per request\n"
    );
}

TEST(BenchReport, TableShowsWhatTheLoadIsAbout) {
    auto report = small_report();
    report.load = {.workload = BenchWorkload::paced, .rate = 20, .tail_percent = 1};
    report.tally.items = 1000;
    report.tally.added_delay.record(2ms);
    report.tally.unstarted = 7;
    report.tally.fail(Error{ErrorCode::overloaded, "full"}, TimePoint{1s});
    report.worker_cpu = 3ms;
    const auto table = report.table();
    for (const char* line :
         {"paced, 16 in flight at most, 20 due each second, 2.00 s after 1.00 s\n",
          "slow ones    none\n",
          "added delay  p50 2.00 ms, p90 2.00 ms, p99 2.00 ms, p99.9 2.00 ms, max 2.00 ms\n",
          "never sent   7\n",
          "errors       overloaded 1\n",
          "cpu          client 1.00 us, workers 3.00 us, per item\n"}) {
        EXPECT_NE(table.find(line), std::string::npos) << line << table;
    }
}

TEST(BenchReport, JsonHasEveryFigure) {
    const auto object = parsed(small_report());
    EXPECT_EQ(object["workload"], "unary");
    EXPECT_EQ(object["seconds"], 2);
    EXPECT_EQ(object["requests_per_s"], 50);
    EXPECT_EQ(object["bytes_received_per_s"], 1'500'000);
    EXPECT_NEAR(object["latency_us"]["p99"].get<double>(), 100, 1);
    EXPECT_EQ(object["latency_us"]["max"], 5000);
    EXPECT_EQ(object["cpu_client_us_per_op"], 10);
    EXPECT_EQ(object["operation"], "request");
    EXPECT_EQ(object["errors"], nlohmann::json::object());
    EXPECT_EQ(object["workers"][0]["instance_id"], "1a2b");
    EXPECT_EQ(object["workers"][0]["pid"], 77);
}

TEST(BenchReport, JsonSaysWhatIsNotKnown) {
    BenchReport report{.endpoint = "a.b.c", .load = {}};
    report.workers = {{.instance = *InstanceId::parse("1a")}};
    const auto object = parsed(report);
    for (const char* key :
         {"rate",
          "latency_us",
          "tail_latency_us",
          "added_delay_us",
          "unstarted",
          "cpu_client_us_per_op",
          "cpu_workers_us_per_op"}) {
        ASSERT_TRUE(object.contains(key)) << key;
        EXPECT_TRUE(object[key].is_null()) << key;
    }
    EXPECT_TRUE(object["workers"][0]["pid"].is_null());
}

TEST(BenchReport, JsonNamesErrorsByCode) {
    auto report = small_report();
    for (int i = 0; i < 3; ++i) report.tally.fail(Error{ErrorCode::unavailable, ""}, TimePoint{});
    EXPECT_EQ(parsed(report)["errors"], nlohmann::json({{"unavailable", 3}}));
}

TEST(BenchTally, MergesEveryCount) {
    BenchTally one;
    one.latency.record(1us);
    one.tail_latency.record(1us);
    one.added_delay.record(1us);
    one.requests = 1;
    one.items = 2;
    one.bytes_sent = 3;
    one.bytes_received = 4;
    one.unstarted = 5;
    one.fail(Error{ErrorCode::overloaded, "later"}, TimePoint{2s});
    BenchTally all;
    all.fail(Error{ErrorCode::overloaded, "latest"}, TimePoint{3s});
    all.merge(one);
    all.merge(one);
    EXPECT_EQ(all.latency.count() + all.tail_latency.count() + all.added_delay.count(), 6U);
    EXPECT_EQ(all.requests, 2U);
    EXPECT_EQ(all.items, 4U);
    EXPECT_EQ(all.bytes_sent, 6U);
    EXPECT_EQ(all.bytes_received, 8U);
    EXPECT_EQ(all.unstarted, 10U);
    EXPECT_EQ(all.errors.at(ErrorCode::overloaded), 3U);
    EXPECT_EQ(all.first_failure->message(), "later");
}

}  // namespace
}  // namespace stator::cli
