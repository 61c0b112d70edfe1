// What is served leaves when everything is asked to end, and what does not end is named.
#include <algorithm>
#include <string>

#include "cluster_fixture.hpp"
#include "stator/runtime/token_wait.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): handlers live as long as their
// endpoint
namespace stator::testing {
namespace {

using namespace std::chrono_literals;
using Text = Router<std::string, std::string>;

constexpr auto path = "demo.backend.generate";

Task<> wait_for(Event* event) { co_await event->wait(); }

class Departure : public ClusterTest {};

TEST_F(Departure, WhatTheApplicationHasLetGoOfFinishesItsRequests) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        Event begun;
        Event finish;
        {
            const auto served = co_await worker.endpoint(path).start(
                [&](Context, std::string text) -> Task<std::string> {
                    begun.set();
                    co_await finish.wait();
                    co_return text;
                }
            );
        }
        const auto caller = co_await test->join();
        std::string reply;
        TaskScope scope;
        scope.spawn([](Text router, std::string* into) -> Task<> {
            *into = co_await router.ask("x");
        }(Text{co_await caller.endpoint(path).client()}, &reply));
        co_await begun.wait();
        // Nobody serves it by a task that could be told; it is told by itself.
        test->runtime().shutdown();
        while (!(co_await caller.discovery().list_all()).empty()) co_await sleep_for(1ms);
        EXPECT_EQ(reply, "");
        finish.set();
        co_await scope.join();
        EXPECT_EQ(reply, "x");
    });
}

TEST_F(Departure, WhatDoesNotEndInTimeIsNamedAfterIt) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        Event finish;
        Event begun;
        const auto served = co_await worker.endpoint(path).start(
            [&](Context, std::string text) -> Task<std::string> {
                begun.set();
                co_await shielded(wait_for(&finish));
                co_return text;
            }
        );
        const Text router{co_await worker.endpoint(path).client()};
        TaskScope scope;
        scope.spawn([](Text of) -> Task<> {
            (void)co_await as_result(of.ask("x"));  // killed, and answered all the same
        }(router));
        co_await begun.wait();
        const auto named = [test] {
            return std::ranges::any_of(test->runtime().unfinished(), [](const auto& line) {
                return line.starts_with("demo.backend.generate request ");
            });
        };
        EXPECT_TRUE(named());
        co_await served.shutdown(Deadline::in(50ms));
        EXPECT_TRUE(named());
        // Its place is free all the same.
        const auto echo = [](Context, std::string text) -> Task<std::string> { co_return text; };
        EXPECT_TRUE(co_await as_result(worker.endpoint(path).start(echo)));
        finish.set();
        co_await scope.join();
        while (named()) co_await sleep_for(1ms);
    });
}

}  // namespace
}  // namespace stator::testing
// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
