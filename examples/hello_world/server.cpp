// Serves the endpoint demo.backend.generate: a text in, its letters out, one by one.
#include <stator/component/distributed_runtime.hpp>
#include <stator/worker/worker.hpp>

using namespace stator;

Stream<std::string> spell_out(Context request, std::string text) {
    for (char letter : text) {
        if (request.stopped()) co_return;  // the caller has had enough, or this process ends
        co_yield std::string{letter};      // waits while the caller is slower
    }
}

Task<> app(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    auto endpoint = cluster.ns("demo").component("backend").endpoint("generate");
    // Until SIGTERM or Ctrl-C; running requests are finished first.
    co_await endpoint.serve(spell_out);
}

int main() { return Worker::from_settings().execute(app); }
