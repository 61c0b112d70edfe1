#include "stator/base/descriptor_limit.hpp"

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/refused_limits.hpp"

namespace stator {
namespace {

// Limits are a process's, and a hard one does not rise again: each test has a process of its own.
class DescriptorLimitTest : public ::testing::Test {
protected:
    DescriptorLimitTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

void limits_are(rlim_t soft, rlim_t hard) {
    const rlimit limit{.rlim_cur = soft, .rlim_max = hard};
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) std::abort();
}

/// What holds after raising to `wanted`, as the exit of the process and its last words.
[[noreturn]] void raise_and_tell(std::uint64_t wanted) {
    const auto raised = raise_descriptor_limit(wanted);
    if (raised && *raised != *descriptor_limit()) std::abort();
    std::fprintf(
        stderr,
        "%s",
        raised ? fmt::format("{} of {}\n", raised->soft, raised->hard).c_str()
               : raised.error().what()
    );
    std::_Exit(raised ? 0 : 1);
}

TEST_F(DescriptorLimitTest, IsRaisedToTheHardOneAtMost) {
    const auto from = [](rlim_t soft, std::uint64_t wanted) {
        limits_are(soft, 200);
        raise_and_tell(wanted);
    };
    EXPECT_EXIT(from(100, 1'000'000), ::testing::ExitedWithCode(0), "200 of 200");
    EXPECT_EXIT(from(100, 150), ::testing::ExitedWithCode(0), "150 of 200");
    EXPECT_EXIT(from(100, 50), ::testing::ExitedWithCode(0), "100 of 200");
    EXPECT_EXIT(from(100, 0), ::testing::ExitedWithCode(0), "100 of 200");
    EXPECT_EXIT(from(200, 300), ::testing::ExitedWithCode(0), "200 of 200");
}

TEST_F(DescriptorLimitTest, IsLeftAsItIsWhereItMayNotBeRaised) {
    const auto refused = [] {
        limits_are(100, 200);
        if (!test::refuse_new_limits()) std::abort();
        const auto raised = raise_descriptor_limit(150);
        if (raised || descriptor_limit()->soft != 100) std::abort();
        std::fprintf(stderr, "%s", raised.error().what());
        std::_Exit(raised.error().code() == ErrorCode::permission_denied ? 0 : 1);
    };
    EXPECT_EXIT(
        refused(),
        ::testing::ExitedWithCode(0),
        "cannot raise the limit of descriptors from 100 to 150: Operation not permitted"
    );
}

}  // namespace
}  // namespace stator
