// Serves demo.chat.talk: a conversation. Each line that comes is answered as soon as it has come.
#include <fmt/format.h>
#include <stator/component/distributed_runtime.hpp>
#include <stator/worker/worker.hpp>

using namespace stator;

Stream<std::string> talk(Context request, Stream<std::string> lines) {
    co_yield "hello, who are you?";
    auto name = co_await lines.next();
    if (!name) co_return;
    co_yield fmt::format("nice to meet you, {}", *name);
    for (int count = 1; auto line = co_await lines.next(); ++count) {
        if (request.stopped()) co_return;
        co_yield fmt::format("{}: you said \"{}\"", count, *line);
    }
    co_yield fmt::format("goodbye, {}", *name);  // the caller has closed its half
}

Task<> app(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    co_await cluster.endpoint("demo.chat.talk").serve(talk);
}

int main() { return Worker::from_settings().execute(app); }
