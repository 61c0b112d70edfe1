// CriticalTask: a task whose failure ends what it belongs to.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "stator/runtime/runtime.hpp"

namespace stator::inline runtime {

/// A handle of a task that its surroundings cannot do without, such as the keep-alive of a lease.
/// If it fails, `parent` is cancelled at once and `join` throws its error with the context
/// "critical task <name>". Ending by itself or by `cancel` concerns nobody else.
///
/// The runtime owns the task. Dropping the handle without `join` or `detach` cancels the task and
/// reports that; it does not wait. Movable, one owner; used from one loop.
class CriticalTask {
public:
    using Body = std::move_only_function<Task<>(CancellationToken)>;
    /// Starts `body(token)` on `where`; the token is a child of `parent`, and the task runs under
    /// it.
    CriticalTask(Handle where, CancellationToken parent, std::string name, Body body);
    CriticalTask(CriticalTask&&) noexcept = default;
    CriticalTask& operator=(CriticalTask&&) = delete;
    ~CriticalTask();

    /// Asks the task to end; the parent is not touched.
    void cancel() const noexcept;
    bool cancelled() const noexcept;
    bool finished() const noexcept;
    /// Waits for the end; throws what the task failed with. Once. Cancel safety: throws
    /// `cancelled`; the task goes on.
    Task<> join();
    /// The task goes on without a handle; a failure still cancels the parent, and is reported.
    void detach() noexcept;

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace stator::inline runtime
