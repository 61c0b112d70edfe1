#include "component/gate.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "stator/component/overload.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline component {

using namespace std::chrono_literals;

/// A request in the queue; lives in the frame of the task that waits.
class Gate::Wait : runtime::detail::Waiter {
public:
    Wait(Gate& gate, TimePoint now) noexcept : Waiter{&Wait::on_cancel}, gate_{gate}, since_{now} {}

    bool await_ready() const noexcept { return false; }
    template <runtime::detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
        suspend(task);
        if (!enqueue()) return false;
        return arm() || !withdraw();
    }
    Outcome await_resume() {
        finish();
        return outcome_;
    }

private:
    friend class Gate;
    /// False: there is nothing to wait for.
    bool enqueue() noexcept {
        const std::lock_guard guard{gate_.lock_};
        if (gate_.closed_) {
            outcome_ = Outcome::closed;
        } else if (gate_.waits_.empty() && gate_.running_ < gate_.limit_) {
            // A place became free before this began to wait.
            outcome_ = Outcome::admitted;
            ++gate_.running_;
        } else {
            gate_.waits_.push_back(*this);
            return true;
        }
        --gate_.waiting_;
        gate_.see_idle();
        return false;
    }
    bool withdraw() noexcept {
        const std::lock_guard guard{gate_.lock_};
        if (!static_cast<runtime::detail::ListLink<runtime::detail::WaiterTag>&>(*this).linked())
            return false;
        runtime::detail::WaiterQueue::remove(*this);
        --gate_.waiting_;
        gate_.see_idle();
        return cancelled = true;
    }
    static void on_cancel(runtime::detail::CancelHook& hook) noexcept {
        auto& wait = static_cast<Wait&>(hook);
        if (wait.withdraw()) wait.wake();
    }

    Gate& gate_;
    const TimePoint since_;
    Outcome outcome_ = Outcome::waiting;
};

Gate::Gate(std::uint32_t limit, QueueOptions queue, std::string owner)
    : limit_{limit}, queue_{queue}, owner_{std::move(owner)}, delay_{queue} {}

Result<Gate::Entry> Gate::enter(TimePoint now) {
    if (limit_ != 0 && queue_.length != 0) return enter_queued(now);
    const auto before = running_.fetch_add(1);
    if (closed_.load()) {
        leave(now);
        return std::unexpected{draining()};
    }
    if (limit_ != 0 && before >= limit_) {
        leave(now);
        return std::unexpected{at_capacity(before)};
    }
    return Entry::admitted;
}

Result<Gate::Entry> Gate::enter_queued(TimePoint now) {
    std::size_t measured = 0;
    {
        const std::lock_guard guard{lock_};
        if (waiting_ == 0) delay_.emptied(now);
        if (closed_) {
            // Below, without the lock.
        } else if (waiting_ == 0 && running_ < limit_) {
            ++running_;
            return Entry::admitted;
        } else if (waiting_ < queue_.length) {
            ++waiting_;
            return Entry::waits;
        }
        measured = waiting_;
    }
    return std::unexpected{closed_ ? draining() : queue_full(measured)};
}

Task<Gate::Outcome> Gate::wait_for_turn() {
    co_return co_await Wait{*this, Clock::current().now()};
}

Task<> Gate::turn(Deadline deadline) {
    const auto begun = Clock::current().now();
    const auto until = earliest(deadline, Deadline::in(queue_.max_wait));
    const auto outcome = co_await as_result(with_deadline(until, wait_for_turn()));
    if (outcome && *outcome == Outcome::admitted) co_return;
    if (outcome && *outcome == Outcome::closed) throw draining();
    if (!outcome && outcome.error().code() != ErrorCode::deadline_exceeded) throw outcome.error();
    throw queue_timeout(Clock::current().now() - begun);
}

void Gate::leave(TimePoint now) noexcept {
    if (limit_ == 0 || queue_.length == 0) {
        // Sequentially consistent with `close`: one of the two sees the other and sets the event.
        if (running_.fetch_sub(1) != 1 || !closed_.load()) return;
        // It may be open by now, and the next request have come.
        const std::lock_guard guard{lock_};
        see_idle();
        return;
    }
    const std::lock_guard guard{lock_};
    --running_;
    give_turns(now);
    see_idle();
}

/// With the lock held.
void Gate::give_turns(TimePoint now) noexcept {
    while (running_ < limit_ && !waits_.empty()) {
        auto& wait = static_cast<Wait&>(waits_.pop_front());
        --waiting_;
        const bool in_time = now - wait.since_ <= delay_.allowed(now);
        wait.outcome_ = in_time ? Outcome::admitted : Outcome::too_long;
        if (in_time) ++running_;
        wait.wake();
    }
    if (waiting_ == 0) delay_.emptied(now);
}

void Gate::see_idle() noexcept {
    if (closed_ && running_ == 0 && waiting_ == 0) idle_.set();
}

void Gate::close() noexcept {
    const std::lock_guard guard{lock_};
    closed_.store(true);
    while (!waits_.empty()) {
        auto& wait = static_cast<Wait&>(waits_.pop_front());
        --waiting_;
        wait.outcome_ = Outcome::closed;
        wait.wake();
    }
    see_idle();
}

void Gate::open() noexcept {
    const std::lock_guard guard{lock_};
    closed_.store(false);
    idle_.reset();
}

void Gate::served_in(Duration time) noexcept {
    if (limit_ == 0) return;
    // One that gets lost to another thread's update does not matter.
    const auto before = service_time_.load(std::memory_order_relaxed);
    const auto now = before == 0 ? time.count() : before + (time.count() - before) / 8;
    service_time_.store(std::max<Duration::rep>(now, 1), std::memory_order_relaxed);
}

Duration Gate::retry_after(std::size_t ahead) const noexcept {
    const auto each = service_time_.load(std::memory_order_relaxed);
    if (each == 0) return 100ms;
    const auto rounds = static_cast<double>(ahead + 1) / static_cast<double>(limit_);
    const auto wait = static_cast<double>(each) * std::max(rounds, 1.0);
    return std::clamp<Duration>(
        Duration{static_cast<Duration::rep>(std::min(wait, 1e9))}, Duration{1ms}, Duration{1s}
    );
}

Error Gate::at_capacity(std::size_t measured) const {
    return Overload{
        "max_inflight",
        owner_,
        static_cast<double>(measured),
        static_cast<double>(limit_),
        retry_after(0)
    }
        .error("component.at_capacity");
}

Error Gate::queue_full(std::size_t measured) const {
    return Overload{
        "queue.length",
        owner_,
        static_cast<double>(measured),
        static_cast<double>(queue_.length),
        retry_after(measured)
    }
        .error("component.queue_full");
}

Error Gate::queue_timeout(Duration waited) const {
    const auto ms = [](Duration time) {
        return std::chrono::duration<double, std::milli>(time).count();
    };
    // Which of the two it was is seen from the time.
    const bool whole = waited >= queue_.max_wait;
    return Overload{
        whole ? "queue.max_wait (ms)" : "queue.target (ms)",
        owner_,
        ms(waited),
        ms(whole ? queue_.max_wait : queue_.target),
        retry_after(waiting())
    }
        .error("component.queue_timeout");
}

Error Gate::draining() const {
    return Error{
        ErrorCode::draining, "component.draining", fmt::format("{} is shutting down", owner_)
    };
}

}  // namespace stator::inline component
