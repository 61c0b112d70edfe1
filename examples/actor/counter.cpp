// An actor, reachable as an instance of an endpoint: callers anywhere in the cluster name it by its
// instance id, and its state is touched by one message at a time.
#include <fmt/format.h>
#include <stator/component/distributed_runtime.hpp>
#include <stator/component/router.hpp>
#include <stator/runtime/actor.hpp>
#include <stator/worker/worker.hpp>

using namespace stator;
using namespace std::chrono_literals;

struct Counter {
    int value = 0;
    int add(int n) { return value += n; }
};

Task<> call(DistributedRuntime cluster, InstanceId counter) {
    auto client = co_await cluster.endpoint("demo.counter.add").client();
    co_await client.wait_for_instances(Deadline::in(5s));
    Router<int, int> router{client, RouterMode::direct};
    fmt::print("{}\n", co_await router.ask(1, {.instance = counter}));
    fmt::print("{}\n", co_await router.ask(2, {.instance = counter}));
}

Task<> app(Runtime runtime) {
    TaskScope actors{co_await current_token()};
    std::exception_ptr failure;
    try {
        auto counter =
            Actor<Counter>::start(actors, runtime.primary().loop(), [] { return Counter{}; });
        auto cluster = co_await DistributedRuntime::connect(runtime);
        auto served =
            co_await cluster.endpoint("demo.counter.add").start([counter](Context request, int n) {
                return counter.ask(
                    [n](Counter& state) { return state.add(n); }, request.deadline()
                );
            });
        co_await call(cluster, served.instance_id());  // usually from another process
        co_await served.shutdown(Deadline::in(5s));
    } catch (...) {
        failure = std::current_exception();
    }
    co_await actors.close();
    if (failure) std::rethrow_exception(failure);
}

int main() { return Worker::from_settings().execute(app); }
