// Answers that go on elsewhere: each item once, in order, and one end.
#include "stator/pipeline/migrate.hpp"

#include <array>
#include <sstream>
#include <string>

#include <fmt/format.h>

#include "reading.hpp"
#include "stator/base/random.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/pipeline/link.hpp"
#include "stator/pipeline/operators.hpp"

namespace stator::testing {
namespace {

using namespace std::chrono_literals;

/// The numbers from `first` to before `last`.
struct Range {
    int first = 0;
    int last = 0;
};

std::optional<Range> rest_of(const Range& request, std::span<const int> items) {
    const int next = request.first + static_cast<int>(items.size());
    if (next == request.last) return std::nullopt;
    return Range{next, request.last};
}

MigrationPolicy fast(int limit) {
    return {.limit = limit, .backoff = {.initial = 1us, .max = 1us}};
}

/// Breaks off after so many items of each attempt, then answers.
struct Breaking {
    std::vector<int> after{};
    Error error{ErrorCode::disconnected, "test.broken", "the connection was lost"};
    std::shared_ptr<std::vector<Context>> seen = std::make_shared<std::vector<Context>>();
    std::shared_ptr<std::vector<Range>> asked = std::make_shared<std::vector<Range>>();

    Stream<int> generate(Context context, Range request) const {
        const auto attempt = seen->size();
        seen->push_back(context);
        asked->push_back(request);
        return answer(*this, attempt, std::move(context), request);
    }
    static Stream<int> answer(Breaking self, std::size_t attempt, Context context, Range request) {
        for (int i = request.first;; ++i) {
            if (context.killed()) throw Error{ErrorCode::cancelled, "test.killed", ""};
            if (attempt < self.after.size() && i == request.first + self.after[attempt])
                throw self.error;
            if (i == request.last) co_return;
            co_yield int{i};
        }
    }
};

auto moving(const Breaking& engine, MigrationPolicy policy) {
    return frontend<Range, int>().link(migrate(std::move(policy), rest_of)).link(engine);
}

std::vector<int> up_to(int last) {
    std::vector<int> all;
    for (int i = 0; i < last; ++i) all.push_back(i);
    return all;
}

double moves(const std::string& kind) {
    std::ostringstream out;
    observe::metrics().write(out);
    const auto text = out.str();
    const auto name = fmt::format("stator_migrations_total{{kind=\"{}\"}} ", kind);
    const auto at = text.find(name);
    return at == std::string::npos ? 0 : std::stod(text.substr(at + name.size()));
}

TEST(Migrate, GoesOnWhereItBrokeOff) {
    on_a_loop([]() -> Task<> {
        const auto fresh = moves("new_request");
        const auto ongoing = moves("ongoing_request");
        const Breaking engine{.after = {0, 3, 0, 2}};
        const auto ended = co_await read_to_the_end(moving(engine, fast(4)).generate({}, {0, 7}));
        EXPECT_FALSE(ended.error);
        EXPECT_EQ(ended.items, up_to(7));
        std::vector<int> firsts;
        for (const auto& range : *engine.asked) firsts.push_back(range.first);
        EXPECT_EQ(firsts, (std::vector{0, 0, 3, 3, 5}));
        EXPECT_EQ(moves("new_request") - fresh, 1);
        EXPECT_EQ(moves("ongoing_request") - ongoing, 3);
    });
}

TEST(Migrate, NotBeyondItsLimitWhichIsNoneAtFirst) {
    on_a_loop([]() -> Task<> {
        for (const int limit : {0, 1, 2}) {
            const Breaking engine{.after = {2, 2, 2}};
            const auto policy = limit == 0 ? MigrationPolicy{} : fast(limit);
            const auto ended =
                co_await read_to_the_end(moving(engine, policy).generate({}, {0, 20}));
            EXPECT_EQ(ended.items, up_to(2 * (limit + 1)));
            EXPECT_TRUE(ended.error);
            if (ended.error) EXPECT_EQ(ended.error->detail(), "test.broken");
            EXPECT_EQ(engine.seen->size(), static_cast<std::size_t>(limit) + 1);
        }
    });
}

TEST(Migrate, OnlyAfterErrorsThatSpeakOfTheInstance) {
    on_a_loop([]() -> Task<> {
        for (int number = 1; number <= 15; ++number) {
            const auto code = static_cast<ErrorCode>(number);
            const bool moves = code == ErrorCode::disconnected || code == ErrorCode::unavailable ||
                               code == ErrorCode::draining;
            for (const int after : {0, 2}) {
                const Breaking engine{.after = {after}, .error = Error{code, "test.broken", ""}};
                const auto ended =
                    co_await read_to_the_end(moving(engine, fast(3)).generate({}, {0, 4}));
                EXPECT_EQ(!ended.error, moves) << to_string(code);
                EXPECT_EQ(ended.items, up_to(moves ? 4 : after)) << to_string(code);
            }
        }
        const Breaking final{
            .after = {1}, .error = Error{ErrorCode::disconnected, ""}.with_retryable(false)
        };
        EXPECT_TRUE((co_await read_to_the_end(moving(final, fast(3)).generate({}, {0, 4}))).error);
        auto all = fast(3);
        all.migratable = [](const Error&) { return true; };
        const Breaking own{.after = {1}, .error = Error{ErrorCode::internal, ""}};
        EXPECT_FALSE((co_await read_to_the_end(moving(own, all).generate({}, {0, 4}))).error);
    });
}

TEST(Migrate, EachAttemptHasAContextOfItsOwn) {
    on_a_loop([]() -> Task<> {
        const Context context{{
            .deadline = Deadline::in(1h),
            .headers = {{"x-session-id", "s"}},
            .trace = observe::TraceContext::random(),
        }};
        const Breaking engine{.after = {1}};
        EXPECT_EQ(co_await collect(moving(engine, fast(1)).generate(context, {0, 3})), up_to(3));
        const auto& first = engine.seen->at(0);
        const auto& second = engine.seen->at(1);
        EXPECT_NE(first.id(), second.id());
        EXPECT_TRUE(first.killed());
        EXPECT_EQ(first.reason(), CancelReason::peer_gone);
        EXPECT_FALSE(second.stopped());
        EXPECT_FALSE(context.stopped());
        for (const auto& attempt : *engine.seen) {
            EXPECT_NE(attempt.id(), context.id());
            EXPECT_EQ(attempt.deadline(), context.deadline());
            EXPECT_EQ(attempt.headers(), context.headers());
            EXPECT_EQ(attempt.trace().value().trace_id, context.trace().value().trace_id);
            EXPECT_EQ(FailedInstances::of(attempt), FailedInstances::of(first));
        }
        EXPECT_EQ(FailedInstances::of(context), nullptr);
        context.stop();
        EXPECT_TRUE(second.stopped());
    });
}

TEST(Migrate, NotOnceTheCallerHasStoppedOrItsDeadlineHasPassed) {
    on_a_loop([]() -> Task<> {
        const auto attempts = [](Context context, auto end) -> Task<std::size_t> {
            const Breaking engine{.after = {2, 2}};
            auto items = moving(engine, fast(5)).generate(context, {0, 9});
            EXPECT_EQ(co_await items.next(), 0);
            co_await end(context);
            const auto ended = co_await read_to_the_end(std::move(items));
            EXPECT_TRUE(ended.error);
            co_return engine.seen->size();
        };
        const auto stop = [](Context context) -> Task<> {
            context.stop();
            co_return;
        };
        const auto kill = [](Context context) -> Task<> {
            context.kill();
            co_return;
        };
        const auto wait = [](Context context) -> Task<> {
            co_await sleep_until(context.deadline());
        };
        EXPECT_EQ(co_await attempts({}, stop), 1U);
        EXPECT_EQ(co_await attempts({}, kill), 1U);
        EXPECT_EQ(co_await attempts(Context{{.deadline = Deadline::in(2ms)}}, wait), 1U);
        // It would come after the deadline.
        const Breaking nobody{.after = {0, 0}};
        MigrationPolicy slow{.limit = 3, .backoff = {.initial = 1000h, .max = 1000h}};
        const Context soon{{.deadline = Deadline::in(1h)}};
        EXPECT_TRUE((co_await read_to_the_end(moving(nobody, slow).generate(soon, {0, 1}))).error);
        EXPECT_EQ(nobody.seen->size(), 1U);
    });
}

TEST(Migrate, WhoeverClosesItIsNotTakenForALostInstance) {
    on_a_loop([]() -> Task<> {
        const Breaking engine{.after = {5}};
        auto items = moving(engine, fast(3)).generate({}, {0, 9});
        EXPECT_EQ(co_await items.next(), 0);
        co_await items.close();
        EXPECT_EQ(engine.seen->size(), 1U);
    });
}

TEST(Migrate, TheCallerHasTheLastWord) {
    on_a_loop([]() -> Task<> {
        // What cannot be asked for in part ends with what broke it.
        const auto refused = [](const Range&,
                                std::span<const int>) -> Result<std::optional<Range>> {
            return fail(ErrorCode::invalid_request, "a grammar is not asked for in part");
        };
        const Breaking guided{.after = {2}};
        const auto service = frontend<Range, int>().link(migrate(fast(3), refused)).link(guided);
        const auto ended = co_await read_to_the_end(service.generate({}, {0, 4}));
        EXPECT_EQ(ended.items, up_to(2));
        EXPECT_EQ(ended.error.value().detail(), "test.broken");
        // Nothing was left but the end.
        const Breaking late{.after = {4}};
        EXPECT_EQ(co_await collect(moving(late, fast(3)).generate({}, {0, 4})), up_to(4));
        EXPECT_EQ(late.seen->size(), 1U);
        // A request that may be made but once.
        auto once = fast(3);
        once.replayable = [](const Context& context) { return !context.header("once"); };
        const Breaking engine{.after = {0}};
        const Context context{{.headers = {{"once", ""}}}};
        EXPECT_TRUE((co_await read_to_the_end(moving(engine, once).generate(context, {0, 4}))).error
        );
    });
}

TEST(Migrate, ALongAnswerIsNotKept) {
    on_a_loop([]() -> Task<> {
        auto policy = fast(3);
        policy.max_items = 3;
        const Breaking kept{.after = {3}};
        EXPECT_EQ(co_await collect(moving(kept, policy).generate({}, {0, 9})), up_to(9));
        const Breaking longer{.after = {4}};
        const auto ended = co_await read_to_the_end(moving(longer, policy).generate({}, {0, 9}));
        EXPECT_EQ(ended.items, up_to(4));
        EXPECT_TRUE(ended.error);
    });
}

TEST(Migrate, AnItemThatIsAnError) {
    using Told = Annotated<int>;
    on_a_loop([]() -> Task<> {
        const auto run = [](int limit, ErrorCode code) -> Task<std::vector<Told>> {
            auto calls = std::make_shared<int>();
            const auto rest = [](const int& first, std::span<const Told> items) {
                return first + static_cast<int>(items.size());
            };
            const auto service =
                frontend<int, Told>()
                    .link(migrate(fast(limit), rest))
                    .link([calls, code](Context, int first) -> Stream<Told> {
                        const auto answer = [](int call, int at, Error error) -> Stream<Told> {
                            for (int i = at; i < 4; ++i) {
                                if (call == 1 && i == 2) {
                                    co_yield Told::from_error(error);
                                    co_return;
                                }
                                co_yield Told::from_data(i);
                            }
                        };
                        return answer(++*calls, first, Error{code, "test.broken", "lost"});
                    });
            co_return co_await collect(service.generate({}, 0));
        };
        const auto moved = co_await run(1, ErrorCode::disconnected);
        EXPECT_EQ(moved.size(), 4U);
        for (const auto& item : moved) EXPECT_TRUE(item.ok());
        for (const auto& [limit, code] :
             {std::pair{0, ErrorCode::disconnected}, std::pair{1, ErrorCode::internal}}) {
            const auto kept = co_await run(limit, code);
            EXPECT_EQ(kept.size(), 3U);
            EXPECT_TRUE(kept.back().is_error());
        }
    });
}

TEST(FailedInstances, AreNotedOnceForAllAttempts) {
    const Context context;
    EXPECT_EQ(FailedInstances::of(context), nullptr);
    FailedInstances::give(context, std::make_shared<FailedInstances>());
    const auto failed = FailedInstances::of(context.child().child());
    ASSERT_TRUE(failed);
    failed->add(InstanceId{7});
    failed->add(InstanceId{7});
    EXPECT_EQ(failed->ids(), std::vector{InstanceId{7}});
    EXPECT_EQ(failed->added(), 2U);
    failed->clear();
    EXPECT_TRUE(failed->ids().empty());
}

// Random answers that break off at random points, with errors of random classes, read, stopped,
// dropped and cancelled at random points, with random stages around.

struct Plan {
    int items = 0;
    int limit = 0;
    std::vector<int> cuts;  // items of each attempt
    bool fatal = false;     // the last cut is not to be moved
    int at = -1;            // where the reader does `fate`
    Fate fate = Fate::read;
};

struct Run {
    Plan plan;
    std::shared_ptr<int> alive = std::make_shared<int>();
    CancellationToken token = CancellationToken::make();
    int attempts = 0;
    int running = 0;
};

/// Counts how many answers there are at a time.
struct Present {
    explicit Present(int& count_) : count{count_} { ++count; }
    Present(const Present&) = delete;
    Present& operator=(const Present&) = delete;
    ~Present() { --count; }
    int& count;
};

Stream<int> broken_numbers(Run* run, std::shared_ptr<int> alive, Context context, Range request) {
    const auto attempt = static_cast<std::size_t>(run->attempts++);
    const Present present{run->running};
    EXPECT_EQ(run->running, 1) << "the attempt before is still there";
    const auto& cuts = run->plan.cuts;
    for (int i = request.first;; ++i) {
        if (context.killed()) throw Error{ErrorCode::cancelled, "test.killed", ""};
        if (attempt < cuts.size() && i == request.first + cuts[attempt]) {
            const bool last = attempt + 1 == cuts.size();
            throw Error{
                last && run->plan.fatal ? ErrorCode::invalid_request : ErrorCode::disconnected,
                "test.cut",
                ""
            };
        }
        if (i == request.last) co_return;
        if (i % 3 == 0) co_await sleep_for(0ns);
        co_yield int{i};
    }
}

Plan random_plan(Random& random) {
    const auto below = [&](int most) {
        return static_cast<int>(random.below(static_cast<std::uint64_t>(most)));
    };
    Plan plan;
    plan.items = 1 + below(30);
    plan.limit = below(5);
    plan.cuts.resize(static_cast<std::size_t>(below(6)));
    for (auto& cut : plan.cuts) cut = below(8);
    plan.fatal = below(4) == 0;
    constexpr std::array fates{Fate::read, Fate::drop, Fate::stop, Fate::cancel};
    plan.fate = fates.at(static_cast<std::size_t>(below(5) % 4));
    if (plan.fate != Fate::read) plan.at = below(plan.items);
    return plan;
}

Engine<Range, int> random_pipeline(Random& random, Run& run, TaskScope& scope) {
    Engine<Range, int> engine{[&run, alive = run.alive](Context context, Range range) {
        return broken_numbers(&run, alive, std::move(context), range);
    }};
    if (random.below(3) == 0)
        engine = frontend<Range, int>().link(map([](int n) { return n; })).link(engine);
    engine = frontend<Range, int>()
                 .link(migrate(
                     fast(run.plan.limit),
                     [](const Range& all, std::span<const int> had) { return rest_of(all, had); }
                 ))
                 .link(engine);
    if (random.below(3) == 0)
        engine = frontend<Range, int>().link(buffer(1 + random.below(4), scope)).link(engine);
    return engine;
}

/// What undisturbed reading must show: how far it comes, and whether that is the end.
std::pair<int, bool> expected(const Plan& plan) {
    int reached = 0;
    for (std::size_t attempt = 0; attempt < plan.cuts.size(); ++attempt) {
        const auto cut = plan.cuts[attempt];
        // An answer that is whole ends before it can be cut.
        if (reached + cut > plan.items) return {plan.items, true};
        reached += cut;
        const bool fatal = plan.fatal && attempt + 1 == plan.cuts.size();
        if (fatal || attempt == static_cast<std::size_t>(plan.limit)) return {reached, false};
        if (reached == plan.items && reached > 0) return {reached, true};  // nothing was left
    }
    return {plan.items, true};
}

void check(const Run& run, const Seen& seen) {
    const auto& plan = run.plan;
    for (std::size_t i = 0; i < seen.items.size(); ++i)
        ASSERT_EQ(seen.items[i], static_cast<int>(i)) << "lost, doubled or moved";
    ASSERT_EQ(seen.ends + (seen.error ? 1 : 0) + (seen.dropped ? 1 : 0), 1);
    ASSERT_LE(run.attempts, plan.limit + 1);
    const auto [reached, whole] = expected(plan);
    ASSERT_LE(seen.items.size(), static_cast<std::size_t>(reached));
    if (plan.fate != Fate::read && plan.at < reached) return;
    ASSERT_EQ(seen.items.size(), static_cast<std::size_t>(reached));
    ASSERT_EQ(seen.ends, whole ? 1 : 0);
    if (!whole) ASSERT_EQ(seen.error.value().detail(), "test.cut");
}

void one_run(std::uint64_t seed) {
    Random random{seed};
    Run run;
    run.plan = random_plan(random);
    Seen seen;
    on_a_loop([&](this auto) -> Task<> {
        TaskScope scope;
        auto engine = random_pipeline(random, run, scope);
        {
            const Context context;
            context.insert("alive", run.alive);
            auto items = engine.generate(context, Range{0, run.plan.items});
            auto reading = read_disturbed(
                std::move(items), run.plan.fate, run.plan.at, context, run.token, &seen
            );
            co_await with_token(run.token, std::move(reading));
        }
        co_await scope.join();
        engine = {};
    });
    check(run, seen);
    ASSERT_EQ(run.running, 0);
    ASSERT_EQ(run.alive.use_count(), 1) << "something was left behind";
}

TEST(RandomMigrations, LoseDoubleMoveAndLeakNothing) {
    constexpr std::uint64_t runs = 1000;
    for (std::uint64_t seed = 1; seed <= runs; ++seed) {
        SCOPED_TRACE(fmt::format("seed {}", seed));
        one_run(seed);
        if (::testing::Test::HasFailure()) return;
    }
}

}  // namespace
}  // namespace stator::testing
