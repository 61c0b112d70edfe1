// On which loop a request begins.
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cluster_fixture.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/on_loop.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::ClusterTest;
using LoopCalls = std::map<std::int64_t, int>;
using Numbers = Router<std::int64_t, std::int64_t>;

void hold_the_loop(Duration time) {
    for (const auto begin = Clock::steady().now(); Clock::steady().now() - begin < time;) {
    }
}

/// Holds its loop for so many microseconds; says which one it was.
Task<std::int64_t> hold(Context, std::int64_t microseconds) {
    hold_the_loop(std::chrono::microseconds{microseconds});
    co_return static_cast<std::int64_t>(Loop::current()->index());
}

Stream<std::int64_t> hold_for_each_item(Context, std::int64_t items) {
    for (std::int64_t i = 0; i < items; ++i) {
        hold_the_loop(1ms);
        co_yield static_cast<std::int64_t>(Loop::current()->index());
    }
}

/// Two primary loops serve; the calls come from the secondary one, by a single connection.
class PlacementTest : public ClusterTest {
public:
    template <class F>
    void serve_and_call(F handler, std::function<Task<>(Numbers)> body) {
        threads = 2;
        run([handler, body](ClusterTest* test) {
            return on_loop(test->runtime().secondary().loop(0), call(test, handler, body));
        });
    }

private:
    template <class F>
    static Task<> call(ClusterTest* test, F handler, std::function<Task<>(Numbers)> body) {
        const auto cluster = co_await test->join();
        const auto endpoint = cluster.endpoint("demo.backend.hold");
        const auto served = co_await endpoint.start(handler);
        const auto client = co_await endpoint.client();
        co_await client.wait_for_instances(Deadline::in(5s));
        co_await body(Numbers{client});
        co_await served.shutdown(Deadline::in(5s));
    }
};

/// How many of `count` calls at a time each loop served.
Task<LoopCalls> burst(Numbers router, int count, std::int64_t argument) {
    std::vector<Task<std::int64_t>> calls;
    for (int i = 0; i < count; ++i) calls.push_back(router.ask(argument));
    LoopCalls seen;
    for (const auto loop : co_await when_all(std::move(calls))) ++seen[loop];
    co_return seen;
}

TEST_F(PlacementTest, HandlersThatHoldTheLoopAreSpread) {
    serve_and_call(hold, [](Numbers router) -> Task<> {
        for (int i = 0; i < 20; ++i) (void)co_await router.ask(5000);  // so that it is known
        const auto seen = co_await burst(router, 16, 5000);
        EXPECT_EQ(seen.size(), 2U);
        for (const auto& [loop, calls] : seen) EXPECT_GE(calls, 4) << "on loop " << loop;
    });
}

TEST_F(PlacementTest, ShorterStepsThanTheSettingStayWhereTheirConnectionIs) {
    long_step = 1h;
    serve_and_call(hold, [](Numbers router) -> Task<> {
        for (int i = 0; i < 5; ++i) (void)co_await router.ask(2000);
        EXPECT_EQ((co_await burst(router, 16, 2000)).size(), 1U);
    });
}

TEST_F(PlacementTest, EachLoopThatCallsHasAConnectionAndTheseAreSpreadOverTheWorkersLoops) {
    threads = 4;
    long_step = 1h;  // nothing is given away: a call is served where its connection is
    run([](ClusterTest* test) -> Task<> {
        const auto cluster = co_await test->join();
        const auto endpoint = cluster.endpoint("demo.backend.hold");
        const auto served = co_await endpoint.start(hold);
        const auto client = co_await endpoint.client();
        co_await client.wait_for_instances(Deadline::in(5s));
        const Numbers router{client};
        LoopCalls connections;
        for (std::size_t i = 0; i < 4; ++i) {
            auto& loop = test->runtime().primary().loop(i);
            const auto seen = co_await on_loop(loop, burst(router, 20, 0));
            EXPECT_EQ(seen.size(), 1U) << "loop " << i << " calls by one connection";
            ++connections[seen.begin()->first];
        }
        EXPECT_EQ(connections.size(), 4U) << "each loop of the worker serves one of them";
        co_await served.shutdown(Deadline::in(5s));
    });
}

TEST_F(PlacementTest, AStreamIsServedByOneLoopToItsEnd) {
    long_step = 0s;
    serve_and_call(hold_for_each_item, [](Numbers router) -> Task<> {
        auto items = router.generate(50);
        const auto first = co_await items.next();
        int count = 1;
        while (const auto loop = co_await items.next()) {
            EXPECT_EQ(loop, first);
            ++count;
        }
        EXPECT_EQ(count, 50);
    });
}

}  // namespace
}  // namespace stator
