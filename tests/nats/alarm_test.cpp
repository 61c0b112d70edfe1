#include "nats/alarm.hpp"

#include <poll.h>

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

namespace stator::nats {
namespace {

bool is_heard(const Alarm& alarm, int timeout_ms) {
    pollfd waited{alarm.descriptor(), POLLIN, 0};
    return ::poll(&waited, 1, timeout_ms) == 1;
}

TEST(Alarm, IsHeardUntilItIsQuiet) {
    Alarm alarm;
    EXPECT_FALSE(is_heard(alarm, 0));
    alarm.ring();
    alarm.ring();
    EXPECT_TRUE(is_heard(alarm, 0));
    EXPECT_TRUE(is_heard(alarm, 0));
    alarm.quiet();
    EXPECT_FALSE(is_heard(alarm, 0));
    alarm.ring();
    EXPECT_TRUE(is_heard(alarm, 0));
}

TEST(Alarm, NoRingIsLost) {
    constexpr int rounds = 100'000;
    Alarm alarm;
    std::atomic<int> rung{0};
    std::atomic<int> seen{0};
    std::thread ringer{[&] {
        for (int i = 1; i <= rounds && seen >= 0; ++i) {
            rung = i;
            alarm.ring();
            // Now and then it waits until it was heard, so that the next meets the listener's end.
            while (i % 3 == 0 && seen >= 0 && seen < i) std::this_thread::yield();
        }
    }};
    while (seen < rounds) {
        if (!is_heard(alarm, 10'000)) {
            seen = -1;
            break;
        }
        alarm.quiet();
        seen = rung.load();
    }
    ringer.join();
    EXPECT_EQ(seen, rounds) << "a ring was lost";
}

}  // namespace
}  // namespace stator::nats
