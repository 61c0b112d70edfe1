// One thread's event loop: a run queue over a reactor, timers, and an inbox for other threads.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <coroutine>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/runtime/busy_poll.hpp"
#include "stator/runtime/detail/intrusive_list.hpp"
#include "stator/runtime/detail/start_queue.hpp"
#include "stator/runtime/detail/timer_heap.hpp"

namespace boost::asio {
class any_io_executor;
}

namespace stator::inline runtime {

namespace detail {

struct TurnHookTag {};

/// Something to be done once at the end of the turn, such as writing what the turn produced.
/// Loop-affine. One that dies while it waits is forgotten.
struct TurnHook : ListLink<TurnHookTag> {
    using Run = void (*)(TurnHook&) noexcept;
    explicit TurnHook(Run run_) noexcept : run{run_} {}
    TurnHook(const TurnHook&) = delete;
    TurnHook& operator=(const TurnHook&) = delete;
    ~TurnHook() {
        if (linked()) IntrusiveList<TurnHook, TurnHookTag>::remove(*this);
    }
    Run run;
};

using TurnHooks = IntrusiveList<TurnHook, TurnHookTag>;

struct Reactor;  // the Asio side
class Guest;     // the same of a loop on somebody else's executor

}  // namespace detail

/// A loop is run by one thread; what it has started never moves to another. A *turn* resumes what
/// is ready, runs the turn's end hooks (connections write there what the turn produced), then polls
/// the reactor, which blocks only when nothing is ready.
///
/// A loop with a host has no thread: its turns are run by the host's executor, one at a time, on
/// whichever of its threads. "The loop's own thread" is then the one that runs the turn.
///
/// `wake`, `post` and `stop` may be called from any thread; everything else on the loop's own.
/// Must outlive everything that was ever started on it.
class Loop {
public:
    struct Options {
        std::string name = "loop";
        const Clock* clock = nullptr;  ///< null: the steady clock
        std::size_t index = 0;         ///< its place among the loops of its runtime (PerLoop)
        Duration busy_poll{};          ///< see BusyPoll; needs the steady clock
        /// How soon after timers were due the loop wakes up for others: what comes due in between
        /// is that much later at most, and costs one wake-up together. Needs the steady clock.
        Duration timer_gap{};
        /// Whose executor runs the turns instead of `run`; copied. Null: `run` does.
        const boost::asio::any_io_executor* host = nullptr;
        detail::StartQueue* starts = nullptr;  ///< of its pool; outlives it
    };
    Loop() : Loop{Options{}} {}
    explicit Loop(Options options);
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    ~Loop();

    /// The loop that this thread runs; null elsewhere.
    static Loop* current() noexcept { return current_; }
    const std::string& name() const noexcept { return name_; }
    std::size_t index() const noexcept { return index_; }

    /// Runs turns until `stop` has been called and nothing is ready. A loop that was stopped stays
    /// so.
    void run();
    /// Runs turns until nothing is ready and no timer is due. For tests; never blocks.
    void run_until_idle();
    /// Resumes one of the n tasks that are ready, the one at place `choice` modulo n, and runs the
    /// turn's end hooks after the last; false when none is ready. For tests, which choose the
    /// order; polls no reactor.
    bool run_one(std::uint64_t choice);
    /// When the earliest timer is due; TimePoint::max() if there is none. The loop's own thread.
    TimePoint next_timer() const noexcept {
        return timers_.empty() ? TimePoint::max() : timers_.earliest();
    }
    void stop() noexcept;

    /// Resumes `task` on this loop in its next turn. Any thread; from another one it is a batched
    /// hop.
    void wake(std::coroutine_handle<> task) noexcept {
        if (current_ == this) return wake_local(task);
        wake_remote(task);
    }
    void wake_local(std::coroutine_handle<> task) noexcept { ready_.push_back(task); }
    /// Runs `work`, which must not throw, on this loop in its next turn. Any thread.
    void post(std::move_only_function<void()> work);

    const Clock& clock() const noexcept { return *clock_; }
    TimePoint now() const noexcept { return clock_->now(); }
    void add_timer(detail::Timer& timer) { timers_.add(timer); }
    void remove_timer(detail::Timer& timer) noexcept { timers_.remove(timer); }
    /// Runs `hook` once at the end of this turn; a hook that is already waiting stays where it is.
    /// One that asks for itself again while it runs, runs again in this turn.
    void at_turn_end(detail::TurnHook& hook) noexcept {
        if (!hook.linked()) turn_end_.push_back(hook);
    }

