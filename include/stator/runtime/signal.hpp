// Signal: one task waits, others of the same loop wake it.
#pragma once

#include "stator/runtime/detail/wait.hpp"

namespace stator::inline runtime {

/// Auto-reset, for one waiter, on one loop: the cheap form of Event inside a driver. A `notify`
/// while nobody waits is remembered (once). Must outlive its waiter.
class Signal {
public:
    Signal() = default;
    Signal(const Signal&) = delete;
    Signal& operator=(const Signal&) = delete;

    void notify() noexcept;
    bool has_waiter() const noexcept { return waiter_ != nullptr; }

    class Wait;
    /// Cancel safety: throws `cancelled`; a notification that came first is not lost.
    Wait wait() noexcept;

private:
    bool raised_ = false;
    Wait* waiter_ = nullptr;
};

class Signal::Wait : detail::CancelHook {
public:
    explicit Wait(Signal& signal) noexcept : CancelHook{&Wait::on_cancel}, signal_{signal} {}

    bool await_ready() noexcept { return std::exchange(signal_.raised_, false); }
    template <detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
        task_ = task;
        env_ = task.promise().env;
        if (!env_->token.arm(*this)) {
            cancelled_ = true;
            return false;
        }
        signal_.waiter_ = this;
        return true;
    }
    void await_resume() {
        CancellationToken::disarm(*this);
        if (cancelled_) detail::throw_cancelled(env_->token);
    }

private:
    friend class Signal;
    static void on_cancel(CancelHook& hook) noexcept {
        auto& wait = static_cast<Wait&>(hook);
        if (wait.signal_.waiter_ != &wait) return;  // notified already: that was first
        wait.signal_.waiter_ = nullptr;
        wait.cancelled_ = true;
        wait.env_->loop->wake_local(wait.task_);
    }
    Signal& signal_;
    std::coroutine_handle<> task_;
    const Env* env_ = nullptr;
    bool cancelled_ = false;
};

inline Signal::Wait Signal::wait() noexcept { return Wait{*this}; }

inline void Signal::notify() noexcept {
    if (waiter_ == nullptr) {
        raised_ = true;
        return;
    }
    Wait& waiter = *std::exchange(waiter_, nullptr);
    waiter.env_->loop->wake_local(waiter.task_);
}

}  // namespace stator::inline runtime
