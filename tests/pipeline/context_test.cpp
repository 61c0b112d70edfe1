#include "stator/pipeline/context.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace stator {
namespace {

using namespace std::chrono_literals;

TEST(Context, IsLiveWithAnIdOfItsOwn) {
    const Context a;
    const Context b;
    EXPECT_EQ(a.state(), Context::State::live);
    EXPECT_EQ(a.reason(), CancelReason::none);
    EXPECT_NE(a.id(), b.id());
    EXPECT_TRUE(a.deadline().is_never());
}

TEST(Context, StopThenKillKeepsTheFirstReasonOfEach) {
    const Context context;
    const auto stop = context.stop_token();
    context.stop(CancelReason::parent);
    context.stop(CancelReason::requested);
    EXPECT_EQ(context.state(), Context::State::stopped);
    EXPECT_EQ(context.reason(), CancelReason::parent);
    EXPECT_TRUE(stop.cancelled());
    EXPECT_FALSE(context.kill_token().cancelled());
    context.kill(CancelReason::deadline);
    EXPECT_EQ(context.state(), Context::State::killed);
    EXPECT_EQ(context.reason(), CancelReason::deadline);
    context.stop(CancelReason::requested);
    EXPECT_EQ(context.state(), Context::State::killed);
}

TEST(Context, ATokenAskedForLateHasFired) {
    const Context context;
    context.stop();
    EXPECT_TRUE(context.stop_token().cancelled());
}

TEST(Context, AKillFiresTheStopToken) {
    const Context context;
    const auto stop = context.stop_token();
    context.kill_token().cancel(CancelReason::shutdown);
    EXPECT_TRUE(stop.cancelled());
    EXPECT_TRUE(context.killed());
    EXPECT_TRUE(context.stopped());
}

TEST(Context, ChildrenAreStoppedAndKilledWithTheirParentNotTheReverse) {
    const Context parent{{.deadline = Deadline::in(1h)}};
    const auto child = parent.child(Deadline::in(2h));
    const auto grandchild = child.child(Deadline::in(1s));
    EXPECT_EQ(child.deadline(), parent.deadline());
    EXPECT_LT(grandchild.deadline(), parent.deadline());
    EXPECT_NE(child.id(), parent.id());
    const auto waiting = grandchild.stop_token();
    const auto other = parent.child();
    other.kill();
    EXPECT_EQ(parent.state(), Context::State::live);
    EXPECT_EQ(child.state(), Context::State::live);
    parent.stop();
    EXPECT_EQ(grandchild.state(), Context::State::stopped);
    EXPECT_EQ(grandchild.reason(), CancelReason::parent);
    EXPECT_TRUE(waiting.cancelled());
    parent.kill();
    EXPECT_TRUE(grandchild.killed());
}

TEST(Context, HeadersKeepTheirOrderAndTheFirstIsFound) {
    const Context context{{.headers = {{"a", "1"}, {"b", "2"}, {"a", "3"}}}};
    EXPECT_EQ(context.header("a"), "1");
    EXPECT_FALSE(context.header("c").has_value());
    EXPECT_EQ(context.headers().size(), 3U);
}

TEST(Context, AKillIsNeverSeenAsAMereStop) {
    for (int round = 0; round < 3000; ++round) {
        const Context context;
        const auto stop = context.stop_token();
        std::atomic<bool> looking{false};
        std::thread handler{[&] {
            looking = true;
            while (!context.stopped() && !stop.cancelled()) {
            }
            EXPECT_TRUE(context.killed());
        }};
        while (!looking) {
        }
        context.kill();
        handler.join();
        if (HasFailure()) return;
    }
}

TEST(Context, StoppingRacesWithAskingForTheToken) {
    for (int round = 0; round < 2000; ++round) {
        const Context context;
        CancellationToken token;
        {
            const std::jthread asks{[&] { token = context.stop_token(); }};
            const std::jthread stops{[&] { context.stop(); }};
        }
        EXPECT_TRUE(token.cancelled());
    }
}

}  // namespace
}  // namespace stator
