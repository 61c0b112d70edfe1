// A program without a coroutine of its own: threads and futures around stator's tasks.
// Asks demo.polling.tell, whichever process serves it.
#include <future>
#include <vector>

#include <fmt/format.h>
#include <stator/component/distributed_runtime.hpp>
#include <stator/component/router.hpp>

using namespace stator;
using namespace std::chrono_literals;

int main() {
    try {
        const auto runtime = Runtime::from_settings();
        // `block_on`: this thread waits for one task after the other.
        auto cluster = runtime.block_on(DistributedRuntime::connect(runtime));
        auto client = runtime.block_on(cluster.endpoint("demo.polling.tell").client());
        runtime.block_on(client.wait_for_instances(Deadline::in(5s)));
        Router<std::string, std::string> router{client, RouterMode::round_robin};

        // `spawn_future`: they run at the same time.
        std::vector<std::future<std::string>> answers;
        for (const auto* question : {"one", "two", "three"})
            answers.push_back(runtime.spawn_future(router.ask(std::string{question})));
        for (auto& answer : answers) fmt::print("{}\n", answer.get());
        return runtime.shutdown_and_wait(Deadline::in(5s)) ? 0 : 1;
    } catch (const Error& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}
