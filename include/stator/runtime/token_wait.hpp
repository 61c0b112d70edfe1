// Waiting for a cancellation token.
#pragma once

#include "stator/runtime/detail/wait.hpp"

namespace stator::inline runtime {

/// What `CancellationToken::wait()` returns. Two hooks: one on the token that is waited for, one on
/// the task's own; both fire on this loop, so whichever comes first wakes the task and the other
/// finds it done.
class CancellationToken::Wait : detail::CancelHook {
public:
    explicit Wait(CancellationToken target) noexcept
        : CancelHook{&Wait::on_target}, target_{std::move(target)}, own_{*this} {}

    bool await_ready() const noexcept { return target_.cancelled(); }
    template <detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
        task_ = task;
        env_ = task.promise().env;
        home_ = env_->loop;
        if (!target_.arm(*this)) return false;
        if (env_->token == target_ || env_->token.arm(own_)) return true;
        cancelled_ = !target_.cancelled();
        return false;
    }
    void await_resume() {
        disarm(*this);
        disarm(own_);
        if (cancelled_) detail::throw_cancelled(env_->token);
    }

private:
    struct Own : detail::CancelHook {
        explicit Own(Wait& wait_) noexcept : CancelHook{&Wait::on_own}, wait{wait_} {}
        Wait& wait;
    };
    void wake() noexcept {
        if (!woken_) home_->wake_local(task_);
        woken_ = true;
    }
    // `cancelled_` is set only while the target is not cancelled: waiting for a token that is above
    // the task's own is answered with "it was cancelled", not with an error.
    static void on_target(detail::CancelHook& hook) noexcept { static_cast<Wait&>(hook).wake(); }
    static void on_own(detail::CancelHook& hook) noexcept {
        Wait& wait = static_cast<Own&>(hook).wait;
        if (!wait.woken_) wait.cancelled_ = !wait.target_.cancelled();
        wait.wake();
    }

    // What waking touches comes first, beside the hook.
    std::coroutine_handle<> task_;
    Loop* home_ = nullptr;
    bool woken_ = false;
    bool cancelled_ = false;
    const Env* env_ = nullptr;
    CancellationToken target_;
    Own own_;
};

inline CancellationToken::Wait CancellationToken::wait() const noexcept { return Wait{*this}; }

}  // namespace stator::inline runtime
