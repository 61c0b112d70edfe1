// Races between waits on loops and the threads that complete and cancel them.
#pragma once

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/task_scope.hpp"
#include "tests/runtime/patience.hpp"
#include "tests/support/iterations.hpp"

namespace stator::test {

/// Lets `count` steps of about a nanosecond pass.
inline void spin(std::size_t count) noexcept {
    for (volatile std::size_t i = count; i > 0; i = i - 1) continue;
}

/// A small random generator (splitmix64); one for each thread.
class Dice {
public:
    explicit Dice(std::uint64_t seed) noexcept : state_{seed} {}
    std::uint64_t operator()() noexcept {
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
        z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
        z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
        return z ^ (z >> 31U);
    }
    std::size_t below(std::size_t bound) noexcept { return (*this)() % bound; }
    /// Lets a little time pass, or rarely a lot.
    void pause() noexcept {
        if (below(1024) == 0) std::this_thread::yield();
        spin(below(below(4) == 0 ? 400 : 40));
    }

private:
    std::uint64_t state_;
};

/// STATOR_SEED, or a new one.
inline std::uint64_t seed() {
    if (const char* given = std::getenv("STATOR_SEED")) return std::strtoull(given, nullptr, 0);
    return (std::uint64_t{std::random_device{}()} << 32U) | std::random_device{}();
}

/// Ends the process: threads are about that cannot be brought to order.
[[noreturn]] inline void give_up(const std::string& what, std::uint64_t seed) {
    std::fprintf(
        stderr,
        "FAILED: %s; STATOR_SEED=%llu\n",
        what.c_str(),
        static_cast<unsigned long long>(seed)
    );
    std::abort();
}

/// How the wait of a contest ended.
enum class End : std::uint8_t { none, granted, refused, cancelled };

/// Runs contests in batches. A contest is a task that waits once for something that one thread
/// completes while another cancels the task's token; then it parks until its batch is over, so that
/// whatever wakes it a second time is caught there.
class Rig {
public:
    static constexpr std::size_t batch = 2048;

    explicit Rig(std::string name)
        : name_{std::move(name)},
          seed_{seed()},
          dice_{seed_},
          seats_(batch),
          completer_{[this, dice = Dice{dice_()}] { attack(dice, complete_); }},
          canceller_{[this, dice = Dice{dice_()}] { attack(dice, cancel_); }} {
        std::printf(
            "%s: STATOR_SEED=%llu\n", name_.c_str(), static_cast<unsigned long long>(seed_)
        );
    }
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;
    ~Rig() {
        over_ = true;
        gate_.arrive_and_wait();
        completer_.join();
        canceller_.join();
    }

    /// `Field` has what a batch fights for: contest(i) -> Task<>, token(i), complete(i, dice),
    /// cancel(i), check().
    template <class Field>
    void race(std::size_t races) {
        const Budget budget{races, std::chrono::seconds{20}};
        for (std::size_t done = 0; budget.allows(done); done += batch) run_batch<Field>();
        // A few batches may all go one way.
        for (int more = 0; more < 100 && !both_ways<Field>(); ++more) run_batch<Field>();
    }

    Dice& dice() { return dice_; }
    std::size_t batches() const { return batches_; }
    void count(End end) { ++ends_[static_cast<std::size_t>(end)]; }
    std::size_t counted(End end) const { return ends_[static_cast<std::size_t>(end)]; }
    Loop& loop(std::size_t i) { return loops_[i % loops_.size()]; }
    /// In a contest, just before its wait. The attacker hears of it some 100 ns later, so the
    /// contest takes about as long to get to what may be hit.
    void begin(std::size_t i) {
        seats_[i].begun.store(true, std::memory_order_release);
        if (mode_ == Mode::aligned) spin(seats_[i].delay);
    }
    /// In a contest, after each wait.
    void resumed_on(const Loop& loop) const {
        if (Loop::current() != &loop) fail("resumed on a foreign thread");
    }
    [[noreturn]] void fail(const std::string& what) const { give_up(name_ + ": " + what, seed_); }