    /// Runs `hook` once, as soon as the task that runs now has suspended.
    void soon(detail::TurnHook& hook) noexcept {
        if (!hook.linked()) soon_.push_back(hook);
    }

    /// For sources that talk to the reactor (runtime/asio.hpp): of a loop without a host.
    detail::Reactor& reactor() noexcept { return *reactor_; }
    /// Null for a loop without a host.
    detail::Guest* guest() noexcept { return guest_.get(); }

    /// How many resumptions wait, for choosing an idle loop. Any thread; a hint.
    std::size_t load() const noexcept { return load_.load(std::memory_order_relaxed); }
    /// How many resumptions wait by now. The loop's own thread.
    std::size_t waiting() const noexcept { return ready_.size(); }
    /// How long a resumption takes here, on an average over the latest milliseconds of work, by
    /// samples. The loop's own thread.
    Duration step_cost() const noexcept { return step_cost_; }
    /// Nanoseconds for which the current turn has been running; 0 while the loop waits. Any thread.
    Duration busy_for() const noexcept;
    /// How often the loop has gone to sleep. Any thread.
    std::uint64_t sleeps() const noexcept { return sleeps_.load(std::memory_order_relaxed); }

    /// What the loop does at the moment: one that is the same after a while has held the loop
    /// meanwhile. Any thread.
    struct Step {
        Duration::rep turn = 0;
        std::uint64_t number = 0;
        bool busy() const noexcept { return turn != 0; }
        friend bool operator==(Step, Step) noexcept = default;
    };
    Step step() const noexcept {
        return {
            turn_started_.load(std::memory_order_relaxed), steps_.load(std::memory_order_relaxed)
        };
    }
    /// Who runs the current turn, or ran the last one: the kernel's number. Any thread.
    pid_t thread() const noexcept { return thread_.load(std::memory_order_relaxed); }
    /// Where the frames of the loop itself end on its thread's stack: the address that returns to
    /// whoever has called the function that resumes tasks. Any thread.
    const void* resume_site() const noexcept {
        return resume_site_.load(std::memory_order_relaxed);
    }
    /// Wakes the loop if it sleeps; false if it does not. Any thread.
    bool wake_if_asleep() noexcept;

private:
    friend class detail::Guest;
    struct Inbox;
    void wake_remote(std::coroutine_handle<> task) noexcept;
    void notify() noexcept;
    void turn();
    void take_inbox();
    void fire_timers();
    TimePoint next_timers() const noexcept;
    std::size_t run_ready();
    void resume(std::coroutine_handle<> task);
    void begin_some();
    void learn_step_cost(TimePoint begun, std::size_t steps) noexcept;
    static void run_hooks(detail::TurnHooks& hooks) noexcept;
    bool poll_reactor();
    bool look_for_work();
    bool prepare_to_wait();
    void wait_for_events();
    void take_turn_as_guest();
    void claim_turn() noexcept;
    void enter() noexcept;
    void leave() noexcept;

    static thread_local constinit Loop* current_;

    std::string name_;
    std::size_t index_;
    const Clock* clock_;
    std::vector<std::coroutine_handle<>> ready_;
    std::vector<std::coroutine_handle<>> batch_;
    detail::TurnHooks turn_end_;
    detail::TurnHooks soon_;
    detail::TimerHeap timers_;
    std::unique_ptr<detail::Reactor> reactor_;
    std::shared_ptr<detail::Guest> guest_;
    std::unique_ptr<Inbox> inbox_;
    detail::StartQueue* starts_;
    bool said_asleep_ = false;  // to `starts_`
    Loop* outer_ = nullptr;     // what this thread ran before (nested test loops)
    const Clock* outer_clock_ = nullptr;
    BusyPoll busy_poll_;
    Duration timer_gap_;
    TimePoint timers_fired_{};  // when some were last due
    Duration step_cost_{};
    std::uint32_t turns_ = 0;
    std::atomic<bool> stop_requested_{false};
    std::atomic<std::size_t> load_{0};
    std::atomic<Duration::rep> turn_started_{0};  // steady clock, 0 while waiting
    std::atomic<std::uint64_t> sleeps_{0};
    std::atomic<std::uint64_t> steps_{0};
    std::atomic<pid_t> thread_{0};
    std::atomic<const void*> resume_site_{nullptr};
};

/// `co_await yield()`: lets everything else that is ready run first. Cancel safety: does not check
/// the token.
struct Yield {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> task) const noexcept {
        task.promise().env->loop->wake_local(task);
    }
    void await_resume() const noexcept {}
};
inline Yield yield() noexcept { return {}; }

}  // namespace stator::inline runtime
