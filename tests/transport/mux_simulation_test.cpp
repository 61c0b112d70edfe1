// Thousands of seeded conversations of two sessions: nothing lost, doubled or reordered, one end
// for every call, all credit back.
#include "tests/transport/mux_simulation.hpp"

namespace stator::transport::test {
namespace {

/// Seeds per test; STATOR_SEEDS multiplies them, STATOR_SEED runs a single one.
template <class Simulated = Simulation>
void run_seeds(std::uint64_t count, const SimOptions& options) {
    const char* one = std::getenv("STATOR_SEED");
    const char* times = std::getenv("STATOR_SEEDS");
    if (times != nullptr) count *= std::strtoull(times, nullptr, 10);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto seed = one != nullptr ? std::strtoull(one, nullptr, 10) : i;
        Simulated{seed, options}.run();
        if (::testing::Test::HasFailure()) {
            FAIL() << "reproduce with STATOR_SEED=" << seed;
        }
        if (one != nullptr) return;
    }
}

TEST(MuxSimulation, FourShapes) { run_seeds(500, {}); }

TEST(MuxSimulation, LongConversations) { run_seeds(30, {.steps = 4000}); }

TEST(MuxSimulation, SlowConsumers) { run_seeds(200, {.slow_taker = true, .steps = 800}); }

TEST(MuxSimulation, ConnectionsThatBreak) { run_seeds(500, {.cuts = true, .steps = 800}); }

const SimOptions shared{.cuts = true, .slow_taker = true, .steps = 400};

TEST(MuxSimulation, SeveralConnectionsShareABudget) { run_seeds<NetworkSimulation>(1000, shared); }

TEST(MuxSimulation, SeedsThatFoundMistakesInTheBooksOfABudget) {
    NetworkSimulation{491, shared}.run();   // reserved for what was there already
    NetworkSimulation{3717, shared}.run();  // no credit for what was reserved
}

}  // namespace
}  // namespace stator::transport::test
