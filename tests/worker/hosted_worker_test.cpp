#include "stator/worker/hosted_worker.hpp"

#include <cstdlib>
#include <thread>

#include <gtest/gtest.h>

#include "stator/component/distributed_runtime.hpp"
#include "stator/component/router.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/worker/worker.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

class HostedWorkerTest : public ::testing::Test {
protected:
    HostedWorkerTest() { ::setenv("DYN_DISCOVERY_BACKEND", "mem", 1); }

    /// What `execute(app)` ends with on a loop that was there before.
    template <class App>
    int execute(App app, CancellationToken token = {}) {
        int status = -1;
        auto body = [&](this auto, App own) -> Task<> {
            status = co_await Worker::from_current().execute(std::move(own));
        };
        scope.spawn_on(loops[0], with_token(std::move(token), body(std::move(app))));
        while (scope.size() != 0) std::this_thread::yield();
        return status;
    }

    LoopPool loops{1, "theirs"};
    TaskScope scope;
};

Task<> waits(Runtime) { co_await sleep_until(Deadline::never()); }

TEST_F(HostedWorkerTest, runs_the_application_on_this_loop_and_tells_its_status) {
    EXPECT_EQ(
        execute([this](Runtime runtime) -> Task<int> {
            EXPECT_EQ(Loop::current(), &loops[0]);
            EXPECT_EQ(&runtime.primary().loop(), &loops[0]);
            return [](this auto) -> Task<int> { co_return 7; }();
        }),
        7
    );
    EXPECT_EQ(
        execute([](Runtime) -> Task<> { return [](this auto) -> Task<> { co_return; }(); }), 0
    );
}

TEST_F(HostedWorkerTest, serves_and_calls_from_the_same_loop) {
    auto app = [](Runtime runtime) -> Task<int> {
        return [](this auto, Runtime own) -> Task<int> {
            auto cluster = co_await DistributedRuntime::connect(own);
            auto endpoint = cluster.endpoint("demo.hosted.double");
            auto twice = [](Context, int n) -> Task<int> { co_return 2 * n; };
            TaskScope serving{co_await current_token()};
            serving.spawn(endpoint.serve(twice));
            auto client = co_await endpoint.client();
            co_await client.wait_for_instances(Deadline::in(10s));
            Router<int, int> router{client, RouterMode::round_robin};
            const int answer = co_await router.ask(21);
            co_await serving.close();
            co_return answer;
        }(std::move(runtime));
    };
    EXPECT_EQ(execute(app), 42);
}

TEST_F(HostedWorkerTest, an_error_of_the_application_is_a_status) {
    EXPECT_EQ(
        execute([](Runtime) -> Task<> {
            return [](this auto) -> Task<> {
                throw Error{ErrorCode::internal, "on purpose"};
                co_return;
            }();
        }),
        exit_failed
    );
}

TEST_F(HostedWorkerTest, ends_when_its_runtime_is_asked_to_or_its_awaiter_is_cancelled) {
    EXPECT_EQ(
        execute([](Runtime runtime) -> Task<> {
            runtime.shutdown();
            return waits(runtime);
        }),
        0
    );
    const auto token = CancellationToken::make();
    EXPECT_EQ(
        execute(
            [token](Runtime runtime) -> Task<> {
                token.cancel();
                return waits(runtime);
            },
            token
        ),
        0
    );
}

TEST_F(HostedWorkerTest, elsewhere_or_with_a_bad_setting_execute_reports_it) {
    auto worker = Worker::from_current();  // no loop runs here
    int status = -1;
    auto body = [&](this auto) -> Task<> { status = co_await worker.execute(waits); };
    scope.spawn_on(loops[0], body());
    while (scope.size() != 0) std::this_thread::yield();
    EXPECT_EQ(status, exit_usage);
    ::setenv("DYN_RUNTIME_SECONDARY_THREADS", "many", 1);
    EXPECT_EQ(execute(waits), exit_usage);
    ::unsetenv("DYN_RUNTIME_SECONDARY_THREADS");
}

}  // namespace
}  // namespace stator
