// Talks to demo.chat.talk: says something only when it has heard something, so neither side runs
// ahead of the other.
#include <memory>

#include <fmt/format.h>
#include <stator/component/distributed_runtime.hpp>
#include <stator/component/router.hpp>
#include <stator/runtime/channel.hpp>
#include <stator/worker/worker.hpp>

using namespace stator;
using namespace std::chrono_literals;

using Lines = Channel<std::string>;

Stream<std::string> said(std::shared_ptr<Lines> lines) {
    while (auto line = co_await lines->receive()) co_yield std::move(*line);
}

Task<> app(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    auto client = co_await cluster.endpoint("demo.chat.talk").client();
    co_await client.wait_for_instances(Deadline::in(5s));
    const Router<std::string, std::string> router{client};

    const std::vector<std::string> script{"Ada", "how do you do?", "what is this?"};
    auto lines = std::make_shared<Lines>(1);
    auto heard = router.generate(said(lines));
    std::size_t next = 0;
    while (auto answer = co_await heard.next()) {
        fmt::print("< {}\n", *answer);
        if (next == script.size()) {
            lines->close();
            continue;
        }
        fmt::print("> {}\n", script[next]);
        co_await lines->send(script[next++]);
    }
}

int main() { return Worker::from_settings().execute(app); }
