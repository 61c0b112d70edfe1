// When a process is ready, and what it says when it is not.
#include "stator/observe/health.hpp"

#include <gtest/gtest.h>

namespace stator::observe {
namespace {

class View final : public InstanceView {
public:
    explicit View(InstanceHealth health) : health_{std::move(health)} {}
    InstanceHealth health() const override { return health_; }
    std::optional<std::string> record() const override { return std::nullopt; }
    std::vector<RequestView> requests() const override { return {}; }
    void become(InstanceState state) { health_.state = state; }

private:
    InstanceHealth health_;
};

std::shared_ptr<View> view(std::string endpoint, InstanceState state, std::string reason = "") {
    return std::make_shared<View>(
        InstanceHealth{std::move(endpoint), "1a", state, std::move(reason)}
    );
}

TEST(Health, the_first_endpoint_decides_from_then_on) {
    for (const bool at_start : {false, true}) {
        Health health;
        health.configure({.ready_at_start = at_start});
        EXPECT_EQ(health.report().ready, at_start);
        const auto generate = view("a.b.generate", InstanceState::starting);
        {
            const auto entry = health.add(generate);
            EXPECT_FALSE(health.report().ready);
            generate->become(InstanceState::ready);
            EXPECT_TRUE(health.report().ready);
            EXPECT_TRUE(health.report().reasons.empty());
        }
        EXPECT_FALSE(health.report().ready) << "it is gone, which the start says nothing about";
        EXPECT_EQ(health.report().reasons, std::vector<std::string>{"nothing is served"});
    }
}

TEST(Health, every_state_but_ready_speaks_against_it) {
    for (const auto state :
         {InstanceState::starting,
          InstanceState::recovering,
          InstanceState::draining,
          InstanceState::unhealthy}) {
        Health health;
        const auto good = health.add(view("a.b.good", InstanceState::ready));
        const auto bad = health.add(view("a.b.bad", state, "so it is"));
        const auto report = health.report();
        EXPECT_FALSE(report.ready);
        ASSERT_EQ(report.reasons.size(), 1U);
        EXPECT_EQ(
            report.reasons[0], "a.b.bad 1a is " + std::string{to_string(state)} + ": so it is"
        );
        EXPECT_EQ(report.instances.size(), 2U);
    }
}

TEST(Health, where_a_list_decides_the_others_do_not) {
    const std::vector<InstanceHealth> all{
        {"a.b.one", "1", InstanceState::ready},
        {"a.b.two", "2", InstanceState::unhealthy},
        {"a.c.two", "3", InstanceState::ready},
    };
    EXPECT_TRUE(judge({.deciding = {"one"}}, true, {}, all).ready);
    EXPECT_TRUE(judge({.deciding = {"a.c.two", "one"}}, true, {}, all).ready);
    EXPECT_FALSE(judge({.deciding = {"two"}}, true, {}, all).ready);
    EXPECT_FALSE(judge({.deciding = {"a.b.two"}}, true, {}, all).ready);
    const auto missing = judge({.ready_at_start = true, .deciding = {"three"}}, false, {}, {});
    EXPECT_EQ(missing.reasons, std::vector<std::string>{"three is not served"});
}

TEST(Health, a_hold_lasts_as_long_as_its_entry) {
    Health health;
    const auto entry = health.add(view("a.b.c", InstanceState::ready));
    auto hold = health.hold("loading weights");
    auto other = health.hold("warming up");
    EXPECT_EQ(health.report().reasons, (std::vector<std::string>{"loading weights", "warming up"}));
    hold = {};
    EXPECT_EQ(health.report().reasons, std::vector<std::string>{"warming up"});
    auto moved = std::move(other);
    EXPECT_FALSE(health.report().ready);
    moved = {};
    EXPECT_TRUE(health.report().ready);
}

TEST(Health, an_entry_may_outlive_the_health) {
    Health::Entry entry;
    {
        Health health;
        entry = health.add(view("a.b.c", InstanceState::ready));
    }
    entry = {};
}

}  // namespace
}  // namespace stator::observe
