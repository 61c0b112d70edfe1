// SeededScheduler: one seed, one interleaving.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/base/random.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator::testing {

/// Several loops on this thread, on one clock that stands still while anything is ready. Which loop
/// goes on next, and which of its tasks, is drawn from the seed: the same seed gives the same
/// order, however often it is run. For tests of what happens between `co_await`s; it does not
/// interrupt a step, and no sockets are polled. One thread.
///
///     SeededScheduler scheduler{seed, 2};
///     scheduler.spawn(0, producer(&channel));
///     scheduler.spawn(1, consumer(&channel));
///     scheduler.run();
class SeededScheduler {
public:
    explicit SeededScheduler(std::uint64_t seed, std::size_t loops = 2);
    SeededScheduler(const SeededScheduler&) = delete;
    SeededScheduler& operator=(const SeededScheduler&) = delete;
    /// Cancels what still runs and lets it end.
    ~SeededScheduler();

    std::size_t size() const noexcept { return loops_.size(); }
    Loop& loop(std::size_t index) noexcept { return *loops_[index]; }
    ManualClock& clock() noexcept { return clock_; }
    /// For choices of the test's own.
    Random& random() noexcept { return random_; }
    TaskScope& scope() noexcept { return scope_; }

    /// Starts `task` on that loop; its error is thrown by `run`.
    void spawn(std::size_t on, Task<> task) { scope_.spawn_on(loop(on), std::move(task)); }
    /// Resumes one task; false when none is ready now.
    bool step();
    /// Steps, and moves the clock to the next timer when nothing is ready, until nothing waits for
    /// either. Throws the first error of a task, and std::runtime_error after `most_steps`.
    void run(std::size_t most_steps = 1'000'000);
    /// As `run`, and it is an error (std::runtime_error) when a task of the scope has not ended:
    /// whatever it waits for will never come.
    void run_to_end(std::size_t most_steps = 1'000'000);

private:
    bool advance();

    ManualClock clock_;
    Random random_;
    std::vector<std::unique_ptr<Loop>> loops_;
    TaskScope scope_;
};

/// Calls `body(seed)` for `count` seeds, or for the one that the variable STATOR_SEED names. What
/// it throws comes out as std::runtime_error that names the seed.
void for_each_seed(std::uint64_t count, const std::function<void(std::uint64_t seed)>& body);

}  // namespace stator::testing
