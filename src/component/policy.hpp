// The rules by which routers choose. Pure: numbers in, an index out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stator/base/clock.hpp"
#include "stator/base/random.hpp"

namespace stator::inline component::policy {

/// Of two different ones out of `count` (at least 1), the one with the lower score; either if they
/// are equal.
template <class Score>
std::size_t better_of_two(std::size_t count, Random& random, Score score) {
    const auto first = random.below(count);
    if (count == 1) return first;
    auto second = random.below(count - 1);
    if (second >= first) ++second;
    return score(second) < score(first) ? second : first;
}

/// The first one with the lowest score, from `start` on and around.
template <class Score>
std::size_t lowest(std::size_t count, std::size_t start, Score score) {
    auto best = start % count;
    auto least = score(best);
    for (std::size_t i = 1; i < count; ++i) {
        const auto at = (start + i) % count;
        const auto other = score(at);
        if (other < least) {
            best = at;
            least = other;
        }
    }
    return best;
}

/// The calls of one kind of device, and how many instances of it there are.
struct DeviceGroup {
    std::uint64_t calls = 0;
    std::uint64_t instances = 0;
};

/// Whether the next call goes to a CPU: with it CPUs have no more calls for what they can do than
/// accelerators have, of which one does the work of `weight` CPUs. An empty group gets nothing.
bool cpu_has_room(DeviceGroup cpus, DeviceGroup accelerators, std::uint64_t weight) noexcept;

/// A good mix of both.
std::uint64_t mixed(std::uint64_t a, std::uint64_t b) noexcept;

/// Always the same one for a key, whatever the order. When one is gone, only its keys go elsewhere;
/// when one is new, it takes its share of all others (rendezvous hashing).
template <class Id>
std::size_t owner_of(std::uint64_t key, std::size_t count, Id id) {
    std::size_t best = 0;
    std::uint64_t highest = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const auto weight = mixed(key, id(i));
        if (i == 0 || weight > highest) {
            best = i;
            highest = weight;
        }
    }
    return best;
}

/// A moving average of latencies that follows a rise at once and a fall slowly, and forgets with
/// time. A value; time goes in as an argument.
class PeakEwma {
public:
    void observe(Duration latency, TimePoint now, Duration decay) noexcept;
    /// Nanoseconds; zero when nothing is known any more.
    double value(TimePoint now, Duration decay) const noexcept;

private:
    double cost_ = 0;
    TimePoint when_{};
};

/// What the next call may cost: an instance of which nothing is known is tried with one call.
double peak_ewma_score(double latency_ns, std::uint32_t outstanding) noexcept;

/// Hands out second calls: `budget` of one for each call, saved up to a few.
class HedgeBudget {
public:
    explicit HedgeBudget(double budget) noexcept : budget_{budget} {}
    void call() noexcept;
    bool take() noexcept;

private:
    static constexpr double most = 10;
    double budget_;
    double saved_ = 1;
};

}  // namespace stator::inline component::policy
