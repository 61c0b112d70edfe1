#include "stator/pipeline/context.hpp"

#include <atomic>
#include <memory>
#include <string>
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
            // Mostly without a pause, to look in the middle of the kill; on one core that is all
            // taken it must come about, too.
            for (int looks = 1; !context.stopped() && !stop.cancelled(); ++looks) {
                if (looks % 1024 == 0) std::this_thread::yield();
            }
            EXPECT_TRUE(context.killed());
        }};
        while (!looking) std::this_thread::yield();
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

TEST(Context, IsUniqueWhereNobodyElseCanEndIt) {
    const Context context;
    EXPECT_TRUE(context.unique());
    {
        const Context copy = context;
        EXPECT_FALSE(context.unique());
    }
    EXPECT_TRUE(context.unique());
    EXPECT_FALSE(context.child().unique());
    const auto token = CancellationToken::make();
    EXPECT_FALSE((Context{{.kill_token = token}}.unique()));
}

TEST(Context, KilledWakesOnlyOnKill) {
    const Context context;
    const auto killed = context.kill_token();
    context.stop();
    EXPECT_FALSE(killed.cancelled());
    context.kill();
    EXPECT_TRUE(killed.cancelled());
}

TEST(Context, ValuesAreFoundByNameAndTypeByAllCopiesAndChildren) {
    const Context context;
    const Context copy = context;
    copy.insert("count", 7);
    EXPECT_EQ(*context.get<int>("count").value(), 7);
    const auto child = context.child().child();
    EXPECT_EQ(*child.get<int>("count").value(), 7);
    child.insert("count", std::string{"mine"});
    EXPECT_EQ(*child.get<std::string>("count").value(), "mine");
    EXPECT_EQ(*context.get<int>("count").value(), 7);
    context.insert("count", 8);
    EXPECT_EQ(*context.get<int>("count").value(), 8);

    EXPECT_EQ(context.get<int>("other").error().detail(), "context.no_value");
    EXPECT_EQ(context.get<long>("count").error().detail(), "context.value_type");
    EXPECT_EQ(context.take_unique<int>("count").error().detail(), "context.value_type");
}

TEST(Context, UniqueValuesAreTakenOnce) {
    const Context context;
    context.insert_unique("text", std::string{"a"});
    context.insert_unique("move", std::make_unique<int>(3));
    EXPECT_EQ(context.clone_unique<std::string>("text").value(), "a");
    EXPECT_EQ(context.get<std::string>("text").error().detail(), "context.value_type");
    EXPECT_EQ(context.child().get<std::string>("text").error().detail(), "context.no_value");
    EXPECT_EQ(context.take_unique<std::string>("text").value(), "a");
    EXPECT_EQ(context.take_unique<std::string>("text").error().detail(), "context.no_value");
    EXPECT_EQ(*context.take_unique<std::unique_ptr<int>>("move").value(), 3);
}

TEST(Context, AUniqueValueIsTakenByOneOfMany) {
    const Context context;
    for (int round = 0; round < 200; ++round) {
        context.insert_unique("value", std::string(100, 'x'));
        std::atomic<int> taken{0};
        {
            std::vector<std::jthread> threads;
            for (int i = 0; i < 4; ++i) {
                threads.emplace_back([&] {
                    (void)context.clone_unique<std::string>("value");
                    if (context.take_unique<std::string>("value")) ++taken;
                });
            }
        }
        ASSERT_EQ(taken, 1);
    }
}

TEST(Context, StagesAreKeptInTheirOrder) {
    const Context context;
    EXPECT_TRUE(context.stages().empty());
    context.mark_stage("a");
    context.mark_stage("b");
    const auto stages = context.stages();
    ASSERT_EQ(stages.size(), 2U);
    EXPECT_EQ(stages[0].name, "a");
    EXPECT_LE(stages[0].when, stages[1].when);
    EXPECT_TRUE(context.child().stages().empty());
}

TEST(Context, SpansFormATreeThatEachHopSeesAlike) {
    const auto trace = observe::TraceContext::random();
    const auto& place = observe::lasting({"demo", "backend", "generate", 7});
    const Context served{{
        .id = RequestId{1, 2},
        .headers = {{"x-request-id", "asked"}},
        .trace = trace,
        .place = &place,
    }};
    const auto span = served.span();
    EXPECT_EQ(span.name, "handle_payload");
    EXPECT_EQ(span.place, &place);
    EXPECT_EQ(span.request_id, served.id().to_string());
    EXPECT_EQ(span.x_request_id, "asked");
    EXPECT_EQ(span.trace->trace_id, trace.trace_id);
    EXPECT_EQ(span.parent, trace.span_id);
    EXPECT_NE(span.trace->span_id, trace.span_id);
    EXPECT_EQ(served.span().trace->span_id, span.trace->span_id) << "the same at each line";
    // Of the attempt at another instance it is another.
    const auto& other = observe::lasting({"demo", "backend", "generate", 8});
    const Context again{{.id = RequestId{1, 2}, .trace = trace, .place = &other}};
    EXPECT_NE(again.span().trace->span_id, span.trace->span_id);
    // What it asks of others is a part of it, and what they are sent says so.
    const auto child = served.child();
    EXPECT_EQ(child.span().name, "client_request");
    EXPECT_EQ(child.span().parent, span.trace->span_id);
    EXPECT_EQ(child.span().trace->span_id, child.trace()->span_id);
    EXPECT_EQ(child.child().span().parent, child.trace()->span_id);
}

TEST(Context, ASpanWithoutATraceStillNamesTheRequest) {
    const Context context;
    const auto span = context.span();
    EXPECT_EQ(span.request_id, context.id().to_string());
    EXPECT_FALSE(span.trace);
    EXPECT_FALSE(span.parent);
    EXPECT_FALSE(context.child().span().parent);
    EXPECT_EQ(&observe::lasting({"a", "b", "c", 1}), &observe::lasting({"a", "b", "c", 1}));
}

}  // namespace
}  // namespace stator
