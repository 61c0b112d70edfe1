// Tasks that have not begun: any loop of their pool may begin them.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>

#include "stator/runtime/detail/spin_lock.hpp"

namespace stator::inline runtime {

struct Env;

namespace detail {

/// A task that has not begun, and where it is told which loop it is on.
struct Unstarted {
    std::coroutine_handle<> task;
    Env* env = nullptr;
};

/// First come, first begun, by whichever loop asks first. As long as the tasks in it: each is held
/// by a scope. Thread-safe.
///
/// No wake-up is lost: who pushes looks for sleepers after the push, and a loop that wants to sleep
/// looks into the queue after it has said so.
class StartQueue {
public:
    /// True if a loop sleeps that might begin it.
    bool push(Unstarted start) {
        {
            const std::lock_guard guard{lock_};
            waiting_.push_back(start);
            size_.store(waiting_.size());
        }
        return sleepers_.load() > 0;
    }
    std::optional<Unstarted> take() {
        if (empty()) return std::nullopt;
        const std::lock_guard guard{lock_};
        if (waiting_.empty()) return std::nullopt;
        const auto first = waiting_.front();
        waiting_.pop_front();
        size_.store(waiting_.size());
        return first;
    }
    /// A hint, without the lock.
    bool empty() const noexcept { return size_.load(std::memory_order_acquire) == 0; }

    /// Of a loop that has nothing to do: false if there is something after all.
    bool go_to_sleep() noexcept {
        sleepers_.fetch_add(1);
        if (size_.load() == 0) return true;
        sleepers_.fetch_sub(1);
        return false;
    }
    void wake_up() noexcept { sleepers_.fetch_sub(1); }

private:
    SpinLock lock_;
    std::deque<Unstarted> waiting_;
    std::atomic<std::size_t> size_{0};
    std::atomic<std::size_t> sleepers_{0};
};

}  // namespace detail

}  // namespace stator::inline runtime
