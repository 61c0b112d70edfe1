// Notify: wakes a task, now or when it comes to wait.
#pragma once

#include <cassert>
#include <mutex>

#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/detail/wait.hpp"

namespace stator::inline runtime {

/// `notify_one` wakes the task that has waited longest; with nobody waiting, the next one to wait
/// goes on at once (one of them: several notifications without a waiter count as one). `notify_all`
/// wakes those that wait now. Thread-safe. Must outlive its waiters.
class Notify {
public:
    Notify() = default;
    Notify(const Notify&) = delete;
    Notify& operator=(const Notify&) = delete;
    /// Whoever is woken may destroy it at once: this waits for the call that woke to leave.
    ~Notify() {
        const std::lock_guard guard{lock_};
        assert(waiters_.empty() && "a Notify outlives its waiters");
    }

    void notify_one() noexcept {
        const std::lock_guard guard{lock_};
        if (waiters_.empty()) {
            pending_ = true;
        } else {
            waiters_.pop_front().wake();
        }
    }
    void notify_all() noexcept {
        const std::lock_guard guard{lock_};
        while (!waiters_.empty()) waiters_.pop_front().wake();
    }

    class Wait;
    /// Cancel safety: throws `cancelled`; the notification goes to somebody else.
    Wait wait() noexcept;

private:
    detail::SpinLock lock_;
    bool pending_ = false;
    detail::WaiterQueue waiters_;
};

class Notify::Wait : detail::Waiter {
public:
    explicit Wait(Notify& notify) noexcept : Waiter{&Wait::on_cancel}, notify_{notify} {}

    bool await_ready() const noexcept { return false; }
    template <detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
        suspend(task);
        {
            const std::lock_guard guard{notify_.lock_};
            if (std::exchange(notify_.pending_, false)) return false;
            notify_.waiters_.push_back(*this);
        }
        return arm() || !withdraw();
    }
    void await_resume() { finish(); }

private:
    bool withdraw() noexcept {
        const std::lock_guard guard{notify_.lock_};
        if (!static_cast<detail::ListLink<detail::WaiterTag>&>(*this).linked()) return false;
        detail::WaiterQueue::remove(*this);
        return cancelled = true;
    }
    static void on_cancel(CancelHook& hook) noexcept {
        auto& wait = static_cast<Wait&>(hook);
        if (wait.withdraw()) wait.wake();
    }
    Notify& notify_;
};

inline Notify::Wait Notify::wait() noexcept { return Wait{*this}; }

}  // namespace stator::inline runtime
