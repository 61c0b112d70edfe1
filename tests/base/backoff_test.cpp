#include "stator/base/backoff.hpp"

#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "stator/base/nearest.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

TEST(Backoff, grows_to_its_maximum_and_starts_again) {
    Backoff backoff{{.initial = 100ms, .max = 1s, .factor = 2.0}, 1};
    for (int round = 0; round < 2; ++round) {
        for (const auto longest : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
            EXPECT_EQ(backoff.ceiling(), longest);
            EXPECT_EQ(backoff.next(1.0), longest);
        }
        EXPECT_EQ(backoff.attempts(), 6U);
        backoff.reset();
        EXPECT_EQ(backoff.attempts(), 0U);
    }
}

TEST(Backoff, jitter_covers_the_whole_range) {
    Backoff backoff{{.initial = 1s, .max = 1s, .factor = 1.0}, 42};
    int low = 0;
    int high = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto wait = backoff.next();
        ASSERT_GE(wait, 0ns);
        ASSERT_LE(wait, 1s);
        low += wait < 250ms ? 1 : 0;
        high += wait > 750ms ? 1 : 0;
    }
    EXPECT_NEAR(low, 250, 60);
    EXPECT_NEAR(high, 250, 60);
}

TEST(Backoff, equal_seeds_wait_alike) {
    Backoff a{{}, 5};
    Backoff b{{}, 5};
    for (int i = 0; i < 20; ++i) EXPECT_EQ(a.next(), b.next());
}

TEST(Backoff, a_callers_number_is_clamped) {
    Backoff backoff{{.initial = 10ms, .max = 10ms}, 1};
    EXPECT_EQ(backoff.next(-1.0), 0ms);
    EXPECT_EQ(backoff.next(2.0), 10ms);
    EXPECT_EQ(backoff.next(0.5), 5ms);
    EXPECT_LE(backoff.next(std::numeric_limits<double>::quiet_NaN()), 10ms);
}

TEST(Backoff, nonsense_is_clamped) {
    struct Row {
        BackoffPolicy policy;
        Duration third;
    };
    constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
    constexpr auto infinity = std::numeric_limits<double>::infinity();
    const Row rows[] = {
        {{.initial = -1s, .max = 1s, .factor = 2.0}, 0s},
        {{.initial = 2s, .max = 1s, .factor = 2.0}, 1s},
        {{.initial = 1s, .max = -1s, .factor = 2.0}, 0s},
        {{.initial = 1s, .max = 9s, .factor = 0.1}, 1s},
        {{.initial = 1s, .max = 9s, .factor = nan}, 1s},
        {{.initial = 1s, .max = 9s, .factor = infinity}, 9s},
        {{.initial = 1s, .max = Duration::max(), .factor = 1e300}, Duration::max()},
    };
    for (const auto& row : rows) {
        Backoff backoff{row.policy, 1};
        backoff.next(1.0);
        backoff.next(1.0);
        EXPECT_EQ(backoff.next(1.0), row.third);
    }
}

TEST(Backoff, seeds_itself) {
    Backoff a{BackoffPolicy{.initial = 1h, .max = 1h}};
    Backoff b{BackoffPolicy{.initial = 1h, .max = 1h}};
    EXPECT_NE(a.next(), b.next());
}

TEST(EditDistance, counts_single_letter_changes) {
    struct Row {
        std::string_view a;
        std::string_view b;
        std::size_t distance;
    };
    constexpr Row rows[] = {
        {"", "", 0},
        {"a", "", 1},
        {"", "abc", 3},
        {"abc", "abc", 0},
        {"abc", "abd", 1},
        {"abc", "ac", 1},
        {"abc", "acb", 1},
        {"kitten", "sitting", 3},
        {"ca", "abc", 3},
    };
    for (const auto& row : rows) {
        EXPECT_EQ(edit_distance(row.a, row.b), row.distance) << row.a << " " << row.b;
        EXPECT_EQ(edit_distance(row.b, row.a), row.distance) << row.a << " " << row.b;
    }
    EXPECT_EQ(edit_distance(std::string(5000, 'a'), std::string(5000, 'b')), 128U);
}

TEST(Nearest, finds_the_likely_word_or_none) {
    const std::vector<std::string_view> known{
        "system.port", "system.host", "worker.threads", "ttl"
    };
    EXPECT_EQ(nearest("system.prot", known), "system.port");
    EXPECT_EQ(nearest("sytem.host", known), "system.host");
    EXPECT_EQ(nearest("worker.thread_count", known), std::nullopt);
    EXPECT_EQ(nearest("tl", known), "ttl");
    EXPECT_EQ(nearest("completely.different", known), std::nullopt);
    EXPECT_EQ(nearest("x", {}), std::nullopt);
    EXPECT_EQ(nearest(std::string(100'000, 'q'), known), std::nullopt);
}

}  // namespace
}  // namespace stator
