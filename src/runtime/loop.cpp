#include "stator/runtime/loop.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include <boost/asio/post.hpp>

#include "runtime/frame_ages.hpp"
#include "runtime/reactor.hpp"
#include "stator/base/block_cache.hpp"
#include "stator/runtime/asio.hpp"
#include "stator/runtime/detail/frame_pool.hpp"
#include "stator/runtime/detail/guest.hpp"
#include "stator/runtime/env.hpp"

namespace stator::inline runtime {

namespace {

// A turn resumes what is ready, and what that makes ready, a few times over before it writes and
// polls: a reply often needs two or three resumptions, and should leave in the turn in which its
// request came.
constexpr int rounds_per_turn = 8;
constexpr std::size_t resumptions_per_turn = 4096;

// What a loop begins in a turn of what any loop of its pool may begin: the longer it takes, the
// more is left to others.
constexpr int begun_per_turn = 16;
constexpr auto begin_time = std::chrono::microseconds{100};

// To ask for the time costs as much as a short step: every fourth turn is worth it, and not each
// time the same one of a turn's usual followers.
constexpr bool is_sampled(std::uint32_t turn) noexcept {
    constexpr std::uint32_t golden = 0x9E37'79B9U;
    return turn * golden < 0x4000'0000U;
}

// How long a loop that has memory to give back waits for something better to do.
constexpr auto trim_period = std::chrono::milliseconds{5};
constexpr auto block_trim_period = std::chrono::milliseconds{100};

// Frames of tasks that have waited for long are not in the cache: asked for a few resumptions
// early.
constexpr std::size_t frames_ahead = 3;

pid_t this_thread() noexcept {
    static thread_local constinit pid_t number = 0;
    if (number == 0) number = static_cast<pid_t>(::syscall(SYS_gettid));
    return number;
}

void prefetch(std::coroutine_handle<> task) noexcept {
    constexpr std::size_t line = 64;
    const auto* frame = static_cast<const std::byte*>(task.address());
    for (std::size_t i = 0; i < 4; ++i) __builtin_prefetch(frame + i * line, 1);
}

}  // namespace

namespace detail {

void Reactor::wake_at(TimePoint when) {
    if (armed <= when) return;  // an early wake-up is harmless
    armed = when;
    timer.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(when));
    timer.async_wait([this](const boost::system::error_code& code) {
        if (!code) armed = TimePoint::max();
    });
}

}  // namespace detail

boost::asio::any_io_executor reactor_of(Loop& loop) noexcept {
    if (auto* guest = loop.guest()) return guest->host();
    return loop.reactor().io.get_executor();
}

thread_local constinit Loop* Loop::current_ = nullptr;

/// What other threads leave for the loop. `waiting` is true only while the loop blocks or is about
/// to: the first to find it so takes it back and wakes the loop, so a burst costs one wake-up.
struct Loop::Inbox {
    std::mutex lock;
    bool waiting = false;
    std::atomic<bool> filled{false};  // a hint for the loop, read without the lock
    std::vector<std::coroutine_handle<>> tasks;
    std::vector<std::move_only_function<void()>> work;
};

Loop::Loop(Options options)
    : name_{std::move(options.name)},
      index_{options.index},
      clock_{options.clock == nullptr ? &Clock::steady() : options.clock},
      reactor_{options.host == nullptr ? std::make_unique<detail::Reactor>() : nullptr},
      inbox_{std::make_unique<Inbox>()},
      starts_{options.starts},
      busy_poll_{clock_ == &Clock::steady() ? options.busy_poll : Duration::zero()},
      timer_gap_{clock_ == &Clock::steady() ? options.timer_gap : Duration::zero()} {
    ready_.reserve(256);
    batch_.reserve(256);
    if (options.host == nullptr) return;
    guest_ = std::make_shared<detail::Guest>(*this, *options.host);
    // No thread comes by itself: asleep until somebody wakes it.
    inbox_->waiting = true;
    said_asleep_ = starts_ != nullptr && starts_->go_to_sleep();
}

Loop::~Loop() {
    if (guest_) guest_->close();
}

void Loop::enter() noexcept {
    outer_ = std::exchange(current_, this);
    outer_clock_ = Clock::set_current(clock_);
    thread_.store(this_thread(), std::memory_order_relaxed);
}

void Loop::leave() noexcept {
    current_ = outer_;
    Clock::set_current(outer_clock_);
}

void Loop::run() {
    enter();
    detail::let_frames_pile_up(true);
    block_cache::keep(true);
    for (;;) {
        turn();
        if (!ready_.empty()) {
            poll_reactor();
            continue;
        }
        if (stop_requested_.load(std::memory_order_acquire) &&
            !inbox_->filled.load(std::memory_order_acquire))
            break;
        if (look_for_work()) continue;
        if (prepare_to_wait()) {
            wait_for_events();
        } else {
            poll_reactor();  // or a flood from other threads would keep it from its sockets
        }
    }
    block_cache::keep(false);
    detail::let_frames_pile_up(false);
    leave();
}

