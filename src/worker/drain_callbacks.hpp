// What an application wants to be done when its process is asked to end.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "stator/runtime/runtime.hpp"
#include "worker/signals.hpp"

namespace stator::inline worker {

/// Filled by one thread before `run`; `ended` and `unfinished` may be asked on any.
class DrainCallbacks {
public:
    void add(std::string name, std::function<Task<>(Deadline)> callback);

    /// Waits for the root token, then runs all of them at the same time until the shared deadline;
    /// then tells `signals`. Must outlive the task.
    Task<> run(Runtime runtime, SignalQueue* signals);
    bool ended() const noexcept { return ended_.load(); }
    /// A line for each that runs.
    std::vector<std::string> unfinished() const;

private:
    struct One {
        std::string name;
        std::function<Task<>(Deadline)> callback;
        std::atomic<bool> running{false};
    };
    static Task<> run_one(One* one, Deadline deadline);
    std::vector<std::unique_ptr<One>> all_;
    std::atomic<bool> ended_{false};
};

}  // namespace stator::inline worker
