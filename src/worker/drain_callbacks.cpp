#include "worker/drain_callbacks.hpp"

#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"

namespace stator::inline worker {

void DrainCallbacks::add(std::string name, std::function<Task<>(Deadline)> callback) {
    auto one = std::make_unique<One>();
    one->name = std::move(name);
    one->callback = std::move(callback);
    all_.push_back(std::move(one));
}

Task<> DrainCallbacks::run_one(One* one, Deadline deadline) {
    one->running.store(true);
    // A callback may throw before it is awaited.
    const auto call = [](One* of, Deadline until) -> Task<> { co_await of->callback(until); };
    const auto ended = co_await as_result(with_deadline(deadline, call(one, deadline)));
    one->running.store(false);
    if (!ended) {
        sink().report(
            Severity::error,
            "stator::worker",
            fmt::format("drain callback {}: {}", one->name, ended.error().what())
        );
    }
}

Task<> DrainCallbacks::run(Runtime runtime, SignalQueue* signals) {
    // Held by the runtime's own task: a handle would keep the runtime alive.
    const auto weak = runtime.unowned();
    runtime = weak;
    const auto root = weak.primary_token();
    co_await root.wait();
    std::vector<Task<>> running;
    for (const auto& one : all_) running.push_back(run_one(one.get(), weak.shutdown_deadline()));
    if (!running.empty()) (void)co_await as_result(when_all(std::move(running)));
    ended_.store(true);
    signals->notify_done();
}

std::vector<std::string> DrainCallbacks::unfinished() const {
    std::vector<std::string> lines;
    for (const auto& one : all_) {
        if (one->running.load()) lines.push_back(fmt::format("drain callback {}", one->name));
    }
    return lines;
}

}  // namespace stator::inline worker
