// Gate: how many requests of an endpoint run at a time, and which of the others wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "stator/base/deadline.hpp"
#include "stator/base/error.hpp"
#include "stator/component/endpoint.hpp"
#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/detail/wait.hpp"
#include "stator/runtime/event.hpp"

namespace stator::inline component {

/// How long a request may wait, by how long the queue has not been empty: a burst may wait for
/// `max_wait`; when the queue stands for longer than `interval`, what waits for more than `target`
/// is refused, so that those that are served have not waited in vain. Pure.
class ControlledDelay {
public:
    explicit ControlledDelay(const QueueOptions& options) noexcept : options_{options} {}
    void emptied(TimePoint now) noexcept { last_empty_ = now; }
    Duration allowed(TimePoint now) const noexcept {
        const bool stands = now - last_empty_ > options_.interval;
        return stands && options_.target > Duration::zero() ? options_.target : options_.max_wait;
    }

private:
    QueueOptions options_;
    TimePoint last_empty_{};
};

/// Of one served endpoint; thread-safe. A request is admitted, told to wait for its turn, or
/// refused, at once. Without a limit there is no queue and no lock.
class Gate {
public:
    Gate(std::uint32_t limit, QueueOptions queue, std::string owner);
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;

    enum class Entry : std::uint8_t { admitted, waits };
    /// Of a request that waits, `turn` must follow. Errors: `draining`; `overloaded`
    /// "component.at_capacity" or, with a queue, "component.queue_full", with what Overload says.
    Result<Entry> enter(TimePoint now);
    /// Waits for the turn of a request that `enter` told to wait, until `deadline` at most. Errors
    /// (thrown): `overloaded` "component.queue_timeout", `draining`, `cancelled`; then it has left.
    Task<> turn(Deadline deadline);
    /// A request that was admitted has ended.
    void leave(TimePoint now) noexcept;

    /// Refuses what waits, and what comes, with `draining`.
    void close() noexcept;
    /// Takes requests again after `close`.
    void open() noexcept;
    bool closed() const noexcept { return closed_.load(); }
    std::size_t running() const noexcept { return running_.load(std::memory_order_relaxed); }
    std::size_t waiting() const noexcept { return waiting_.load(std::memory_order_relaxed); }
    /// Set when it is closed and no request is left.
    Event& idle() noexcept { return idle_; }
    /// The time that a request takes, on an average of the latest, for what refusals say.
    void served_in(Duration time) noexcept;

private:
    enum class Outcome : std::uint8_t { waiting, admitted, too_long, closed };
    class Wait;

    Result<Entry> enter_queued(TimePoint now);
    void give_turns(TimePoint now) noexcept;
    void see_idle() noexcept;
    Task<Outcome> wait_for_turn();
    Error at_capacity(std::size_t measured) const;
    Error queue_full(std::size_t measured) const;
    Error queue_timeout(Duration waited) const;
    Error draining() const;
    Duration retry_after(std::size_t ahead) const noexcept;

    const std::uint32_t limit_;
    const QueueOptions queue_;
    const std::string owner_;
    std::atomic<std::size_t> running_{0};
    std::atomic<std::size_t> waiting_{0};  // in the queue, or about to be
    std::atomic<bool> closed_{false};
    std::atomic<Duration::rep> service_time_{0};
    Event idle_;
    runtime::detail::SpinLock lock_;  // of what follows, and of the counts where there is a queue
    ControlledDelay delay_;
    runtime::detail::WaiterQueue waits_;
};

}  // namespace stator::inline component
