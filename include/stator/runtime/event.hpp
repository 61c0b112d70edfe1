// Event: something that has happened or not, and can be waited for.
#pragma once

#include <atomic>
#include <cassert>
#include <mutex>

#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/detail/wait.hpp"

namespace stator::inline runtime {

/// Manual-reset: once set, every present and future `wait` completes until `reset`. Thread-safe;
/// tasks of any loop may wait, each is woken on its own loop. Must outlive its waiters.
class Event {
public:
    Event() = default;
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    /// The task that `set` wakes may destroy the event at once: this waits for `set` to leave.
    ~Event() {
        const std::lock_guard guard{lock_};
        assert(waiters_.empty() && "an event outlives its waiters");
    }

    bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }
    void set() noexcept;
    void reset() noexcept;

    class Wait;
    /// Cancel safety: throws `cancelled`; the event is not affected.
    Wait wait() noexcept;

private:
    detail::SpinLock lock_;
    std::atomic<bool> set_{false};
    detail::WaiterQueue waiters_;
};

class Event::Wait : detail::Waiter {
public:
    explicit Wait(Event& event) noexcept : Waiter{&Wait::on_cancel}, event_{event} {}

    bool await_ready() const noexcept { return event_.is_set(); }
    template <detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
        suspend(task);
        if (!enqueue()) return false;
        return arm() || !withdraw();
    }
    void await_resume() { finish(); }

private:
    friend class Event;
    bool enqueue() noexcept {
        const std::lock_guard guard{event_.lock_};
        if (event_.is_set()) return false;
        event_.waiters_.push_back(*this);
        return true;
    }
    /// True when the wait is taken back before it was granted; then `cancelled` is set.
    bool withdraw() noexcept {
        const std::lock_guard guard{event_.lock_};
        if (!static_cast<detail::ListLink<detail::WaiterTag>&>(*this).linked()) return false;
        detail::WaiterQueue::remove(*this);
        cancelled = true;
        return true;
    }
    static void on_cancel(CancelHook& hook) noexcept {
        auto& wait = static_cast<Wait&>(hook);
        if (wait.withdraw()) wait.wake();
    }
    Event& event_;
};

inline Event::Wait Event::wait() noexcept { return Wait{*this}; }

}  // namespace stator::inline runtime
