#include "stator/runtime/event.hpp"

namespace stator::inline runtime {

void Event::set() noexcept {
    // Waking under the lock: a waiter on another loop that destroys this event meanwhile waits for
    // the lock.
    const std::lock_guard guard{lock_};
    set_.store(true, std::memory_order_release);
    while (!waiters_.empty()) waiters_.pop_front().wake();
}

void Event::reset() noexcept {
    const std::lock_guard guard{lock_};
    set_.store(false, std::memory_order_release);
}

}  // namespace stator::inline runtime
