#include "stator/worker/hosted_worker.hpp"

#include <source_location>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/worker/worker.hpp"

namespace stator::inline worker {

namespace {

Task<> keep_status(Task<int> app, int* status) { *status = co_await std::move(app); }

/// The application, and the way to its end when whoever waits for it is cancelled.
Task<Result<int>> run_application(Runtime runtime, Task<int> app) {
    int status = exit_ok;
    TaskScope scope{runtime.primary_token()};
    scope.spawn(keep_status(std::move(app), &status));
    auto ended = co_await as_result(scope.join());
    runtime.shutdown();
    // A cancellation is ours: the application's own counts as an end.
    if (!ended && ended.error().code() == ErrorCode::cancelled)
        ended = co_await shielded(as_result(scope.join()));
    co_await scope.close();
    if (!ended) co_return std::unexpected{ended.error()};
    co_return status;
}

Task<bool> end(Runtime runtime) {
    // On a thread that may block; this loop is needed for the end.
    co_return co_await offload(runtime.blocking(), [runtime] {
        return runtime.shutdown_and_wait();
    });
}

void say(const std::string& line, std::source_location where = std::source_location::current()) {
    sink().report(Severity::error, "stator::worker", line, where);
}

}  // namespace

Task<int> HostedWorker::succeed(Task<> app) {
    co_await std::move(app);
    co_return exit_ok;
}

Task<int> HostedWorker::run(Application app) {
    if (!runtime_) {
        say(runtime_.error().what());
        co_return exit_usage;
    }
    const Runtime runtime = *runtime_;
    auto status = co_await run_application(runtime, app(runtime));
    if (!status) say(fmt::format("the application failed: {}", status.error().what()));
    if (!co_await shielded(end(runtime))) {
        say("the grace period has run out");
        co_return exit_timeout;
    }
    co_return status ? *status : exit_failed;
}

HostedWorker Worker::from_current() {
    try {
        return HostedWorker{Runtime::from_current()};
    } catch (const Error& error) {
        return HostedWorker{std::unexpected{error}};
    }
}

}  // namespace stator::inline worker
