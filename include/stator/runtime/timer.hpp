// Waiting for a point in time.
#pragma once

#include <utility>

#include "stator/base/deadline.hpp"
#include "stator/base/error.hpp"
#include "stator/runtime/detail/wait.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline runtime {

/// What `sleep_for` and `sleep_until` return. Loop-affine: timer and hooks fire on the waiting
/// task's loop.
class Sleep : detail::Timer, detail::CancelHook {
public:
    explicit Sleep(Deadline until) noexcept
        : Timer{&Sleep::on_time}, CancelHook{&Sleep::on_cancel}, until_{until} {}

    bool await_ready() const noexcept { return false; }
    template <detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) {
        task_ = task;
        env_ = task.promise().env;
        if (!env_->token.arm(*this)) {
            cancelled_ = true;
            return false;
        }
        when = until_.when();
        if (!until_.is_never()) env_->loop->add_timer(*this);
        return true;
    }
    void await_resume() {
        CancellationToken::disarm(*this);
        if (cancelled_) detail::throw_cancelled(env_->token);
    }

private:
    static void on_time(Timer& timer) noexcept {
        auto& sleep = static_cast<Sleep&>(timer);
        // The hook goes first: a cancellation between here and the resumption must not wake it
        // again.
        CancellationToken::disarm(sleep);
        sleep.env_->loop->wake_local(sleep.task_);
    }
    static void on_cancel(CancelHook& hook) noexcept {
        auto& sleep = static_cast<Sleep&>(hook);
        sleep.cancelled_ = true;
        sleep.env_->loop->remove_timer(sleep);
        sleep.env_->loop->wake_local(sleep.task_);
    }

    Deadline until_;
    std::coroutine_handle<> task_;
    const Env* env_ = nullptr;
    bool cancelled_ = false;
};

/// Waits for `duration` on the loop's clock; on a loop that sleeps, up to its `timer_gap` longer
/// when other timers were due just before. Cancel safety: throws `cancelled`; nothing else is
/// affected.
inline Sleep sleep_for(Duration duration) noexcept { return Sleep{Deadline::in(duration)}; }
/// Waits until `deadline` (for ever, if it is never). Cancel safety: as sleep_for.
inline Sleep sleep_until(Deadline deadline) noexcept { return Sleep{deadline}; }

/// Waits until `deadline` or until `stop` fires: false when `stop` fired (or had fired).
/// Cancel safety: throws `cancelled` when the task's own token fires and `stop` did not.
Task<bool> sleep_until(Deadline deadline, CancellationToken stop);
Task<bool> sleep_for(Duration duration, CancellationToken stop);

namespace detail {

/// Cancels a token at a deadline; loop-affine, lives in the frame that needs it.
class DeadlineGuard : Timer {
public:
    DeadlineGuard(Loop& loop, Deadline deadline, CancellationToken token)
        : Timer{&DeadlineGuard::on_time}, loop_{loop}, token_{std::move(token)} {
        when = deadline.when();
        if (!deadline.is_never()) loop_.add_timer(*this);
    }
    DeadlineGuard(const DeadlineGuard&) = delete;
    DeadlineGuard& operator=(const DeadlineGuard&) = delete;
    ~DeadlineGuard() { loop_.remove_timer(*this); }
    /// Whether it was this that cancelled the token.
    bool fired() const noexcept { return fired_; }

private:
    static void on_time(Timer& timer) noexcept {
        auto& guard = static_cast<DeadlineGuard&>(timer);
        guard.fired_ = !guard.token_.cancelled();
        guard.token_.cancel(CancelReason::deadline);
    }
    Loop& loop_;
    CancellationToken token_;
    bool fired_ = false;
};

[[noreturn]] void throw_deadline_exceeded();

}  // namespace detail

/// Runs `task` under a child token that is cancelled at `deadline`. Waits until the task has
/// unwound. Errors: `deadline_exceeded` when the task ended in `cancelled` because of the deadline;
/// else the task's own. A result that is ready in spite of the deadline is returned.
template <class T>
Task<T> with_deadline(Deadline deadline, Task<T> task) {
    const Env& env = co_await current_env();
    auto token = env.token.child_token();
    detail::DeadlineGuard guard{*env.loop, deadline, token};
    try {
        co_return co_await detail::AwaitIn<T>{{nullptr, std::move(token)}, std::move(task)};
    } catch (const Error& error) {
        if (error.code() != ErrorCode::cancelled || !guard.fired()) throw;
    }
    detail::throw_deadline_exceeded();
}

}  // namespace stator::inline runtime
