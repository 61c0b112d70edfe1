#include "component/placement.hpp"

namespace stator::inline component {

Placement::Placement(Handle loops, Duration long_step)
    : loops_{loops}, long_step_{long_step}, given_{loops.loop(loops.size() - 1).index() + 1} {}

/// Of another loop: a hint, since that loop goes on meanwhile.
std::size_t Placement::backlog(const Loop& loop) const noexcept {
    const auto given = given_.at(loop.index()).load(std::memory_order_relaxed);
    const std::size_t running = loop.busy_for() > Duration::zero() ? 1 : 0;
    return loop.load() + given + running;
}

Loop* Placement::elsewhere() const noexcept {
    const Loop& here = *Loop::current();
    if (here.step_cost() < long_step_) return nullptr;
    Loop* best = nullptr;
    auto least = here.waiting() + 1;  // what waits, and whoever gives us this request
    for (std::size_t i = 0; i < loops_.size(); ++i) {
        Loop& loop = loops_.loop(i);
        if (&loop == &here || backlog(loop) >= least) continue;
        best = &loop;
        least = backlog(loop);
    }
    return best;
}

}  // namespace stator::inline component
