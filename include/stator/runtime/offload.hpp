// Blocking work, off the loops.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "stator/runtime/loop.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline runtime {

/// Threads for calls that block. What waits for a thread is held by the task that offloaded it, so
/// the queue is bounded by the number of tasks. Thread-safe; its destructor waits for the work that
/// has begun or waits.
class BlockingPool {
public:
    /// `threads` >= 1; they take no signals but their own faults. Throws std::system_error when one
    /// cannot be made.
    explicit BlockingPool(std::size_t threads);
    BlockingPool(const BlockingPool&) = delete;
    BlockingPool& operator=(const BlockingPool&) = delete;
    ~BlockingPool();
    /// `work` must not throw.
    void post(std::move_only_function<void()> work);

private:
    struct Threads;
    std::unique_ptr<Threads> threads_;
};

namespace detail {

template <class F>
struct Offload {
    using Value = std::invoke_result_t<F&>;
    BlockingPool& pool;
    F work;
    std::optional<std::conditional_t<std::is_void_v<Value>, std::monostate, Value>> value{};
    std::exception_ptr error{};

    bool await_ready() const noexcept { return false; }
    template <StatorPromise Promise>
    void await_suspend(std::coroutine_handle<Promise> task) {
        pool.post([this, task, loop = task.promise().env->loop] {
            try {
                if constexpr (std::is_void_v<Value>) {
                    work();
                } else {
                    value.emplace(work());
                }
            } catch (...) {
                error = std::current_exception();
            }
            loop->wake(task);
        });
    }
    Value await_resume() {
        if (error) std::rethrow_exception(error);
        if constexpr (!std::is_void_v<Value>) return std::move(*value);
    }
};

}  // namespace detail

/// Runs `work()` on a thread of `pool`, then goes on here with its result, or throws what it threw.
/// Cancel safety: not interrupted; work that has been handed over is waited for.
template <class F>
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters): the pool outlives tasks
Task<std::invoke_result_t<F&>> offload(BlockingPool& pool, F work) {
    co_return co_await detail::Offload<F>{pool, std::move(work)};
}

}  // namespace stator::inline runtime
