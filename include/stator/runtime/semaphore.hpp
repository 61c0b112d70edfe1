// Semaphore: a number of units, handed out in order.
#pragma once

#include <cassert>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>

#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/detail/wait.hpp"

namespace stator::inline runtime {

class Semaphore;

/// A receipt for units; gives them back when it dies. Movable, one owner.
class [[nodiscard]] Permit {
public:
    Permit() noexcept = default;
    Permit(Permit&& other) noexcept
        : semaphore_{std::exchange(other.semaphore_, nullptr)},
          units_{std::exchange(other.units_, 0)} {}
    Permit& operator=(Permit other) noexcept {
        std::swap(semaphore_, other.semaphore_);
        std::swap(units_, other.units_);
        return *this;
    }
    ~Permit();
    std::size_t units() const noexcept { return units_; }

private:
    friend class Semaphore;
    Permit(Semaphore& semaphore, std::size_t units) noexcept
        : semaphore_{&semaphore}, units_{units} {}
    Semaphore* semaphore_ = nullptr;
    std::size_t units_ = 0;
};

/// First come, first served: a large request at the head makes smaller ones behind it wait, so none
/// starves. Thread-safe. Must outlive its permits and waiters.
class Semaphore {
public:
    explicit Semaphore(std::size_t units) noexcept : available_{units} {}
    Semaphore(const Semaphore&) = delete;
    Semaphore& operator=(const Semaphore&) = delete;
    /// Whoever is woken may destroy the semaphore at once: this waits for the call that woke to
    /// leave.
    ~Semaphore() {
        const std::lock_guard guard{lock_};
        assert(waiters_.empty() && "a semaphore outlives its waiters");
    }

    std::size_t available() const noexcept;
    /// The units at once, or nothing.
    std::optional<Permit> try_acquire(std::size_t units = 1) noexcept;

    class Acquire;
    /// Waits for the units; for more than there are, until it is cancelled. Cancel safety: throws
    /// `cancelled`, takes nothing.
    Acquire acquire(std::size_t units = 1) noexcept;

private:
    friend class Permit;
    void give_back(std::size_t units) noexcept;
    void grant_waiting() noexcept;

    mutable detail::SpinLock lock_;
    std::size_t available_;
    detail::WaiterQueue waiters_;
};

class Semaphore::Acquire : detail::Waiter {
public:
    Acquire(Semaphore& semaphore, std::size_t units) noexcept
        : Waiter{&Acquire::on_cancel}, semaphore_{semaphore}, units_{units} {}

    bool await_ready() noexcept { return granted_ = take(); }
    template <detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
        suspend(task);
        if (!enqueue()) return false;
        return arm() || !withdraw();
    }
    Permit await_resume() {
        finish();
        return Permit{semaphore_, units_};
    }

private:
    friend class Semaphore;
    bool take() noexcept;
    bool enqueue() noexcept;
    bool withdraw() noexcept;
    static void on_cancel(CancelHook& hook) noexcept;

    Semaphore& semaphore_;
    std::size_t units_;
    bool granted_ = false;
};

inline Semaphore::Acquire Semaphore::acquire(std::size_t units) noexcept {
    return Acquire{*this, units};
}

}  // namespace stator::inline runtime
