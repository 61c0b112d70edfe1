// Barrier: tasks that go on together.
#pragma once

#include <cassert>
#include <cstddef>
#include <mutex>

#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/detail/wait.hpp"

namespace stator::inline runtime {

/// The `parties`-th task to arrive lets all of them go on and is told that it was the one; then the
/// barrier is as new. Thread-safe. Must outlive its waiters.
class Barrier {
public:
    /// `parties` >= 1.
    explicit Barrier(std::size_t parties) noexcept : parties_{parties == 0 ? 1 : parties} {}
    Barrier(const Barrier&) = delete;
    Barrier& operator=(const Barrier&) = delete;
    /// Whoever is woken may destroy it at once: this waits for the call that woke to leave.
    ~Barrier() {
        const std::lock_guard guard{lock_};
        assert(waiters_.empty() && "a barrier outlives its waiters");
    }

    class Wait;
    /// True for one task of each round. Cancel safety: throws `cancelled`; that task has not
    /// arrived.
    Wait arrive_and_wait() noexcept;

private:
    const std::size_t parties_;
    detail::SpinLock lock_;
    std::size_t arrived_ = 0;
    detail::WaiterQueue waiters_;
};

class Barrier::Wait : detail::Waiter {
public:
    explicit Wait(Barrier& barrier) noexcept : Waiter{&Wait::on_cancel}, barrier_{barrier} {}

    bool await_ready() const noexcept { return false; }
    template <detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
        suspend(task);
        {
            const std::lock_guard guard{barrier_.lock_};
            if (++barrier_.arrived_ == barrier_.parties_) {
                barrier_.arrived_ = 0;
                while (!barrier_.waiters_.empty()) barrier_.waiters_.pop_front().wake();
                last_ = true;
                return false;
            }
            barrier_.waiters_.push_back(*this);
        }
        return arm() || !withdraw();
    }
    bool await_resume() {
        finish();
        return last_;
    }

private:
    bool withdraw() noexcept {
        const std::lock_guard guard{barrier_.lock_};
        if (!static_cast<detail::ListLink<detail::WaiterTag>&>(*this).linked()) return false;
        detail::WaiterQueue::remove(*this);
        --barrier_.arrived_;
        return cancelled = true;
    }
    static void on_cancel(CancelHook& hook) noexcept {
        auto& wait = static_cast<Wait&>(hook);
        if (wait.withdraw()) wait.wake();
    }
    Barrier& barrier_;
    bool last_ = false;
};

inline Barrier::Wait Barrier::arrive_and_wait() noexcept { return Wait{*this}; }

}  // namespace stator::inline runtime
