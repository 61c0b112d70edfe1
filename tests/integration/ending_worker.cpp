// A worker whose end is arranged from outside (endings_test.py):
//   ending_worker ENDPOINT APP DRAIN_MS JOIN_MS
// serves the diagnostic endpoint. APP says what its application does at the end of stdin: "waits"
// (nothing: it ends by a signal), "returns" or "throws". A drain callback takes DRAIN_MS, and
// leaves a blocking job that keeps the process from joining its threads for JOIN_MS after it.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

#include "cli/diagnostic_endpoint.hpp"
#include "stator/component/distributed_runtime.hpp"
#include "stator/runtime/offload.hpp"
#include "stator/runtime/readiness.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/worker/worker.hpp"

using namespace stator;

namespace {

Task<> app(Runtime runtime, std::string endpoint, std::string_view how) {
    const auto cluster = co_await DistributedRuntime::connect(runtime);
    const auto served = co_await cluster.endpoint(endpoint).start_raw(
        cli::diagnostic_handler(cluster.instance_id(), transport::CallShape::server_streaming), {}
    );
    std::fputs("ready\n", stderr);
    if (how == "waits") co_return co_await served.run();
    co_await readable(STDIN_FILENO);
    if (how == "throws") throw Error{ErrorCode::internal, "ending.thrown", "thrown on purpose"};
}

Task<> drain(Runtime runtime, std::chrono::milliseconds time, std::chrono::milliseconds job) {
    if (job.count() > 0)
        runtime.blocking().post([both = time + job] { std::this_thread::sleep_for(both); });
    co_await sleep_for(time);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) return exit_usage;
    const std::string endpoint = arguments[1];
    const std::string_view how = arguments[2];
    const std::chrono::milliseconds drain_time{std::atoi(arguments[3])};
    const std::chrono::milliseconds job_time{std::atoi(arguments[4])};
    auto worker = Worker::from_settings();
    std::optional<Runtime> of_app;
    worker.on_drain("arranged", [&](Deadline) { return drain(*of_app, drain_time, job_time); });
    return worker.execute([&](Runtime runtime) {
        of_app = runtime.unowned();
        return app(std::move(runtime), endpoint, how);
    });
}
