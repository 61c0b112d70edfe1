#include "stator/observe/metrics.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "stator/base/sink.hpp"
#include "stator/observe/observe.hpp"

namespace stator::observe {
namespace {

TEST(Registry, the_text_is_in_the_prometheus_format) {
    Registry registry;
    registry.counter("requests_total", "Requests.", {{"endpoint", "a"}, {"ns", "x"}}).add(3);
    registry.counter("requests_total", "Requests.", {{"endpoint", "b\"\\"}, {"ns", "x"}}).add();
    registry.up_down_counter("inflight", "In flight.").add(2);
    registry.gauge("slack_seconds", "Slack.").set(0.25);
    const double bounds[] = {0.1, 1};
    const auto histogram = registry.histogram("duration_seconds", "Durations.", bounds);
    for (const double value : {0.05, 0.1, 0.5, 7.0}) histogram.observe(value);
    EXPECT_EQ(
        registry.text(),
        "# HELP duration_seconds Durations.\n"
        "# TYPE duration_seconds histogram\n"
        "duration_seconds_count 4\n"
        "duration_seconds_sum 7.65\n"
        "duration_seconds_bucket{le=\"0.1\"} 2\n"
        "duration_seconds_bucket{le=\"1\"} 3\n"
        "duration_seconds_bucket{le=\"+Inf\"} 4\n"
        "# HELP inflight In flight.\n"
        "# TYPE inflight gauge\n"
        "inflight 2\n"
        "# HELP requests_total Requests.\n"
        "# TYPE requests_total counter\n"
        "requests_total{endpoint=\"a\",ns=\"x\"} 3\n"
        "requests_total{endpoint=\"b\\\"\\\\\",ns=\"x\"} 1\n"
        "# HELP slack_seconds Slack.\n"
        "# TYPE slack_seconds gauge\n"
        "slack_seconds 0.25\n"
    );
}

TEST(Registry, the_same_labels_are_the_same_cell) {
    Registry registry;
    const auto one = registry.counter("n", "", {{"a", "1"}, {"b", "2"}});
    const auto same = registry.counter("n", "", {{"b", "2"}, {"a", "1"}});
    one.add(2);
    same.add(3);
    EXPECT_EQ(one.value(), 5U);
}

TEST(Registry, one_name_may_have_several_label_sets) {
    Registry registry;
    registry.counter("n", "").add(1);
    registry.counter("n", "", {{"a", "1"}}).add(2);
    registry.counter("n", "", {{"b", "1"}, {"c", "2"}}).add(3);
    const auto text = registry.text();
    EXPECT_NE(text.find("\nn 1\n"), text.npos);
    EXPECT_NE(text.find("\nn{a=\"1\"} 2\n"), text.npos);
    EXPECT_NE(text.find("\nn{b=\"1\",c=\"2\"} 3\n"), text.npos);
}

TEST(Registry, what_prometheus_would_refuse_is_refused_by_name) {
    Registry registry;
    const double bounds[] = {1, 2};
    const double other_bounds[] = {1, 3};
    const double falling[] = {2, 1};
    const double equal[] = {1, 1};
    const double not_a_number[] = {std::numeric_limits<double>::quiet_NaN(), 1};
    const std::vector<double> many(31, 1.0);
    registry.counter("known", "");
    registry.histogram("known_histogram", "", bounds);
    const std::function<void()> bad[] = {
        [&] { registry.counter("", ""); },
        [&] { registry.counter("1a", ""); },
        [&] { registry.counter("a-b", ""); },
        [&] { registry.counter("a", "", {{"", "x"}}); },
        [&] { registry.counter("a", "", {{"a:b", "x"}}); },
        [&] { registry.counter("a", "", {{"__a", "x"}}); },
        [&] { registry.counter("a", "", {{"a", "x"}, {"b", "y"}, {"a", "z"}}); },
        [&] { registry.gauge("known", ""); },
        [&] { registry.histogram("known", "", bounds); },
        [&] { registry.histogram("known_histogram", "", other_bounds); },
        [&] { registry.histogram("h", "", falling); },
        [&] { registry.histogram("h", "", equal); },
        [&] { registry.histogram("h", "", not_a_number); },
        [&] { registry.histogram("h", "", many); },
    };
    for (std::size_t i = 0; i < std::size(bad); ++i) {
        try {
            bad[i]();
            ADD_FAILURE() << "row " << i << " was accepted";
        } catch (const Error& error) {
            EXPECT_EQ(error.detail(), "metrics.invalid") << i;
        }
    }
    registry.histogram("known_histogram", "", bounds, {{"a", "b"}});
    registry.counter("with:colons_and_0", "");
}

TEST(Registry, label_values_may_be_anything) {
    Registry registry;
    registry.counter("n", "", {{"a", "new\nline \xff"}}).add();
    EXPECT_NE(registry.text().find("n{a=\"new\\\\x0aline \xef\xbf\xbd\"} 1\n"), std::string::npos)
        << registry.text();
}

TEST(Registry, removed_metrics_are_not_shown_and_their_handles_still_work) {
    Registry registry;
    const auto gone = registry.counter("n", "", {{"instance", "1"}});
    registry.counter("n", "", {{"instance", "2"}}).add();
    registry.remove("n", {{"instance", "1"}});
    gone.add();
    EXPECT_EQ(registry.text().find("instance=\"1\""), std::string::npos);
    EXPECT_NE(registry.text().find("instance=\"2\""), std::string::npos);
    registry.remove("n", {{"instance", "2"}});
    EXPECT_EQ(registry.text(), "");
    registry.remove("n", {});
    registry.gauge("n", "");  // the name is free again
    EXPECT_EQ(registry.counter("m", "").value(), 0U);
}

TEST(Metrics, updates_of_many_threads_add_up) {
    Registry registry;
    const auto counter = registry.counter("n", "");
    const auto inflight = registry.up_down_counter("i", "");
    const double bounds[] = {1, 2};
    const auto histogram = registry.histogram("h", "", bounds);
    constexpr int each = 24'000;  // divides by 3 and by 4
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 12; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < each; ++i) {
                    counter.add(2);
                    inflight.add();
                    histogram.observe(i % 3);
                    if (i % 4 != 0) inflight.subtract();
                    if (i == each / 2) EXPECT_FALSE(registry.text().empty());
                }
            });
        }
    }
    EXPECT_EQ(counter.value(), 12U * each * 2);
    EXPECT_EQ(inflight.value(), 12 * each / 4);
    const auto snapshot = histogram.snapshot();
    EXPECT_EQ(snapshot.count(), 12U * each);
    EXPECT_EQ(snapshot.counts[2], 0U);
    EXPECT_DOUBLE_EQ(snapshot.sum, 12.0 * (each / 3) * 3);
}

