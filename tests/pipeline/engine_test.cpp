#include "stator/pipeline/engine.hpp"

#include "reading.hpp"
#include "stator/pipeline/engine_registry.hpp"

namespace stator::testing {
namespace {

Stream<int> count_to(Context, int last) {
    for (int i = 1; i <= last; ++i) co_yield i;
}
Task<int> doubled(Context, int value) { co_return 2 * value; }

struct Summing {
    int base = 0;
    Task<int> generate(Context, Stream<int> numbers) const {
        int sum = base;
        while (auto number = co_await numbers.next()) sum += *number;
        co_return sum;
    }
};

Stream<int> echo(Context, Stream<int> numbers) {
    while (auto number = co_await numbers.next()) co_yield std::move(*number);
}

static_assert(AsyncEngine<decltype(&count_to), int, int>);
static_assert(AsyncEngine<decltype(&doubled), int, Task<int>>);
static_assert(AsyncEngine<Summing, Stream<int>, Task<int>>);
static_assert(AsyncEngine<decltype(&echo), Stream<int>, int>);
static_assert(AsyncEngine<Engine<int, int>, int, int>);
static_assert(!AsyncEngine<decltype(&count_to), int, Task<int>>);
static_assert(!AsyncEngine<decltype(&count_to), std::string, int>);
static_assert(std::is_same_v<Engine<int, int>, ServerStreamingEngine<int, int>>);

TEST(Engine, CoroutinesGeneratorsAndObjectsOfAllFourShapes) {
    on_a_loop([]() -> Task<> {
        const UnaryEngine<int, int> unary{doubled};
        const ServerStreamingEngine<int, int> streaming{count_to};
        const ClientStreamingEngine<int, int> summing{Summing{100}};
        const BidirectionalEngine<int, int> both{echo};
        EXPECT_EQ(co_await unary.generate({}, 21), 42);
        EXPECT_EQ(co_await collect(streaming.generate({}, 3)), (std::vector{1, 2, 3}));
        EXPECT_EQ(co_await summing.generate({}, count_to({}, 4)), 110);
        EXPECT_EQ(co_await collect(both.generate({}, count_to({}, 2))), (std::vector{1, 2}));
    });
}

TEST(Engine, AnswersKeepTheEngineAliveNotTheReverse) {
    on_a_loop([]() -> Task<> {
        const auto alive = std::make_shared<int>(7);
        // A capturing generator: its body refers to the lambda itself.
        Engine<int, int> engine{[alive](Context, int count) -> Stream<int> {
            for (int i = 0; i < count; ++i) co_yield *alive;
        }};
        Engine<int, Task<int>> single{[alive](Context, int) -> Task<int> { co_return *alive; }};
        EXPECT_EQ(alive.use_count(), 3);
        auto items = engine.generate({}, 2);
        auto reply = single.generate({}, 0);
        engine = {};
        single = {};
        EXPECT_FALSE(engine);
        EXPECT_EQ(alive.use_count(), 3);
        EXPECT_EQ(*co_await items.next(), 7);
        items = {};
        EXPECT_EQ(co_await std::move(reply), 7);
        reply = {};
        EXPECT_EQ(alive.use_count(), 1);
    });
}

TEST(Engine, AnswersThatNobodyAwaitsKeepNothing) {
    const auto alive = std::make_shared<int>(7);
    {
        const Engine<int, int> engine{[alive](Context, int) -> Stream<int> { co_yield *alive; }};
        (void)engine.generate({}, 2);
    }
    EXPECT_EQ(alive.use_count(), 1);
}

TEST(Engine, ABorrowedOneHasNoShareAndCanGetOne) {
    const auto alive = std::make_shared<int>(7);
    Engine<int, int> engine{[alive](Context, int) -> Stream<int> { co_yield *alive; }};
    const auto borrowed = engine.borrowed();
    const auto owned = borrowed.owned();
    EXPECT_TRUE(borrowed);
    engine = {};
    EXPECT_EQ(alive.use_count(), 2);
}

TEST(EngineRegistry, FindsByNameAndTypeOnly) {
    EngineRegistry registry;
    ASSERT_TRUE(registry.add("count", Engine<int, int>{count_to}));
    ASSERT_TRUE(registry.add("double", Engine<int, Task<int>>{doubled}));
    EXPECT_EQ(registry.names(), (std::vector<std::string>{"count", "double"}));
    EXPECT_TRUE((registry.get<int, int>("count")));
    EXPECT_TRUE((registry.get<int, Task<int>>("double")));

    const auto twice = registry.add("count", Engine<int, int>{count_to});
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().detail(), "pipeline.engine_exists");
    const auto nobody = registry.get<int, int>("other");
    ASSERT_FALSE(nobody);
    EXPECT_EQ(nobody.error().code(), ErrorCode::not_found);
    const auto wrong = registry.get<std::string, int>("count");
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().detail(), "pipeline.engine_type");
    EXPECT_NE(wrong.error().message().find("Engine<int, int>"), std::string::npos);

    EXPECT_TRUE(registry.remove("count"));
    EXPECT_FALSE(registry.remove("count"));
    EXPECT_FALSE((registry.get<int, int>("count")));
}

TEST(AnyEngine, DowncastsToItsOwnTypesOnly) {
    const AnyEngine any{Engine<int, int>{count_to}};
    EXPECT_TRUE((any.downcast<int, int>()));
    EXPECT_FALSE((any.downcast<int, Task<int>>()));
    EXPECT_FALSE((any.downcast<long, int>()));
    EXPECT_FALSE((any.downcast<Stream<int>, int>()));
}

}  // namespace
}  // namespace stator::testing
