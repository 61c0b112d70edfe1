// Finds an instance of demo.backend.generate, whichever process that is in, and prints what it
// streams.
#include <fmt/format.h>
#include <stator/component/distributed_runtime.hpp>
#include <stator/component/router.hpp>
#include <stator/worker/worker.hpp>

using namespace stator;
using namespace std::chrono_literals;

Task<> app(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    auto client = co_await cluster.endpoint("demo.backend.generate").client();
    co_await client.wait_for_instances(Deadline::in(5s));
    Router<std::string, std::string> router{client, RouterMode::round_robin};
    auto reply = router.generate("hello world");
    while (auto letter = co_await reply.next()) fmt::print("{} ", *letter);
    fmt::print("\n");
}

int main() { return Worker::from_settings().execute(app); }
