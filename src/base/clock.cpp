#include "stator/base/clock.hpp"

#include <utility>

namespace stator::inline base {

namespace {

class SteadyClock final : public Clock {
public:
    TimePoint now() const noexcept override {
        return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
    }
};

// Never destroyed: threads that outlive main still ask for the time.
union Immortal {
    constexpr Immortal() : clock{} {}
    constexpr ~Immortal() {}
    SteadyClock clock;
};
constinit Immortal steady_clock_instance;

constinit thread_local const Clock* thread_clock = nullptr;

}  // namespace

const Clock& Clock::steady() noexcept { return steady_clock_instance.clock; }

const Clock& Clock::current() noexcept {
    return thread_clock != nullptr ? *thread_clock : steady_clock_instance.clock;
}

const Clock* Clock::set_current(const Clock* clock) noexcept {
    return std::exchange(thread_clock, clock);
}

}  // namespace stator::inline base
