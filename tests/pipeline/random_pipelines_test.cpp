// Random pipelines of random stages, whose answers are read, dropped, stopped, killed and cancelled
// at random points: no item is lost, doubled or moved, nothing is left behind, and each answer ends
// once.
#include <fmt/format.h>

#include "reading.hpp"
#include "stator/base/random.hpp"
#include "stator/pipeline/link.hpp"
#include "stator/pipeline/operators.hpp"

namespace stator::testing {
namespace {

using namespace std::chrono_literals;

struct Plan {
    int items = 0;
    int at = 0;  // where it happens
    Fate fate = Fate::read;
    int pause_every = 1;
};

/// What a run has to clean up, and what came out of it.
struct Run {
    Plan plan;
    std::shared_ptr<int> alive = std::make_shared<int>();
    CancellationToken token = CancellationToken::make();
    int made = 0;
};

/// The engine at the end: numbers in their order, some at once and some after a turn of the loop.
Stream<int> numbers(Run* run, std::shared_ptr<int> alive, Context context, int count) {
    const auto& plan = run->plan;
    for (int i = 0; i < count; ++i) {
        if (context.killed()) throw Error{ErrorCode::cancelled, "test.killed", ""};
        if (context.stopped()) co_return;
        if (plan.fate == Fate::fail && i == plan.at)
            throw Error{ErrorCode::invalid_request, "test.failed", ""};
        if (i % plan.pause_every == 0) co_await sleep_for(0ns);
        run->made = i + 1;
        co_yield int{i};
    }
}

/// As a user writes them.
struct Copying final : Operator<int, int, int, int> {
    explicit Copying(std::shared_ptr<int> alive_) : alive{std::move(alive_)} {}
    Stream<int> generate(Context context, int request, Engine<int, int> next) override {
        auto items = next.generate(context.child(), request);
        while (auto item = co_await items.next()) co_yield std::move(*item);
    }
    std::shared_ptr<int> alive;
};

Engine<int, int> random_pipeline(Random& random, Run& run, TaskScope& scope) {
    const auto alive = run.alive;
    Engine<int, int> engine{[&run, alive](Context context, int count) {
        return numbers(&run, alive, std::move(context), count);
    }};
    const auto stages = random.below(9);
    for (std::uint64_t i = 0; i < stages; ++i) {
        auto start = frontend<int, int>();
        switch (random.below(8)) {
            case 0:
                engine = std::move(start).link(map([alive](int n) { return n; })).link(engine);
                break;
            case 1:
                engine = std::move(start).link(filter([alive](int) { return true; })
                ).link(map([](int n) {
                     return n;
                 })).link(engine);
                break;
            case 2:
                engine = std::move(start).link(buffer(1 + random.below(4), scope)).link(engine);
                break;
            case 3:
                engine = std::move(start).link(timeout({.first = 1h, .whole = 2h})).link(engine);
                break;
            case 4:
                engine = std::move(start).link(retry({.attempts = 2})).link(engine);
                break;
            case 5:
                engine = std::move(start).link(rate_limit(1e9, 100)).link(engine);
                break;
            case 6:
                engine =
                    std::move(start).link(map_request([alive](int n) { return n; })).link(engine);
                break;
            default:
                engine = std::move(start).link(Copying{alive}).link(engine);
        }
    }
    return engine;
}

void check(const Run& run, const Seen& seen) {
    const auto& plan = run.plan;
    for (std::size_t i = 0; i < seen.items.size(); ++i)
        ASSERT_EQ(seen.items[i], static_cast<int>(i)) << "lost, doubled or moved";
    ASSERT_LE(seen.items.size(), static_cast<std::size_t>(run.made));
    const int outcomes = seen.ends + (seen.error ? 1 : 0) + (seen.dropped ? 1 : 0);
    ASSERT_EQ(outcomes, 1);
    const auto whole = static_cast<std::size_t>(plan.items);
    switch (plan.fate) {
        case Fate::read:
            ASSERT_EQ(seen.items.size(), whole);
            ASSERT_EQ(seen.ends, 1);
            break;
        case Fate::fail:
            ASSERT_EQ(seen.items.size(), static_cast<std::size_t>(plan.at));
            ASSERT_EQ(seen.error.value().detail(), "test.failed");
            break;
        case Fate::drop:
            ASSERT_EQ(seen.items.size(), static_cast<std::size_t>(plan.at) + 1);
            break;
        case Fate::stop:
            ASSERT_EQ(seen.ends, 1);
            ASSERT_GT(seen.items.size(), static_cast<std::size_t>(plan.at));
            break;
        default:
            if (seen.error) ASSERT_EQ(seen.error->code(), ErrorCode::cancelled);
            if (!seen.error) ASSERT_EQ(seen.items.size(), whole);
    }
}

void one_run(std::uint64_t seed) {
    Random random{seed};
    Run run;
    run.plan.items = 1 + static_cast<int>(random.below(40));
    run.plan.at = static_cast<int>(random.below(static_cast<std::uint64_t>(run.plan.items)));
    run.plan.fate = static_cast<Fate>(random.below(6));
    run.plan.pause_every = 1 + static_cast<int>(random.below(5));
    Seen seen;
    on_a_loop([&](this auto) -> Task<> {
        TaskScope scope;
        auto engine = random_pipeline(random, run, scope);
        {
            const Context context;
            context.insert("alive", run.alive);
            auto items = engine.generate(context, run.plan.items);
            if (random.below(2) == 0) engine = {};
            auto reading = read_disturbed(
                std::move(items), run.plan.fate, run.plan.at, context, run.token, &seen
            );
            co_await with_token(run.token, std::move(reading));
        }
        co_await scope.join();
        engine = {};
    });
    check(run, seen);
    ASSERT_EQ(run.alive.use_count(), 1) << "something was left behind";
}

TEST(RandomPipelines, LoseDoubleMoveAndLeakNothing) {
    constexpr std::uint64_t runs = 600;
    for (std::uint64_t seed = 1; seed <= runs; ++seed) {
        SCOPED_TRACE(fmt::format("seed {}", seed));
        one_run(seed);
        if (::testing::Test::HasFailure()) return;
    }
}

}  // namespace
}  // namespace stator::testing
