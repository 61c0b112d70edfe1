#include "stator/base/clock.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "stator/base/deadline.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

class ClockScope {
public:
    explicit ClockScope(const Clock& clock) : before_{Clock::set_current(&clock)} {}
    ~ClockScope() { Clock::set_current(before_); }
    ClockScope(const ClockScope&) = delete;
    ClockScope& operator=(const ClockScope&) = delete;

private:
    const Clock* before_;
};

TEST(Clock, each_thread_has_its_own) {
    ManualClock manual;
    const ClockScope scope{manual};
    EXPECT_EQ(&Clock::current(), &manual);
    const Clock* elsewhere = nullptr;
    std::jthread{[&] { elsewhere = &Clock::current(); }}.join();
    EXPECT_EQ(elsewhere, &Clock::steady());
}

TEST(Clock, setting_returns_what_was_set) {
    ManualClock manual;
    EXPECT_EQ(Clock::set_current(&manual), nullptr);
    EXPECT_EQ(Clock::set_current(nullptr), &manual);
    EXPECT_EQ(&Clock::current(), &Clock::steady());
}

TEST(Clock, the_steady_one_is_the_systems) {
    const auto before = std::chrono::steady_clock::now();
    const auto now = Clock::steady().now();
    EXPECT_LE(before, now);
    EXPECT_LE(now, std::chrono::steady_clock::now());
}

TEST(Deadline, passes_when_its_clock_says_so) {
    ManualClock clock;
    const ClockScope scope{clock};
    const auto deadline = Deadline::in(10ms);
    EXPECT_FALSE(deadline.passed());
    EXPECT_EQ(deadline.remaining(), 10ms);
    clock.advance(10ms - 1ns);
    EXPECT_FALSE(deadline.passed());
    EXPECT_EQ(deadline.remaining(), 1ns);
    clock.advance(1ns);
    EXPECT_TRUE(deadline.passed());
    clock.advance(1h);
    EXPECT_EQ(deadline.remaining(), Duration::zero());
}

TEST(Deadline, never_is_later_than_all) {
    const Deadline never;
    EXPECT_TRUE(never.is_never());
    EXPECT_FALSE(never.passed());
    EXPECT_EQ(never.remaining(), Duration::max());
    EXPECT_LT(Deadline::in(24h * 365 * 100), never);
    EXPECT_EQ(earliest(never, Deadline::at(TimePoint{5ns})), Deadline::at(TimePoint{5ns}));
}

TEST(Deadline, extreme_durations_do_not_overflow) {
    EXPECT_TRUE(Deadline::in(Duration::max()).is_never());
    EXPECT_TRUE(Deadline::in(Duration::min()).passed());
    EXPECT_EQ(Deadline::at(TimePoint::min()).remaining(), Duration::zero());
}

}  // namespace
}  // namespace stator
