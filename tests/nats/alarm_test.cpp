#include "nats/alarm.hpp"

#include <poll.h>

#include <atomic>
#include <random>
#include <thread>

#include <gtest/gtest.h>

namespace stator::nats {
namespace {

bool is_heard(const Alarm& alarm, int timeout_ms) {
    pollfd waited{alarm.descriptor(), POLLIN, 0};
    return ::poll(&waited, 1, timeout_ms) == 1;
}

void stop_optimizing(unsigned long value) { asm volatile("" : : "r"(value)); }

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
    constexpr int rounds = 400'000;
    Alarm alarm;
    std::atomic<int> rung{0};
    std::atomic<int> seen{0};
    std::thread ringer{[&] {
        std::minstd_rand random;  // NOLINT(cert-msc51-cpp): the same pauses each time
        for (int i = 1; i <= rounds && seen >= 0; ++i) {
            rung = i;
            alarm.ring();
            // The next may come at any moment of the listener's, the one when it falls quiet, too.
            auto pause = random() % (1U << (random() % 14));
            for (; pause > 0; --pause) stop_optimizing(pause);
            while (i % 16 == 0 && seen >= 0 && seen < i) std::this_thread::yield();
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
