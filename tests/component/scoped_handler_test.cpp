// Handlers and inputs whose own frame owns tasks, ended where they wait at a co_yield.
#include <string>

#include <gtest/gtest.h>

#include "cluster_fixture.hpp"
#include "stator/runtime/channel.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::ClusterTest;

constexpr auto path = "demo.scoped.numbers";

/// What became of the generators below.
struct Seen {
    int tasks = 0;   // that were told
    int bodies = 0;  // that ended after their tasks
};

Task<> produce(Channel<std::string>* into, Seen* seen) {
    const auto forever = [](Channel<std::string>* channel) -> Task<> {
        for (;;) co_await channel->send("x");
    };
    (void)co_await as_result(forever(into));
    ++seen->tasks;
}

Stream<std::string> numbers(Seen* seen) {
    Channel<std::string> made{4};
    TaskScope scope{co_await current_token()};
    std::exception_ptr failure;
    try {
        scope.spawn(produce(&made, seen));
        scope.spawn(produce(&made, seen));
        while (auto one = co_await made.receive()) co_yield std::move(*one);
    } catch (...) {
        failure = std::current_exception();
    }
    co_await scope.close();
    ++seen->bodies;
    if (failure) std::rethrow_exception(failure);
}

Task<bool> until(std::function<bool()> holds) {
    for (int i = 0; i < 5000 && !holds(); ++i) co_await sleep_for(1ms);
    co_return holds();
}

class ScopedHandler : public ClusterTest {
protected:
    Seen seen;
};

TEST_F(ScopedHandler, ends_its_tasks_when_the_caller_drops_the_answer) {
    run([this](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await worker.endpoint(path).start([this](Context, std::string) {
            return numbers(&seen);
        });
        const Router<std::string, std::string> router{co_await worker.endpoint(path).client()};
        for (int calls = 1; calls <= 5; ++calls) {
            {
                auto items = router.generate("go");
                for (int i = 0; i < calls * 3; ++i) EXPECT_TRUE(co_await items.next());
            }
            // It waits at a co_yield for credit, or for its channel.
            EXPECT_TRUE(co_await until([&] { return seen.bodies == calls; }));
            EXPECT_EQ(seen.tasks, 2 * calls);
        }
        EXPECT_TRUE(co_await until([&] { return served.inflight() == 0; }));
    });
}

TEST_F(ScopedHandler, ends_its_tasks_at_the_deadline_and_at_the_shutdown) {
    graceful = 1s;
    run([this](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await worker.endpoint(path).start([this](Context, std::string) {
            return numbers(&seen);
        });
        const Router<std::string, std::string> router{co_await worker.endpoint(path).client()};
        auto late = router.generate("go", {.deadline = Deadline::in(50ms)});
        EXPECT_TRUE(co_await late.next());
        // Nobody takes more: the handler waits for credit when the deadline passes.
        EXPECT_TRUE(co_await until([&] { return seen.bodies == 1; }));
        auto cut = router.generate("go");
        EXPECT_TRUE(co_await cut.next());
        test->runtime().requests_token().cancel(CancelReason::shutdown);
        EXPECT_TRUE(co_await until([&] { return seen.bodies == 2; }));
        EXPECT_EQ(seen.tasks, 4);
    });
}

TEST_F(ScopedHandler, inputs_of_calls_are_closed_too) {
    run([this](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        auto first = [](Context, Stream<std::string> items) -> Task<std::string> {
            auto item = co_await items.next();
            co_return item.value_or("none");  // leaves the rest
        };
        const auto served = co_await worker.endpoint(path).start(first);
        const Router<std::string, std::string> router{co_await worker.endpoint(path).client()};
        EXPECT_EQ(co_await router.ask(numbers(&seen)), "x");
        EXPECT_TRUE(co_await until([&] { return seen.bodies == 1; }));
        EXPECT_EQ(seen.tasks, 2);
    });
}

}  // namespace
}  // namespace stator
