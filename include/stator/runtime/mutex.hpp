// Mutex: one task at a time, across suspension points.
#pragma once

#include <optional>

#include "stator/runtime/semaphore.hpp"

namespace stator::inline runtime {

/// For what must not interleave although it waits in between, such as a dialogue over one
/// connection; what does not wait needs none on its own loop. First come, first served; not
/// recursive. Thread-safe. Must outlive its permits and waiters.
///
///     const auto lock = co_await mutex.lock();
class Mutex {
public:
    /// Unlocked when the permit dies. Cancel safety: throws `cancelled`, takes nothing.
    Semaphore::Acquire lock() noexcept { return one_.acquire(); }
    std::optional<Permit> try_lock() noexcept { return one_.try_acquire(); }

private:
    Semaphore one_{1};
};

}  // namespace stator::inline runtime
