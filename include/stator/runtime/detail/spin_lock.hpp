// A one-byte lock for critical sections of a few instructions.
#pragma once

#include <atomic>
#include <thread>

namespace stator::inline runtime::detail {

/// Taken uncontended in one exchange. Never hold it across a callback, an allocation of unknown
/// cost or a suspension point. Yields the core after a short spin, since its holder may be
/// preempted.
class SpinLock {
public:
    void lock() noexcept {
        while (locked_.exchange(true, std::memory_order_acquire)) wait();
    }
    bool try_lock() noexcept { return !locked_.exchange(true, std::memory_order_acquire); }
    void unlock() noexcept { locked_.store(false, std::memory_order_release); }

private:
    void wait() noexcept {
        for (int spins = 0; locked_.load(std::memory_order_relaxed); ++spins) {
            if (spins > 64) std::this_thread::yield();
        }
    }
    std::atomic<bool> locked_{false};
};

}  // namespace stator::inline runtime::detail
