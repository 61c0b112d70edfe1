#include "cli/child_process.hpp"

#include <signal.h>

#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::cli {
namespace {

using namespace std::chrono_literals;

Task<int> status_of(std::vector<std::string> command, std::vector<std::string> environment) {
    auto child = ChildProcess::start(command, environment);
    co_return co_await child.wait();
}

int run(std::vector<std::string> command, std::vector<std::string> environment = {}) {
    test::Loops loops;
    const auto status = loops.run(status_of(std::move(command), std::move(environment)));
    EXPECT_TRUE(status) << status.error().what();
    return status.value_or(-1);
}

TEST(ChildProcess, EndsWithItsStatus) {
    EXPECT_EQ(run({"true"}), 0);
    EXPECT_EQ(run({"sh", "-c", "exit 42"}), 42);
    EXPECT_EQ(run({"sh", "-c", "kill -TERM $$"}), 128 + SIGTERM);
}

TEST(ChildProcess, SeesItsEnvironmentBesidesOurs) {
    EXPECT_EQ(
        run({"sh", "-c", "test \"$STATOR_X\" = 'a b' && test -n \"$PATH\""}, {"STATOR_X=a b"}), 0
    );
}

TEST(ChildProcess, HasDefaultSignals) {
    sigset_t mask;
    sigset_t before;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &mask, &before);  // which the loops' threads inherit
    EXPECT_EQ(run({"sh", "-c", "kill -TERM $$; sleep 5; exit 0"}), 128 + SIGTERM);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST(ChildProcess, WhatCannotRunIsAnErrorByName) {
    test::Loops loops;
    EXPECT_EQ(
        loops.run(test::error_of(status_of({"no-such-program"}, {}))).value(),
        "not_found cli.command"
    );
    EXPECT_EQ(
        loops.run(test::error_of(status_of({"/dev/null"}, {}))).value(),
        "invalid_request cli.command"
    );
}

Task<int> end_of(std::string script, Duration grace) {
    auto child = ChildProcess::start({"sh", "-c", script}, {});
    EXPECT_FALSE(co_await as_result(with_deadline(Deadline::in(200ms), child.wait())))
        << "it runs until it is told to end";
    co_return co_await child.end(Deadline::in(grace));
}

TEST(ChildProcess, IsAskedToEndAndThenKilled) {
    test::Loops loops;
    EXPECT_EQ(
        loops.run(end_of("trap 'exit 5' TERM; while :; do sleep 0.01; done", 10s)).value(), 5
    );
    EXPECT_EQ(
        loops.run(end_of("trap '' TERM; while :; do sleep 0.01; done", 300ms)).value(),
        128 + SIGKILL
    );
}

Task<pid_t> leave_behind() {
    auto child = ChildProcess::start({"sh", "-c", "exec sleep 60"}, {});
    co_return 0;
}

TEST(ChildProcess, EndsWithItsOwner) {
    test::Loops loops;
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_TRUE(loops.run(leave_behind()));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 30s);
}

}  // namespace
}  // namespace stator::cli
