// Where a thread that is no loop's waits for a task.
#pragma once

#include <condition_variable>
#include <exception>
#include <future>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "stator/base/deadline.hpp"
#include "stator/base/error.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline runtime::detail {

/// Opened once; thread-safe. Whoever waits may destroy it as soon as it is open.
class BlockedThread {
public:
    void release();
    void wait();
    /// False when it was not open by `deadline` (of the steady clock).
    bool wait_until(Deadline deadline);

private:
    std::mutex lock_;
    std::condition_variable changed_;
    bool released_ = false;
};

template <class T>
Task<> run_and_release(
    Task<T> task,
    std::optional<Result<T>>* outcome,
    std::exception_ptr* foreign,
    BlockedThread* blocked
) {
    try {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(task);
            outcome->emplace();
        } else {
            outcome->emplace(co_await std::move(task));
        }
    } catch (...) {
        *foreign = std::current_exception();
    }
    blocked->release();
}

/// Runs `task` and tells `promise`. The task's frame is gone before the promise is told, so what it
/// used may go as soon as the future is ready.
template <class T>
Task<> fulfil(Task<T> task, std::promise<T> promise) {
    auto own = std::move(promise);
    std::optional<std::conditional_t<std::is_void_v<T>, bool, T>> value;
    std::exception_ptr failure;
    {
        auto running = std::move(task);
        try {
            if constexpr (std::is_void_v<T>) {
                co_await std::move(running);
                value.emplace(true);
            } else {
                value.emplace(co_await std::move(running));
            }
        } catch (...) {
            failure = std::current_exception();
        }
    }
    if (failure) {
        own.set_exception(std::move(failure));
    } else if constexpr (std::is_void_v<T>) {
        own.set_value();
    } else {
        own.set_value(std::move(*value));
    }
}

}  // namespace stator::inline runtime::detail
