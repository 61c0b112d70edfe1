// Work that would hold a loop, elsewhere: calls that block, and computation.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "stator/runtime/detail/wait.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline runtime {

namespace detail {

struct PoolJobTag {};

/// A piece of work in the queue of a pool: lives in whoever waits for it.
struct PoolJob : ListLink<PoolJobTag> {
    using Run = void (*)(PoolJob&) noexcept;
    explicit PoolJob(Run run_) noexcept : run{run_} {}
    Run run;
};

}  // namespace detail

/// Threads for calls that block or compute: started when work waits, up to a bound, and gone again
/// when there has been none for a while. What waits for a thread is held by the task that handed it
/// over, so the queue is bounded by the number of tasks. First come, first served. Thread-safe; its
/// destructor waits for the work that has begun or waits.
class BlockingPool {
public:
    struct Options {
        std::size_t threads = 1;  ///< at most, and at least one
        std::string name = "blocking";
        std::size_t stack_size = 0;                     ///< in bytes; 0: the system's default
        Duration idle_time = std::chrono::seconds{10};  ///< until a thread without work ends
    };
    /// The threads take no signals but their own faults.
    explicit BlockingPool(Options options);
    explicit BlockingPool(std::size_t threads) : BlockingPool{Options{.threads = threads}} {}
    BlockingPool(const BlockingPool&) = delete;
    BlockingPool& operator=(const BlockingPool&) = delete;
    ~BlockingPool();

    /// `work` must not throw. Throws std::system_error when there is no thread and none can be
    /// made.
    void post(std::move_only_function<void()> work);
    /// As `post`; `job` must live until it has run or was taken back.
    void submit(detail::PoolJob& job);
    /// False when the job has begun: then it is not interrupted.
    bool take_back(detail::PoolJob& job) noexcept;

    /// Threads that there are now.
    std::size_t threads() const noexcept;
    /// Jobs that have not begun.
    std::size_t waiting() const noexcept;
    /// Jobs that have begun and not ended.
    std::size_t running() const noexcept;
    /// Waits for the work that has begun or waits, and ends the threads. What comes later is done
    /// all the same. Blocks, for as long as that takes.
    void finish() noexcept;

private:
    struct Threads;
    std::unique_ptr<Threads> threads_;
};

namespace detail {

/// What `work` is called with: the token of the task that handed it over, if it takes one.
template <class F>
decltype(auto) call_work(F& work, const CancellationToken& token) {
    if constexpr (std::is_invocable_v<F&, const CancellationToken&>) {
        return work(token);
    } else {
        return work();
    }
}

template <class F>
using WorkValue = decltype(call_work(std::declval<F&>(), std::declval<const CancellationToken&>()));

/// Lives in the awaiting frame. `value` and `error` are written by the pool's thread before it
/// wakes the task. Whether a cancellation or a thread is first is decided by the pool's queue.
template <class F, bool cancellable>
class Offload : PoolJob, CancelHook {
public:
    using Value = WorkValue<F>;
    Offload(BlockingPool& pool, F work)
        : PoolJob{&Offload::on_thread},
          CancelHook{&Offload::on_cancel},
          pool_{pool},
          work_{std::move(work)} {}
    Offload(const Offload&) = delete;
    Offload& operator=(const Offload&) = delete;

    bool await_ready() const noexcept { return false; }
    template <StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) {
        task_ = task;
        env_ = task.promise().env;
        if constexpr (cancellable) {
            cancelled_ = !env_->token.arm(*this);
            if (cancelled_) return false;
        }
        try {
            pool_.submit(*this);
        } catch (...) {
            CancellationToken::disarm(*this);
            throw;
        }
        return true;
    }
    Value await_resume() {
        CancellationToken::disarm(*this);
        if (cancelled_) throw_cancelled(env_->token);
        if (error_) std::rethrow_exception(std::move(error_));
        if constexpr (!std::is_void_v<Value>) return std::move(*value_);
    }

private:
    static void on_thread(PoolJob& job) noexcept {
        auto& self = static_cast<Offload&>(job);
        try {
            if constexpr (std::is_void_v<Value>) {
                call_work(self.work_, self.env_->token);
            } else {
                self.value_.emplace(call_work(self.work_, self.env_->token));
            }
        } catch (...) {
            self.error_ = std::current_exception();
        }
        self.env_->loop->wake(self.task_);
    }
    static void on_cancel(CancelHook& hook) noexcept {
        auto& self = static_cast<Offload&>(hook);
        if (!self.pool_.take_back(self)) return;
        self.cancelled_ = true;
        self.env_->loop->wake_local(self.task_);
    }

    BlockingPool& pool_;
    F work_;
    std::optional<std::conditional_t<std::is_void_v<Value>, std::monostate, Value>> value_{};
    std::exception_ptr error_{};
    std::coroutine_handle<> task_;
    const Env* env_ = nullptr;
    bool cancelled_ = false;
};

}  // namespace detail

/// Runs `work()`, or `work(token)` with the token of this task, on a thread of `pool`, then goes on
/// here with its result, or throws what it threw; std::system_error when the pool cannot make its
/// first thread. For calls that block.
/// Cancel safety: not interrupted; work that has been handed over is waited for.
template <class F>
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters): the pool outlives tasks
Task<detail::WorkValue<F>> offload(BlockingPool& pool, F work) {
    co_return co_await detail::Offload<F, false>{pool, std::move(work)};
}

/// As `offload`, for work that nobody needs once its task is cancelled.
/// Cancel safety: work that has not begun is taken back and `cancelled` thrown; work that has begun
/// is waited for: it may look at its token.
template <class F>
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters): the pool outlives tasks
Task<detail::WorkValue<F>> offload_unless_cancelled(BlockingPool& pool, F work) {
    co_return co_await detail::Offload<F, true>{pool, std::move(work)};
}

}  // namespace stator::inline runtime
