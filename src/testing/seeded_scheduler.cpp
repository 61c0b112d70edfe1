#include "stator/testing/seeded_scheduler.hpp"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

namespace stator::testing {

SeededScheduler::SeededScheduler(std::uint64_t seed, std::size_t loops) : random_{seed} {
    for (std::size_t i = 0; i < std::max<std::size_t>(loops, 1); ++i) {
        loops_.push_back(std::make_unique<Loop>(Loop::Options{
            .name = fmt::format("seeded-{}", i),
            .clock = &clock_,
            .index = i,
        }));
    }
}

SeededScheduler::~SeededScheduler() {
    scope_.cancel();
    try {
        run();
    } catch (...) {  // NOLINT(bugprone-empty-catch): a scope whose tasks do not end says so itself
    }
}

bool SeededScheduler::step() {
    // Each loop is asked once, in an order that the seed gives.
    const auto first = random_.below(loops_.size());
    for (std::size_t i = 0; i < loops_.size(); ++i) {
        Loop& next = loop((first + i) % loops_.size());
        if (next.run_one(random_())) return true;
    }
    return false;
}

bool SeededScheduler::advance() {
    auto earliest = TimePoint::max();
    for (const auto& loop : loops_) earliest = std::min(earliest, loop->next_timer());
    if (earliest == TimePoint::max()) return false;
    clock_.advance(std::max(Duration::zero(), earliest - clock_.now()));
    return true;
}

void SeededScheduler::run(std::size_t most_steps) {
    for (std::size_t steps = 0; step() || advance(); ++steps) {
        if (steps >= most_steps)
            throw std::runtime_error{fmt::format("still busy after {} steps", steps)};
    }
    if (scope_.size() != 0) return;
    // Nothing runs: this ends at once.
    std::exception_ptr failure;
    auto join = [](this auto, TaskScope* scope, std::exception_ptr* error) -> Task<> {
        try {
            co_await scope->join();
        } catch (...) {
            *error = std::current_exception();
        }
    };
    TaskScope joining;
    joining.spawn_on(loop(0), join(&scope_, &failure));
    while (step()) continue;
    if (failure) std::rethrow_exception(failure);
}

void SeededScheduler::run_to_end(std::size_t most_steps) {
    run(most_steps);
    if (scope_.size() != 0)
        throw std::runtime_error{fmt::format("{} tasks wait for ever", scope_.size())};
}

void for_each_seed(std::uint64_t count, const std::function<void(std::uint64_t)>& body) {
    const char* const only = std::getenv("STATOR_SEED");
    const std::uint64_t first = only == nullptr ? 0 : std::strtoull(only, nullptr, 10);
    const auto last = only == nullptr ? count : first + 1;
    for (auto seed = first; seed < last; ++seed) {
        try {
            body(seed);
        } catch (const std::exception& error) {
            throw std::runtime_error{
                fmt::format("seed {}: {} (STATOR_SEED={} runs it alone)", seed, error.what(), seed)
            };
        }
    }
}

}  // namespace stator::testing
