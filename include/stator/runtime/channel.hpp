// Channel<T>: a bounded queue between tasks.
#pragma once

#include <cassert>
#include <cstddef>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/detail/wait.hpp"

namespace stator::inline runtime {

/// Any number of senders and receivers on any loops; items come out in the order in which they went
/// in. When full, `send` waits (that is the backpressure) and `try_send` says no. `close` ends it
/// for both sides: receivers get what is left and then nothing, waiting and later sends yield
/// false. Thread-safe. Must outlive its waiters.
template <class T>
class Channel {
    // Items are moved while the lock is held and somebody's wait is being granted.
    static_assert(std::is_nothrow_move_constructible_v<T>);

public:
    /// `capacity` >= 1 items.
    explicit Channel(std::size_t capacity) : ring_(capacity == 0 ? 1 : capacity) {}
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    /// Whoever is woken may destroy the channel at once: this waits for the call that woke to
    /// leave.
    ~Channel() {
        const std::lock_guard guard{lock_};
        assert(receivers_.empty() && senders_.empty() && "a channel outlives its waiters");
    }

    class Send;
    class Receive;

    /// Puts `item` in; false when the channel is closed. Cancel safety: throws `cancelled`, nothing
    /// was sent.
    Send send(T item) { return Send{*this, std::move(item)}; }
    /// The next item; nothing once closed and empty. Cancel safety: throws `cancelled`, nothing is
    /// lost.
    Receive receive() { return Receive{*this}; }

    /// False when full or closed; `item` is moved from only on success.
    bool try_send(T& item) {
        const std::lock_guard guard{lock_};
        return !closed_ && put(item);
    }
    bool try_send(T&& item) { return try_send(item); }
    std::optional<T> try_receive() {
        const std::lock_guard guard{lock_};
        return take();
    }

    void close() noexcept {
        const std::lock_guard guard{lock_};
        closed_ = true;
        while (!receivers_.empty()) receivers_.pop_front().wake();
        while (!senders_.empty()) senders_.pop_front().wake();
    }
    bool closed() const noexcept {
        const std::lock_guard guard{lock_};
        return closed_;
    }
    std::size_t size() const noexcept {
        const std::lock_guard guard{lock_};
        return count_;
    }
    std::size_t capacity() const noexcept { return ring_.size(); }

private:
    // All below with the lock held.
    bool put(T& item) {
        if (!receivers_.empty()) {  // then the ring is empty: hand it over
            auto& receiver = static_cast<Receive&>(receivers_.pop_front());
            receiver.item_.emplace(std::move(item));
            receiver.wake();
            return true;
        }
        if (count_ == ring_.size()) return false;
        auto place = head_ + count_;
        if (place >= ring_.size()) place -= ring_.size();
        ring_[place].emplace(std::move(item));
        ++count_;
        return true;
    }
    std::optional<T> take() {
        if (count_ == 0) return std::nullopt;
        std::optional<T> item = std::move(ring_[head_]);
        ring_[head_].reset();
        if (++head_ == ring_.size()) head_ = 0;
        --count_;
        if (!senders_.empty()) {  // then the ring was full: the first waiting sender gets the place
            auto& sender = static_cast<Send&>(senders_.pop_front());
            put(sender.item_);
            sender.sent_ = true;
            sender.wake();
        }
        return item;
    }

    mutable detail::SpinLock lock_;
    std::vector<std::optional<T>> ring_;
    std::size_t head_ = 0;
    std::size_t count_ = 0;
    bool closed_ = false;
    detail::WaiterQueue receivers_;
    detail::WaiterQueue senders_;
};

template <class T>
class Channel<T>::Send : detail::Waiter {
public:
    Send(Channel& channel, T item)
        : Waiter{&Send::on_cancel}, channel_{channel}, item_{std::move(item)} {}

    bool await_ready() {
        const std::lock_guard guard{channel_.lock_};
        return try_now();
    }
    template <detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) {
        suspend(task);
        {
            const std::lock_guard guard{channel_.lock_};
            if (try_now()) return false;
            channel_.senders_.push_back(*this);
        }
        return arm() || !withdraw();
    }
    bool await_resume() {
        finish();
        return sent_;
    }

private:
    friend class Channel;
    bool try_now() {
        if (channel_.closed_) return true;
        return sent_ = channel_.put(item_);
    }
    bool withdraw() noexcept {
        const std::lock_guard guard{channel_.lock_};
        if (!static_cast<detail::ListLink<detail::WaiterTag>&>(*this).linked()) return false;
        detail::WaiterQueue::remove(*this);
        return cancelled = true;
    }
    static void on_cancel(detail::CancelHook& hook) noexcept {
        auto& send = static_cast<Send&>(hook);
        if (send.withdraw()) send.wake();
    }
    Channel& channel_;
    T item_;
    bool sent_ = false;
};

template <class T>
class Channel<T>::Receive : detail::Waiter {
public:
    explicit Receive(Channel& channel) noexcept : Waiter{&Receive::on_cancel}, channel_{channel} {}

    bool await_ready() {
        const std::lock_guard guard{channel_.lock_};
        return try_now();
    }
    template <detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) {
        suspend(task);
        {
            const std::lock_guard guard{channel_.lock_};
            if (try_now()) return false;
            channel_.receivers_.push_back(*this);
        }
        return arm() || !withdraw();
    }
    std::optional<T> await_resume() {
        finish();
        return std::move(item_);
    }

private:
    friend class Channel;
    bool try_now() {
        item_ = channel_.take();
        return item_.has_value() || channel_.closed_;
    }
    bool withdraw() noexcept {
        const std::lock_guard guard{channel_.lock_};
        if (!static_cast<detail::ListLink<detail::WaiterTag>&>(*this).linked()) return false;
        detail::WaiterQueue::remove(*this);
        return cancelled = true;
    }
    static void on_cancel(detail::CancelHook& hook) noexcept {
        auto& receive = static_cast<Receive&>(hook);
        if (receive.withdraw()) receive.wake();
    }
    Channel& channel_;
    std::optional<T> item_;
};

}  // namespace stator::inline runtime
