// Metrics with a place in the hierarchy, and those that are measured when somebody looks.
#include "stator/observe/metric_scope.hpp"

#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace stator::observe {
namespace {

const Labels ns{{"dynamo_namespace", "a"}};
const Labels component{{"dynamo_namespace", "a"}, {"dynamo_component", "b"}};
const Labels endpoint{
    {"dynamo_namespace", "a"}, {"dynamo_component", "b"}, {"dynamo_endpoint", "c"}
};

std::string detail_of(auto work) {
    try {
        work();
    } catch (const Error& error) {
        return error.detail();
    }
    return "";
}

TEST(MetricScopes, name_and_labels_come_by_themselves) {
    Registry registry;
    const MetricScope scope{registry, endpoint};
    scope.counter("hits_total", "Hits.", {{"kind", "x"}}).add(2);
    EXPECT_EQ(
        registry.text(),
        "# HELP dynamo_component_hits_total Hits.\n"
        "# TYPE dynamo_component_hits_total counter\n"
        "dynamo_component_hits_total{dynamo_component=\"b\",dynamo_endpoint=\"c\","
        "dynamo_namespace=\"a\",kind=\"x\"} 2\n"
    );
}

TEST(MetricScopes, what_the_place_sets_the_caller_may_not) {
    Registry registry;
    const MetricScope scope{registry, endpoint};
    EXPECT_EQ(
        detail_of([&] { (void)scope.counter("n", "", {{"dynamo_endpoint", "d"}}); }),
        "metrics.invalid"
    );
    EXPECT_EQ(detail_of([&] { (void)scope.counter("a-b", ""); }), "metrics.invalid");
    EXPECT_EQ(registry.text(), "");
}

TEST(MetricScopes, one_name_at_two_endpoints_is_no_error) {
    Registry registry;
    const MetricScope one{registry, endpoint};
    const MetricScope other{registry, component};
    one.counter("n", "").add(1);
    other.counter("n", "", {{"more", "x"}}).add(2);
    one.counter("n", "").add(1);
    EXPECT_EQ(one.counter("n", "").value(), 2U);
    EXPECT_EQ(detail_of([&] { (void)one.gauge("n", ""); }), "metrics.invalid");
}

TEST(MetricScopes, a_level_shows_what_is_below_it) {
    Registry registry;
    const MetricScope all{registry, ns};
    const MetricScope below{registry, endpoint};
    const MetricScope elsewhere{registry, {{"dynamo_namespace", "z"}}};
    below.gauge("n", "").set(1);
    elsewhere.gauge("n", "").set(2);
    const auto collector = registry.add_collector([](Samples& samples) {
        samples.gauge("sampled", "", endpoint, 3);
        samples.gauge("sampled", "", {}, 4);
    });
    EXPECT_EQ(all.text(), below.text());
    EXPECT_NE(all.text().find("sampled{"), std::string::npos);
    EXPECT_EQ(all.text().find("} 2"), std::string::npos);
    EXPECT_EQ(all.text().find("sampled 4"), std::string::npos);
    EXPECT_NE(registry.text().find("sampled 4"), std::string::npos);
}

TEST(MetricScopes, series_end_with_the_last_who_made_them) {
    Registry registry;
    const double bounds[] = {1.0};
    auto counter = Counter{};
    {
        const MetricScope one{registry, endpoint};
        counter = one.counter("n", "");
        (void)one.counter("n", "");
        {
            const MetricScope other{registry, endpoint};
            other.counter("n", "").add(1);
            (void)other.histogram("h", "", bounds);
            EXPECT_EQ(
                detail_of([&] {
                    const double others[] = {2.0};
                    (void)one.histogram("h", "", others);
                }),
                "metrics.invalid"
            );
        }
        EXPECT_EQ(registry.text().find("dynamo_component_h"), std::string::npos);
        EXPECT_NE(registry.text().find("dynamo_component_n"), std::string::npos);
        EXPECT_EQ(counter.value(), 1U);
    }
    EXPECT_EQ(registry.text(), "");
    counter.add(1);
    const MetricScope again{registry, endpoint};
    EXPECT_EQ(again.counter("n", "").value(), 0U) << "a new instance begins anew";
}

TEST(MetricScopes, what_was_made_without_a_scope_stays) {
    Registry registry;
    (void)registry.counter("dynamo_component_n", "", endpoint);
    {
        (void)MetricScope{registry, endpoint}.counter("n", "");
    }
    EXPECT_NE(registry.text(), "");
}

TEST(MetricScopes, a_scope_may_outlive_its_registry) {
    auto registry = std::make_unique<Registry>();
    const MetricScope scope{*registry, endpoint};
    const auto counter = scope.counter("n", "");
    registry.reset();
    counter.add(1);
    EXPECT_EQ(counter.value(), 1U);
}

TEST(Collectors, are_asked_for_each_text_until_they_end) {
    Registry registry;
    int calls = 0;
    {
        const auto collector = registry.add_collector([&](Samples& samples) {
            samples.counter("calls_total", "Calls.", {{"b", "2"}, {"a", "1"}}, ++calls);
        });
        EXPECT_EQ(
            registry.text(),
            "# HELP calls_total Calls.\n# TYPE calls_total counter\n"
            "calls_total{a=\"1\",b=\"2\"} 1\n"
        );
        EXPECT_NE(registry.text().find("} 2\n"), std::string::npos);
    }
    EXPECT_EQ(registry.text(), "");
    EXPECT_EQ(calls, 2);
}

TEST(Collectors, what_one_throws_costs_its_own_values) {
    Registry registry;
    registry.counter("own_total", "");
    const auto twice = registry.add_collector([](Samples& samples) {
        samples.gauge("a", "", {}, 1);
        samples.gauge("a", "", {}, 2);
    });
    const auto bad =
        registry.add_collector([](Samples& samples) { samples.gauge("a-b", "", {}, 1); });
    const auto good = registry.add_collector([](Samples& samples) {
        samples.gauge("c", "", {}, 1);
        samples.gauge("own_total", "", {}, 1);
    });
    const auto text = registry.text();
    EXPECT_NE(text.find("a 1\n"), std::string::npos);
    EXPECT_EQ(text.find("a 2\n"), std::string::npos);
    EXPECT_NE(text.find("c 1\n"), std::string::npos);
    EXPECT_NE(text.find("own_total 0\n"), std::string::npos) << "a name has one type";
    EXPECT_EQ(text.find("own_total 1\n"), std::string::npos);
}

TEST(Collectors, the_end_of_one_waits_for_its_call) {
    Registry registry;
    std::atomic<bool> stop{false};
    std::thread scraper{[&] {
        while (!stop) (void)registry.text();
    }};
    for (int i = 0; i < 2000; ++i) {
        auto value = std::make_unique<double>(i);
        const auto collector = registry.add_collector([raw = value.get()](Samples& samples) {
            samples.gauge("n", "", {}, *raw);
        });
        std::this_thread::yield();
    }
    stop = true;
    scraper.join();
}

}  // namespace
}  // namespace stator::observe
