// VersionGate: a number that only grows, and can be waited for.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline runtime {

/// Tells any number of tasks on any loops that something has changed: whoever has seen version n
/// waits for one above n, so a change between looking and waiting is never missed, and changes that
/// nobody waited for cost one atomic addition. Thread-safe. Must outlive its waiters.
class VersionGate {
public:
    VersionGate() = default;
    VersionGate(const VersionGate&) = delete;
    VersionGate& operator=(const VersionGate&) = delete;
    /// Whoever has seen the new version may destroy the gate at once: this waits for `advance` to
    /// leave.
    ~VersionGate() { const std::lock_guard guard{lock_}; }

    std::uint64_t version() const noexcept { return version_.load(std::memory_order_acquire); }
    /// Makes the version one larger and wakes everyone who waits.
    void advance() noexcept;
    /// The version, once it is above `seen`. Cancel safety: throws `cancelled`, nothing is lost.
    Task<std::uint64_t> wait_past(std::uint64_t seen);

private:
    std::shared_ptr<Event> next_change(std::uint64_t seen);

    std::atomic<std::uint64_t> version_{0};
    detail::SpinLock lock_;
    std::shared_ptr<Event> change_;  // made by the first who waits, set and dropped by `advance`
};

}  // namespace stator::inline runtime
