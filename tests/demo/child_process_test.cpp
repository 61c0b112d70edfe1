#include "tools/demo/child_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stator/runtime/runtime.hpp"
#include "tools/demo/private_folder.hpp"

namespace stator::demo {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class ChildProcessTest : public ::testing::Test {
protected:
    ~ChildProcessTest() override { runtime_.stop(); }

    ChildProcess::Options shell(const std::string& script) const {
        return {{"/bin/sh", "-c", script}, {}, folder_.path() / "output"};
    }
    std::string output() const {
        std::ifstream file{folder_.path() / "output"};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
    static Task<ProcessEnd> run(ChildProcess::Options options, int signal) {
        ChildProcess child{*Loop::current(), options};
        if (signal != 0) child.signal(signal);
        co_return co_await child.wait(Deadline::in(20s));
    }
    ProcessEnd ended(const std::string& script, int signal = 0) {
        return runtime_.block_on(run(shell(script), signal));
    }

    PrivateFolder folder_;
    Runtime runtime_ = Runtime::create({.primary_threads = 1});
};

TEST_F(ChildProcessTest, tells_how_it_ended_and_what_it_said) {
    EXPECT_EQ(ended("echo out; echo err >&2; exit 3"), (ProcessEnd{false, 3}));
    EXPECT_EQ(output(), "out\nerr\n");
    EXPECT_EQ(ended("echo more"), (ProcessEnd{false, 0}));
    EXPECT_EQ(output(), "out\nerr\nmore\n");
}

TEST_F(ChildProcessTest, ends_by_the_signal_it_gets_also_one_that_is_blocked_here) {
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    auto blocking = [](ChildProcess::Options options, sigset_t set) -> Task<ProcessEnd> {
        pthread_sigmask(SIG_BLOCK, &set, nullptr);
        co_return co_await run(std::move(options), SIGTERM);
    };
    EXPECT_EQ(
        runtime_.block_on(blocking(shell("exec sleep 60"), blocked)), (ProcessEnd{true, SIGTERM})
    );
    EXPECT_EQ(ended("exec sleep 60", SIGKILL), (ProcessEnd{true, SIGKILL}));
}

TEST_F(ChildProcessTest, gets_the_environment_with_the_changes) {
    ::setenv("STATOR_DEMO_TEST_A", "inherited", 1);
    ::setenv("STATOR_DEMO_TEST_B", "inherited", 1);
    auto options = shell("echo $STATOR_DEMO_TEST_A $STATOR_DEMO_TEST_B $STATOR_DEMO_TEST_C");
    options.environment = {{"STATOR_DEMO_TEST_B", "changed"}, {"STATOR_DEMO_TEST_C", "new"}};
    EXPECT_EQ(runtime_.block_on(run(options, 0)), (ProcessEnd{false, 0}));
    EXPECT_EQ(output(), "inherited changed new\n");
}

TEST_F(ChildProcessTest, inherits_no_descriptor) {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);  // without CLOEXEC
    ended("for fd in /proc/self/fd/*; do readlink $fd; done");
    EXPECT_EQ(output().find("socket:"), std::string::npos) << output();
    ::close(pair[0]);
    ::close(pair[1]);
}

TEST_F(ChildProcessTest, does_not_outlive_its_owner) {
    pid_t pid = 0;
    auto drop = [](ChildProcess::Options options, pid_t* seen) -> Task<> {
        const ChildProcess child{*Loop::current(), options};
        *seen = child.pid();
        EXPECT_EQ(::kill(*seen, 0), 0);
        co_return;
    };
    runtime_.block_on(drop(shell("trap '' TERM; sleep 60"), &pid));
    EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), -1);  // reaped
    EXPECT_EQ(errno, ECHILD);
}

TEST_F(ChildProcessTest, waiting_has_a_bound) {
    auto wait = [](ChildProcess::Options options) -> Task<std::optional<ErrorCode>> {
        ChildProcess child{*Loop::current(), options};
        auto end = co_await as_result(child.wait(Deadline::in(20ms)));
        if (end) co_return std::nullopt;
        child.signal(SIGKILL);
        EXPECT_EQ(co_await child.wait(Deadline::in(20s)), (ProcessEnd{true, SIGKILL}));
        EXPECT_EQ(co_await child.wait(Deadline::in(0s)), (ProcessEnd{true, SIGKILL}));
        child.signal(SIGKILL);  // its number may belong to somebody else by now
        co_return end.error().code();
    };
    EXPECT_EQ(runtime_.block_on(wait(shell("exec sleep 60"))), ErrorCode::deadline_exceeded);
}

TEST_F(ChildProcessTest, a_program_that_is_not_there_is_an_error_that_names_it) {
    try {
        runtime_.block_on(run({{"/no/such/program"}, {}, folder_.path() / "output"}, 0));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.detail(), "demo.spawn");
        EXPECT_THAT(error.what(), HasSubstr("/no/such/program"));
    }
}

TEST_F(ChildProcessTest, an_output_that_cannot_be_written_is_an_error) {
    try {
        runtime_.block_on(run({{"/bin/true"}, {}, folder_.path() / "missing/output"}, 0));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.detail(), "demo.spawn");
    }
}

}  // namespace
}  // namespace stator::demo
