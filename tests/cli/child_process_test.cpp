#include "cli/child_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <functional>
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

/// Two places that a script finds as $STATOR_FIFO, which a process can be kept waiting at, and
/// $STATOR_PIDS, where it says who is there.
class Places {
public:
    Places() { EXPECT_EQ(::mkfifo(fifo().c_str(), 0600), 0); }
    std::vector<std::string> environment() const {
        return {"STATOR_FIFO=" + fifo(), "STATOR_PIDS=" + pids()};
    }
    void let_go() const { std::ofstream{fifo()} << "go\n"; }
    std::vector<pid_t> started() const {
        std::ifstream file{pids()};
        std::vector<pid_t> all;
        for (pid_t pid = 0; file >> pid;) all.push_back(pid);
        return all;
    }
    /// Once there are so many.
    Task<std::vector<pid_t>> started(std::size_t count) const {
        const auto until = Deadline::in(test::patience);
        for (;;) {
            auto all = started();
            if (all.size() >= count) co_return all;
            test::require(!until.passed(), "nobody has started");
            co_await sleep_for(5ms);
        }
    }

private:
    std::string fifo() const { return (folder_.path() / "fifo").string(); }
    std::string pids() const { return (folder_.path() / "pids").string(); }
    test::TemporaryFolder folder_;
};

bool there(pid_t pid) { return ::kill(pid, 0) == 0; }

Task<int> left_behind(const Places* places) {
    auto child = ChildProcess::start(
        {"sh", "-c", "(read line <\"$STATOR_FIFO\") & echo $! >\"$STATOR_PIDS\"; exit 3"},
        places->environment()
    );
    const auto waiting = (co_await places->started(1)).front();
    EXPECT_FALSE(co_await as_result(with_deadline(Deadline::in(300ms), child.wait())))
        << "what it has left behind goes on";
    EXPECT_TRUE(there(waiting));
    places->let_go();
    co_return co_await with_deadline(Deadline::in(test::patience), child.wait());
}

TEST(ChildProcess, WhatItLeavesBehindIsWaitedFor) {
    test::Loops loops;
    const Places places;
    EXPECT_EQ(loops.run(left_behind(&places)).value_or(-1), 3);
}

struct Family {
    const char* name;
    /// Writes who is there, then stays or leaves.
    const char* script;
    std::size_t size;
};
void PrintTo(const Family& family, std::ostream* into) { *into << family.name; }

// Nobody's sleep ends before the test does.
constexpr std::array families{
    Family{"AChild", "sleep 60 & echo $! $$ >$STATOR_PIDS; wait", 2},
    Family{"AnOrphan", "(sleep 60 & echo $! >$STATOR_PIDS); exec sleep 60", 1},
    Family{"WhoseParentHasEnded", "sleep 60 & echo $! >$STATOR_PIDS; exit", 1},
    Family{"OfASessionOfItsOwn", "setsid sh -c 'echo $$ >$STATOR_PIDS; exec sleep 60' & exit", 1},
    Family{
        "WhoIsToldAndGoesOn",
        "(trap '' TERM; sh -c 'echo $PPID $$ >$STATOR_PIDS; sleep 60; true'; true) & wait",
        2
    },
    Family{"WhoHasStopped", "sleep 60 & echo $! >$STATOR_PIDS; kill -STOP $!; wait", 1},
    Family{
        "WhoseParentStartsMore",
        "trap : TERM; for i in 1 2 3 4; do sleep 60 & echo $! >>$STATOR_PIDS; wait; done",
        1
    },
};

class Families : public testing::TestWithParam<Family> {};

INSTANTIATE_TEST_SUITE_P(ChildProcess, Families, testing::ValuesIn(families), [](const auto& info) {
    return info.param.name;
});

Task<> end_family(const Places* places, Family family) {
    auto child = ChildProcess::start({"sh", "-c", family.script}, places->environment());
    const auto all = co_await places->started(family.size);
    for (const auto pid : all) EXPECT_TRUE(there(pid)) << pid;
    (void)co_await child.end(Deadline::in(300ms));
    for (const auto pid : places->started()) EXPECT_FALSE(there(pid)) << pid;
}

TEST_P(Families, EndsBeforeTheEndIsTold) {
    test::Loops loops;
    const Places places;
    EXPECT_RUNS(loops, end_family(&places, GetParam()));
}

Task<> drop_family(const Places* places, Family family) {
    {
        const auto child = ChildProcess::start({"sh", "-c", family.script}, places->environment());
        (void)co_await places->started(family.size);
    }
    for (const auto pid : places->started()) EXPECT_FALSE(there(pid)) << pid;
}

TEST_P(Families, EndsWithItsOwner) {
    test::Loops loops;
    const Places places;
    EXPECT_RUNS(loops, drop_family(&places, GetParam()));
}

/// What a script ends with that is asked to end once it has said that it is there.
Task<int> asked(const Places* places, std::string script) {
    auto child = ChildProcess::start({"sh", "-c", script}, places->environment());
    (void)co_await places->started(1);
    co_return co_await child.end(Deadline::in(test::patience));
}

TEST(ChildProcess, IsAskedToEndOnce) {
    test::Loops loops;
    const Places places;
    const auto* const counts =
        "n=0; trap 'n=$((n+1))' TERM; (trap '' TERM; exec sleep 0.5) & echo $$ >$STATOR_PIDS; "
        "while kill -0 $! 2>/dev/null; do wait $!; done; exit $n";
    EXPECT_EQ(loops.run(asked(&places, counts)).value_or(-1), 1);
}

TEST(ChildProcess, TidiesUpWithTheHelpOfOthers) {
    test::Loops loops;
    const Places places;
    const auto* const tidies =
        "trap 'sleep 0.3 && exit 9; exit 1' TERM; echo $$ >$STATOR_PIDS; "
        "while :; do sleep 0.01; done";
    EXPECT_EQ(loops.run(asked(&places, tidies)).value_or(-1), 9);
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