    /// Where a contest stays after its wait, in the same coroutine.
    struct Park {
        Rig& rig;
        std::size_t i;
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> task) noexcept {
            rig.seats_[i].task = task;
            rig.parked_.fetch_add(1, std::memory_order_acq_rel);
        }
        void await_resume() const {
            if (!rig.released_.load(std::memory_order_acquire)) rig.fail("resumed twice");
        }
    };
    Park park(std::size_t i) { return {*this, i}; }

private:
    struct Seat {
        std::atomic<bool> begun{false};
        std::size_t delay = 0;
        std::coroutine_handle<> task;
    };
    enum class Mode : std::uint8_t {
        free,     ///< everybody goes as they like
        aligned,  ///< the attack on a contest waits, for a while, until it is about to wait
        armed,    ///< the attacks wait until all contests wait
    };

    template <class Field>
    bool both_ways() const {
        return counted(End::granted) > 0 &&
               (counted(End::cancelled) > 0 || !Field::can_be_cancelled);
    }

    template <class Field>
    void run_batch() {
        mode_ = static_cast<Mode>(dice_.below(3));
        for (auto& seat : seats_) {
            seat.begun = false;
            seat.delay = dice_.below(400);
        }
        parked_ = 0;
        released_ = false;
        TaskScope scope;
        auto field = std::make_unique<Field>(*this);
        complete_ = [&](std::size_t i, Dice& dice) { field->complete(i, dice); };
        cancel_ = [&](std::size_t i, Dice& dice) {
            // From a foreign thread, or from a task among those that are ready on either loop.
            if (dice.below(2) == 0) return field->cancel(i);
            scope.spawn_on(loop(i + dice.below(2)), cancel_in_task(field.get(), i));
        };
        if (mode_ != Mode::armed) gate_.arrive_and_wait();
        for (std::size_t i = 0; i < batch; ++i) {
            scope.spawn_on(loop(i), with_token(field->token(i), field->contest(i)));
        }
        if (mode_ == Mode::armed) {
            flush();
            gate_.arrive_and_wait();
        }
        gate_.arrive_and_wait();  // the attackers are through
        await("a wait never ended", [&] { return parked_ == batch; });
        flush();
        released_ = true;
        for (std::size_t i = 0; i < batch; ++i) loop(i).wake(seats_[i].task);
        await("a contest never ended", [&] { return scope.size() == 0; });
        field->check();
        ++batches_;
    }

    template <class Field>
    static Task<> cancel_in_task(Field* field, std::size_t i) {
        field->cancel(i);
        co_return;
    }

    void attack(Dice dice, const std::function<void(std::size_t, Dice&)>& act) {
        for (;;) {
            gate_.arrive_and_wait();
            if (over_) return;
            for (std::size_t i = 0; i < batch; ++i) {
                for (int spins = 0; mode_ == Mode::aligned && spins < 2000; ++spins) {
                    if (seats_[i].begun.load(std::memory_order_acquire)) break;
                }
                dice.pause();
                act(i, dice);
            }
            gate_.arrive_and_wait();
        }
    }

    /// Until the loops have done what they were told so far.
    void flush() {
        for (int turn = 0; turn < 2; ++turn) {
            for (std::size_t i = 0; i < loops_.size(); ++i) {
                std::atomic<bool> done{false};
                loops_[i].post([&] { done = true; });
                await("a loop stands still", [&] { return done.load(); });
            }
        }
    }

    template <class Condition>
    void await(const char* otherwise, Condition condition) const {
        const auto until = std::chrono::steady_clock::now() + patience();
        while (!condition()) {
            if (std::chrono::steady_clock::now() > until) fail(otherwise);
            std::this_thread::yield();
        }
    }

    std::string name_;
    std::uint64_t seed_;
    Dice dice_;
    LoopPool loops_{2, "race"};
    std::vector<Seat> seats_;
    std::array<std::size_t, 4> ends_{};
    std::size_t batches_ = 0;
    std::atomic<std::size_t> parked_{0};
    std::atomic<bool> released_{false};
    Mode mode_ = Mode::free;
    bool over_ = false;
    std::function<void(std::size_t, Dice&)> complete_;
    std::function<void(std::size_t, Dice&)> cancel_;
    std::barrier<> gate_{3};
    std::thread completer_;
    std::thread canceller_;
};

}  // namespace stator::test
