// OnceCell<T>: a value that is made once, at first use.
#pragma once

#include <atomic>
#include <optional>
#include <utility>

#include "stator/runtime/mutex.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline runtime {

/// The first to ask makes the value, the others wait for it. Where making it failed or was
/// cancelled, its error goes to who made it, and the next one tries again. Thread-safe. Must
/// outlive those that ask.
template <class T>
class OnceCell {
public:
    /// The value if it is there.
    T* get() noexcept { return made_.load(std::memory_order_acquire) ? &*value_ : nullptr; }

    /// `make` is called, under the lock, only if the value is not there: `Task<T> make()`.
    /// Cancel safety: throws `cancelled`; whoever waits next makes it.
    template <class F>
    Task<T*> get_or_make(F make) {
        if (T* value = get()) co_return value;
        const auto lock = co_await making_.lock();
        if (T* value = get()) co_return value;
        value_.emplace(co_await make());
        made_.store(true, std::memory_order_release);
        co_return &*value_;
    }

private:
    Mutex making_;
    std::optional<T> value_;
    std::atomic<bool> made_{false};
};

}  // namespace stator::inline runtime
