#include "tools/demo/load.hpp"

#include <deque>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace stator::demo {
namespace {

using namespace std::chrono_literals;

const InstanceId first{1};
const InstanceId second{2};
const TimePoint killed_at = TimePoint{} + 10s;

Figures tallied(const std::deque<Call>& calls) {
    Figures figures;
    figures.workers.resize(2);
    tally(calls, {first, second}, killed_at, figures);
    return figures;
}

Call ended(InstanceId worker) { return {.worker = worker, .ended = true}; }

TEST(Tally, counts_by_worker) {
    const auto figures = tallied({ended(first), ended(second), ended(second)});
    EXPECT_EQ(figures.requests, 3U);
    EXPECT_EQ(figures.workers[0].accepted, 1U);
    EXPECT_EQ(figures.workers[1].accepted, 2U);
    EXPECT_EQ(figures.workers[1].completed, 2U);
    EXPECT_EQ(figures.completed(), 3U);
    EXPECT_EQ(figures.interrupted(), 0U);
}

TEST(Tally, an_error_after_acceptance_is_an_interruption_and_its_class_matters) {
    auto lost = ended(first);
    lost.error = Error{ErrorCode::disconnected, "gone"};
    lost.ended_at = killed_at + 20ms;
    auto odd = ended(first);
    odd.error = Error{ErrorCode::internal, "odd"};
    odd.ended_at = killed_at + 5ms;
    const auto figures = tallied({lost, odd, ended(first)});
    EXPECT_EQ(figures.workers[0].interrupted, 2U);
    EXPECT_EQ(figures.workers[0].completed, 1U);
    EXPECT_EQ(figures.untyped, 1U);
    EXPECT_EQ(figures.last_interruption, 20ms);
}

TEST(Tally, what_nobody_accepted_is_counted_apart) {
    auto refused = ended(InstanceId{});
    refused.error = Error{ErrorCode::unavailable, "nobody"};
    const auto figures = tallied({refused});
    EXPECT_EQ(figures.unaccepted, 1U);
    EXPECT_EQ(figures.completed() + figures.interrupted(), 0U);
}

TEST(Tally, altered_texts_and_hung_calls_are_not_completed) {
    auto altered = ended(first);
    altered.altered = true;
    Call hung{.worker = first};
    const auto figures = tallied({altered, hung});
    EXPECT_EQ(figures.workers[0].altered, 1U);
    EXPECT_EQ(figures.requests, 2U);
    EXPECT_EQ(figures.completed() + figures.interrupted(), 0U);
}

TEST(Tally, a_worker_that_nobody_knows_breaks_the_sum) {
    const auto figures = tallied({ended(InstanceId{9})});
    EXPECT_EQ(figures.requests, 1U);
    EXPECT_EQ(figures.completed(), 0U);
}

TEST(Prompts, differ) {
    const std::set<std::string> all{prompts().begin(), prompts().end()};
    EXPECT_EQ(all.size(), prompts().size());
    EXPECT_GE(all.size(), 10U);
}

}  // namespace
}  // namespace stator::demo
