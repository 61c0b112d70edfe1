#include "stator/testing/scripted_peer.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::InMemoryCluster;
using testing::play_call;
using testing::Script;
using testing::ScriptedWorker;
using Worker = ScriptedWorker<std::string, std::string>;
using Calls = Router<std::string, std::string>;
using Seen = testing::SeenCall<std::string>;
using Answer = testing::Answer<std::string>;
using Items = std::vector<std::string>;

constexpr auto path = "test.scripted.generate";

Script<std::string> items(int count) {
    Script<std::string> script;
    for (int i = 0; i < count; ++i) script.item(std::to_string(i));
    return script;
}

Task<Calls> caller(const InMemoryCluster* cluster, std::size_t workers = 1) {
    const auto member = co_await cluster->join();
    const auto client = co_await member.endpoint(path).client();
    while (client.instances()->routable.size() < workers) co_await sleep_for(1ms);
    co_return Calls{client};
}

/// The end of a call comes to the worker's side by itself.
Task<Seen> ended(const Worker* worker, std::size_t number) {
    for (;;) {
        const auto calls = worker->calls();
        if (calls.size() > number && calls[number].end != Seen::End::running)
            co_return calls[number];
        co_await sleep_for(1ms);
    }
}

TEST(ScriptedPeer, each_call_plays_the_next_script_and_the_last_one_stays) {
    const InMemoryCluster cluster;
    auto body = [](this auto, const InMemoryCluster* where) -> Task<> {
        const auto worker = co_await Worker::start(
            *where, path, {items(3), items(1).wait(1ms).fail({ErrorCode::internal, "planned"})}
        );
        const auto calls = co_await caller(where);
        const auto first = co_await play_call(calls, std::string{"a"});
        EXPECT_EQ(first.items, (Items{"0", "1", "2"}));
        EXPECT_FALSE(first.error);
        for (const auto* request : {"b", "c"}) {
            const auto failed = co_await play_call(calls, std::string{request});
            EXPECT_EQ(failed.items, Items{"0"});
            EXPECT_EQ(failed.error.value().code(), ErrorCode::internal);
        }
        const auto seen = worker.calls();
        EXPECT_EQ(seen.size(), 3U);
        EXPECT_EQ(seen.at(1).request, "b");
        EXPECT_EQ((co_await ended(&worker, 0)).end, Seen::End::done);
        EXPECT_EQ((co_await ended(&worker, 2)).end, Seen::End::failed);
    };
    cluster.run(body(&cluster));
}

TEST(ScriptedPeer, a_caller_stops_kills_drops_and_is_slow) {
    const InMemoryCluster cluster;
    auto body = [](this auto, const InMemoryCluster* where) -> Task<> {
        const auto worker = co_await Worker::start(
            *where,
            path,
            {items(1).hold().item("last words"), items(1).hold(), items(1).hold(), items(5)}
        );
        const auto calls = co_await caller(where);
        const auto stopped = co_await play_call(calls, std::string{}, {.stop_after = 1});
        EXPECT_EQ(stopped.items, (Items{"0", "last words"}));
        EXPECT_FALSE(stopped.error);
        const auto killed = co_await play_call(calls, std::string{}, {.kill_after = 1});
        EXPECT_EQ(killed.error.value().code(), ErrorCode::cancelled);
        const auto dropped = co_await play_call(calls, std::string{}, {.drop_after = 1});
        EXPECT_EQ(dropped.items.size(), 1U);
        for (std::size_t call : {1U, 2U}) {
            const auto seen = co_await ended(&worker, call);
            EXPECT_TRUE(seen.stopped) << call;
        }
        const auto slow = co_await play_call(calls, std::string{}, {.before_each = 1ms});
        EXPECT_EQ(slow.items.size(), 5U);
    };
    cluster.run(body(&cluster));
}

TEST(ScriptedPeer, a_worker_that_is_lost_cuts_its_calls_and_another_takes_the_next) {
    const InMemoryCluster cluster;
    auto body = [](this auto, const InMemoryCluster* where) -> Task<> {
        const auto fragile = co_await Worker::start(*where, path, {items(1).lose_worker()});
        const auto calls = co_await caller(where);
        const auto cut = co_await play_call(calls, std::string{});
        EXPECT_EQ(cut.items, Items{"0"});
        EXPECT_EQ(cut.error.value().code(), ErrorCode::disconnected) << cut.error->what();
        const auto steady = co_await Worker::start(*where, path, {items(2)});
        while (calls.client().instances()->routable.empty()) co_await sleep_for(1ms);
        const auto whole = co_await play_call(calls, std::string{});
        EXPECT_EQ(whole.items.size(), 2U);
        EXPECT_EQ(steady.calls().size(), 1U);
        co_await steady.leave(Deadline::in(1s));
    };
    cluster.run(body(&cluster));
}

TEST(ScriptedPeer, a_worker_without_a_script_is_refused) {
    const InMemoryCluster cluster;
    try {
        cluster.run(Worker::start(cluster, path, {}));
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid_request);
    }
}

}  // namespace
}  // namespace stator
