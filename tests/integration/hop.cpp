// A worker that answers with what another one answers (cancel_test.py): hop ENDPOINT NEXT
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

#include "stator/component/distributed_runtime.hpp"
#include "stator/component/router.hpp"
#include "stator/worker/worker.hpp"

using namespace stator;

namespace {

Stream<Bytes> pass_on(RouteCore next, Context context, Bytes request, PayloadCodec codec) {
    auto items = next.generate(context.child(), std::move(request), {.codec = codec});
    while (auto item = co_await items.next()) co_yield std::move(*item);
}

Task<> app(Runtime runtime, std::string endpoint, std::string next) {
    const auto cluster = co_await DistributedRuntime::connect(std::move(runtime));
    const auto client = co_await cluster.endpoint(next).client();
    co_await client.wait_for_instances(Deadline::in(std::chrono::seconds{20}));
    const RouteCore core{client, RouterMode::round_robin};
    const auto served = co_await cluster.endpoint(endpoint).start_raw(
        [core](Context context, Bytes request, PayloadCodec codec) {
            return pass_on(core, std::move(context), std::move(request), codec);
        },
        {}
    );
    std::fputs("ready\n", stderr);
    co_await served.run();
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 3) return exit_usage;
    return Worker::from_settings().execute([&](Runtime runtime) {
        return app(std::move(runtime), arguments[1], arguments[2]);
    });
}
