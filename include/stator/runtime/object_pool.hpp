// ObjectPool<T>: a fixed number of objects that are lent.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline runtime {

/// Objects that are costly to make, lent one by one; each comes back by itself and goes to the end
/// of the queue. If T has `on_return()`, which must not throw, that is called first. Cheap copies
/// over shared state; what is lent may outlive them. Thread-safe.
template <class T>
class ObjectPool {
    struct State;

public:
    /// A lent object. Movable, one owner.
    class Item {
    public:
        Item(Item&&) noexcept = default;
        Item& operator=(Item&&) = delete;
        ~Item() {
            if (!object_) return;
            if constexpr (requires(T& object) { object.on_return(); }) object_->on_return();
            const std::lock_guard guard{state_->lock};
            state_->free.push_back(std::move(object_));
        }
        T& operator*() const noexcept { return *object_; }
        T* operator->() const noexcept { return object_.get(); }
        /// For several owners: it comes back when the last one is gone.
        std::shared_ptr<T> into_shared() && {
            auto item = std::make_shared<Item>(std::move(*this));
            T* const object = item->object_.get();
            return {std::move(item), object};
        }

    private:
        friend class ObjectPool;
        Item(std::shared_ptr<State> state, Permit permit) noexcept
            : state_{std::move(state)}, permit_{std::move(permit)} {
            const std::lock_guard guard{state_->lock};
            object_ = std::move(state_->free.front());
            state_->free.pop_front();
        }
        std::shared_ptr<State> state_;
        Permit permit_;  // given back after the object
        std::unique_ptr<T> object_;
    };

    explicit ObjectPool(std::vector<T> objects)
        : state_{std::make_shared<State>(std::move(objects))} {}

    /// The one that has been free for longest; waits while all are lent, first come, first served.
    /// Cancel safety: throws `cancelled`, takes nothing.
    Task<Item> acquire() const { return acquire_from(state_); }
    std::optional<Item> try_acquire() const {
        auto permit = state_->permits.try_acquire();
        if (!permit) return std::nullopt;
        return Item{state_, std::move(*permit)};
    }
    std::size_t available() const noexcept { return state_->permits.available(); }

private:
    struct State {
        explicit State(std::vector<T> objects) : permits{objects.size()} {
            for (auto& object : objects) free.push_back(std::make_unique<T>(std::move(object)));
        }
        Semaphore permits;  // as many as there are in `free`, or are about to be taken from it
        detail::SpinLock lock;
        std::deque<std::unique_ptr<T>> free;
    };
    static Task<Item> acquire_from(std::shared_ptr<State> state) {
        auto permit = co_await state->permits.acquire();
        co_return Item{state, std::move(permit)};
    }
    std::shared_ptr<State> state_;
};

}  // namespace stator::inline runtime
