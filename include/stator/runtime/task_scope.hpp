// TaskScope: the owner of tasks that run beside the one that started them.
#pragma once

#include <cstddef>
#include <exception>

#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline runtime {

class LoopPool;

/// Owns running tasks; no task of a scope outlives it. Declared last in its owner, so that what its
/// tasks use is still there. Its token is a child of the one it was made with; every task runs
/// under it.
///
/// The owner ends it with `co_await close()` (cancel and wait) or `co_await join()` (wait);
/// destroying a scope whose tasks still run ends the process with a message, since it would leave
/// them with dangling references. The first error of a task, other than `cancelled`, cancels the
/// scope and is thrown by `join`; one that nobody joined for is reported to the sink.
///
/// Tasks may be spawned from any thread; `spawn_on` names the loop, `spawn` takes the current one.
class TaskScope {
public:
    explicit TaskScope(CancellationToken parent = {});
    TaskScope(const TaskScope&) = delete;
    TaskScope& operator=(const TaskScope&) = delete;
    ~TaskScope();

    /// Starts `task` on the current loop, in its next turn.
    void spawn(Task<void> task);
    /// Starts `task` on `loop`; from another thread that is one batched hop.
    void spawn_on(Loop& loop, Task<void> task);
    /// Starts `task` on whichever loop of `pool` comes to it first.
    void spawn_on(LoopPool& pool, Task<void> task);
    /// As above on one loop under `token`, which should be below the scope's, so that closing the
    /// scope ends the task.
    void spawn_on(Loop& loop, Task<void> task, CancellationToken token);

    const CancellationToken& token() const noexcept { return token_; }
    void cancel(CancelReason reason = CancelReason::requested) const noexcept {
        token_.cancel(reason);
    }
    /// Tasks started and not yet ended.
    std::size_t size() const noexcept;

    /// Waits until no task runs; throws the first error. More tasks may be spawned while it waits.
    /// Cancel safety: throws `cancelled`, the tasks go on.
    Task<> join();
    /// Cancels, then waits, whatever happens to the awaiting task. Never throws: an error that
    /// `join` has not thrown is reported to the sink.
    Task<> close(CancelReason reason = CancelReason::requested);

private:
    struct Job;
    Job& add(Loop* loop, Task<void> task, CancellationToken token);
    void ended(std::exception_ptr error) noexcept;
    std::exception_ptr take_error() noexcept;
    void report_error() noexcept;
    Task<> wait_until_idle();

    CancellationToken token_;
    mutable detail::SpinLock lock_;
    std::size_t running_ = 0;
    std::exception_ptr error_;
    Event idle_;
};

}  // namespace stator::inline runtime
