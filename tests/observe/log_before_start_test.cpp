// In a process of its own: logging is not started here until the test says so.
#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "stator/observe/log.hpp"

namespace stator::observe {
namespace {

using namespace std::chrono_literals;

TEST(LogBeforeStart, warnings_go_straight_to_stderr) {
    testing::internal::CaptureStderr();
    log::info("app", "not shown");
    log::warn("app", "careful: {}", 1);
    log::error("app", "broken\n");
    EXPECT_TRUE(log::flush(0s)) << "nothing is pending";
    EXPECT_EQ(log::dropped(), 0U);
    EXPECT_EQ(
        testing::internal::GetCapturedStderr(), "warning app: careful: 1\nerror app: broken\\x0a\n"
    );

    testing::internal::CaptureStderr();
    log::start({});
    log::info("app", "shown");
    EXPECT_TRUE(log::flush(10s));
    const auto shown = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(shown.ends_with("  INFO app: shown\n")) << shown;
}

}  // namespace
}  // namespace stator::observe