TEST(Metrics, an_up_down_counter_may_fall_below_zero) {
    Registry registry;
    const auto level = registry.up_down_counter("n", "");
    level.subtract(3);
    EXPECT_EQ(level.value(), -3);
    EXPECT_NE(registry.text().find("\nn -3\n"), std::string::npos);
}

TEST(Metrics, a_value_goes_to_the_first_bucket_that_holds_it) {
    Registry registry;
    const auto bounds = duration_buckets();
    const auto histogram = registry.histogram("h", "", bounds);
    for (const double bound : bounds) {
        histogram.observe(bound);
        histogram.observe(std::nextafter(bound, 1e9));
    }
    histogram.observe(std::numeric_limits<double>::quiet_NaN());
    const auto counts = histogram.snapshot().counts;
    ASSERT_EQ(counts.size(), bounds.size() + 1);
    EXPECT_EQ(counts.front(), 1U);
    EXPECT_EQ(counts.back(), 2U);
    for (std::size_t i = 1; i < bounds.size(); ++i) EXPECT_EQ(counts[i], 2U) << i;
}

TEST(Metrics, default_handles_count_nothing) {
    const Counter counter;
    counter.add();
    const Gauge gauge;
    gauge.set(1);
    const UpDownCounter level;
    level.add();
    const Histogram histogram;
    histogram.observe(1);
    EXPECT_EQ(counter.value(), 0U);
    EXPECT_EQ(gauge.value(), 0.0);
    EXPECT_EQ(level.value(), 0);
    EXPECT_EQ(histogram.snapshot().count(), 0U);
}

TEST(InstallSink, lower_layers_count_into_the_registry_of_the_process) {
    install_sink();
    const auto before = metrics().counter("stator_test_total", "").value();
    sink().count("test_total", 4);
    sink().count("test_total", 1);
    sink().gauge("test_slack_seconds", 2.5);
    sink().count("no name", 1);  // reported, not thrown
    sink().gauge("test_total", 1);
    set_sink(nullptr);
    EXPECT_EQ(metrics().counter("stator_test_total", "").value(), before + 5);
    EXPECT_EQ(metrics().gauge("stator_test_slack_seconds", "").value(), 2.5);
}

}  // namespace
}  // namespace stator::observe