void Loop::run_until_idle() {
    enter();
    for (bool idle = false; !idle;) {
        turn();
        const bool polled = reactor_->io.poll() > 0;
        const bool due = !timers_.empty() && timers_.earliest() <= now();
        idle = !polled && !due && ready_.empty() && !inbox_->filled.load(std::memory_order_acquire);
    }
    leave();
}

/// Without frames of its own or of the handle's, in builds without optimization too: the stall
/// watch tells sites apart by what lies directly above the loop's frames.
[[gnu::always_inline]] inline void Loop::resume(std::coroutine_handle<> task) {
    steps_.store(steps_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    __builtin_coro_resume(task.address());
    if (!soon_.empty()) run_hooks(soon_);
}

bool Loop::run_one(std::uint64_t choice) {
    enter();
    if (inbox_->filled.load(std::memory_order_acquire)) take_inbox();
    if (!timers_.empty()) fire_timers();
    const bool any = !ready_.empty();
    if (any) {
        const auto chosen = ready_.begin() + static_cast<std::ptrdiff_t>(choice % ready_.size());
        const auto task = *chosen;
        ready_.erase(chosen);
        resume(task);
    }
    run_hooks(soon_);
    if (ready_.empty()) run_hooks(turn_end_);
    leave();
    return any;
}

void Loop::stop() noexcept {
    stop_requested_.store(true, std::memory_order_release);
    notify();
}

void Loop::notify() noexcept {
    if (guest_) return guest_->post_batch();
    boost::asio::post(reactor_->io, [] {});
}

void Loop::wake_remote(std::coroutine_handle<> task) noexcept {
    bool wake_up = false;
    {
        const std::lock_guard guard{inbox_->lock};
        inbox_->tasks.push_back(task);
        inbox_->filled.store(true, std::memory_order_release);
        wake_up = std::exchange(inbox_->waiting, false);
    }
    if (wake_up) notify();
}

void Loop::post(std::move_only_function<void()> work) {
    bool wake_up = false;
    {
        const std::lock_guard guard{inbox_->lock};
        inbox_->work.push_back(std::move(work));
        inbox_->filled.store(true, std::memory_order_release);
        wake_up = std::exchange(inbox_->waiting, false);
    }
    if (wake_up) notify();
}

/// False when something has arrived meanwhile. Under the inbox's lock, so that whoever comes later
/// sees `waiting` and wakes us: no wake-up is lost between the check and the wait.
bool Loop::prepare_to_wait() {
    const std::lock_guard guard{inbox_->lock};
    if (!inbox_->tasks.empty() || !inbox_->work.empty()) return false;
    if (starts_ != nullptr && !said_asleep_) {
        if (!starts_->go_to_sleep()) return false;
        said_asleep_ = true;
    }
    inbox_->waiting = true;
    return true;
}

bool Loop::wake_if_asleep() noexcept {
    {
        const std::lock_guard guard{inbox_->lock};
        if (!std::exchange(inbox_->waiting, false)) return false;
    }
    notify();
    return true;
}

void Loop::wait_for_events() {
    // A manual clock's timers are fired by whoever moves the clock and then runs the loop.
    const bool timed = !timers_.empty() && clock_ == &Clock::steady();
    auto until = timed ? next_timers() : TimePoint::max();
    const auto trim_after = [&](Duration period) {
        until = std::min(until, Clock::steady().now() + period);
    };
    if (detail::trim_frames()) trim_after(trim_period);
    if (block_cache::trim()) trim_after(block_trim_period);
    until = std::min(until, detail::give_back_unused_frames());
    if (until != TimePoint::max()) reactor_->wake_at(until);
    turn_started_.store(0, std::memory_order_relaxed);
    sleeps_.fetch_add(1, std::memory_order_relaxed);
    const bool learns = busy_poll_.learns_from_sleep();
    const auto begun = learns ? Clock::steady().now() : TimePoint{};
    reactor_->io.run_one();
    if (learns) busy_poll_.found_after(Clock::steady().now() - begun);
    const std::lock_guard guard{inbox_->lock};
    inbox_->waiting = false;
}

/// A batch: one turn, then the host's other work. `waiting` is false while a batch is on its way.
void Loop::take_turn_as_guest() {
    turn();
    if (!ready_.empty() || !prepare_to_wait()) return guest_->post_batch();
    if (!timers_.empty()) guest_->wake_at(next_timers());
    turn_started_.store(0, std::memory_order_relaxed);
    sleeps_.fetch_add(1, std::memory_order_relaxed);
}

/// After something was run here outside of a batch.
void Loop::claim_turn() noexcept {
    {
        const std::lock_guard guard{inbox_->lock};
        if (!std::exchange(inbox_->waiting, false)) return;
    }
    guest_->post_batch();
}

bool Loop::poll_reactor() { return reactor_->io.poll() > 0; }

/// Instead of sleeping at once, if that has paid lately; true if there is something to do now.
bool Loop::look_for_work() {
    const auto budget = busy_poll_.budget();
    if (budget == Duration::zero()) return false;
    const auto begun = Clock::steady().now();
    auto until = begun + budget;
    if (!timers_.empty()) until = std::min(until, next_timers());
    turn_started_.store(0, std::memory_order_relaxed);
    for (auto now = begun; now < until; now = Clock::steady().now()) {
        if (inbox_->filled.load(std::memory_order_acquire) ||
            (starts_ != nullptr && !starts_->empty()) || poll_reactor()) {
            busy_poll_.found_after(now - begun);
            return true;
        }
        std::this_thread::yield();  // whoever shares the core has work to do, we do not
    }
    // What comes first after this was too late, whenever it comes.
    busy_poll_.found_after(Duration::max());
    return !timers_.empty() && timers_.earliest() <= until;
}

void Loop::turn() {
    const auto begun = Clock::steady().now();
    turn_started_.store(begun.time_since_epoch().count(), std::memory_order_relaxed);
    if (said_asleep_) {
        said_asleep_ = false;
        starts_->wake_up();
    }
    if (inbox_->filled.load(std::memory_order_acquire)) take_inbox();
    if (!timers_.empty()) fire_timers();
    const auto steps = run_ready();
    if (starts_ != nullptr && !starts_->empty()) begin_some();
    if (steps > 0 && is_sampled(++turns_)) learn_step_cost(begun, steps);
    run_hooks(soon_);  // of timers and posted work
    run_hooks(turn_end_);
}

void Loop::take_inbox() {
    std::vector<std::move_only_function<void()>> work;
    {
        const std::lock_guard guard{inbox_->lock};
        inbox_->filled.store(false, std::memory_order_relaxed);
        ready_.insert(ready_.end(), inbox_->tasks.begin(), inbox_->tasks.end());
        inbox_->tasks.clear();
        work.swap(inbox_->work);
    }
    for (auto& item : work) item();
}

/// When it is worth while to wake up for timers alone.
TimePoint Loop::next_timers() const noexcept {
    return std::max(timers_.earliest(), timers_fired_ + timer_gap_);
}

void Loop::fire_timers() {
    const auto now = clock_->now();
    if (timers_.earliest() <= now) timers_fired_ = now;
    while (!timers_.empty() && timers_.earliest() <= now) {
        detail::Timer& timer = timers_.pop();
        timer.fire(timer);
    }
}

/// Of what any loop of the pool may begin. A loop that has more to do already leaves the rest to
/// others.
void Loop::begin_some() {
    resume_site_.store(__builtin_return_address(0), std::memory_order_relaxed);
    const auto until = Clock::steady().now() + begin_time;
    for (int i = 0; i < begun_per_turn; ++i) {
        const auto start = starts_->take();
        if (!start) return;
        start->env->loop = this;
        resume(start->task);
        if (!ready_.empty() || Clock::steady().now() >= until) return;
    }
}

std::size_t Loop::run_ready() {
    std::size_t resumed = 0;
    resume_site_.store(__builtin_return_address(0), std::memory_order_relaxed);
    for (int round = 0;
         round < rounds_per_turn && resumed < resumptions_per_turn && !ready_.empty();
         ++round) {
        load_.store(ready_.size(), std::memory_order_relaxed);
        batch_.swap(ready_);
        resumed += batch_.size();
        for (std::size_t i = 0; i < batch_.size(); ++i) {
            if (i + frames_ahead < batch_.size()) prefetch(batch_[i + frames_ahead]);
            resume(batch_[i]);
        }
        batch_.clear();
    }
    load_.store(ready_.size(), std::memory_order_relaxed);
    return resumed;
}

/// An average over the latest milliseconds of work: what took longer counts more.
void Loop::learn_step_cost(TimePoint begun, std::size_t steps) noexcept {
    constexpr Duration memory = std::chrono::milliseconds{2};
    const auto time = Clock::steady().now() - begun;
    const auto cost = time / static_cast<Duration::rep>(steps);
    const auto weight = std::min(time, memory / 2);
    step_cost_ += (cost - step_cost_) * weight.count() / memory.count();
}

void Loop::run_hooks(detail::TurnHooks& hooks) noexcept {
    while (!hooks.empty()) {
        detail::TurnHook& hook = hooks.pop_front();
        hook.run(hook);
    }
}

Duration Loop::busy_for() const noexcept {
    const auto started = turn_started_.load(std::memory_order_relaxed);
    if (started == 0) return Duration::zero();
    return Clock::steady().now().time_since_epoch() - Duration{started};
}

}  // namespace stator::inline runtime
