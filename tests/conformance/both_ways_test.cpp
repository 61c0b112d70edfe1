// Bidirectional calls: both directions at once.
#include "shapes_fixture.hpp"
#include "stator/runtime/channel.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): handlers live as long as their
// endpoint
namespace stator::testing {
namespace {

using namespace std::chrono_literals;
using TextChannel = std::shared_ptr<Channel<Text>>;

Stream<Text> echo(Context, Stream<Text> input) {
    while (auto item = co_await input.next()) co_yield std::move(*item);
}

Stream<Text> from_channel(TextChannel channel) {
    while (auto item = co_await channel->receive()) co_yield std::move(*item);
}

Stream<Text> many(int count, std::size_t size) {
    for (int i = 0; i < count; ++i) {
        auto text = std::to_string(i) + '.';
        text.resize(size, '.');
        co_yield std::move(text);
    }
}

/// Counts the items that come in the order of `many`.
Task<> count_in_order(Stream<Text> items, int* count) {
    while (auto item = co_await items.next()) {
        if (item->starts_with(std::to_string(*count) + '.')) ++*count;
    }
}

TEST_P(BothWays, EachItemMayWaitForTheAnswerToTheLast) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, echo);
        const auto router = co_await test->router(co_await test->join());
        const auto channel = std::make_shared<Channel<Text>>(1);
        auto items = test->call(router, from_channel(channel));
        for (int i = 0; i < 200; ++i) {
            EXPECT_TRUE(co_await channel->send(std::to_string(i)));
            EXPECT_EQ(co_await items.next(), std::to_string(i));
        }
        channel->close();
        EXPECT_EQ(co_await items.next(), std::nullopt);
    });
}

TEST_P(BothWays, TheWorkerMaySpeakFirst) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served =
            co_await test->serve(worker, [](Context, Stream<Text> input) -> Stream<Text> {
                co_yield "who is there?";
                auto name = co_await input.next();
                co_yield "hello " + name.value_or("nobody");
            });
        const auto router = co_await test->router(co_await test->join());
        const auto channel = std::make_shared<Channel<Text>>(1);
        auto items = test->call(router, from_channel(channel));
        EXPECT_EQ(co_await items.next(), "who is there?");
        EXPECT_TRUE(co_await channel->send("me"));
        EXPECT_EQ(co_await items.next(), "hello me");
        EXPECT_EQ(co_await items.next(), std::nullopt);
    });
}

TEST_P(BothWays, ItemsComeAfterTheRequestsHalfWasClosed) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served =
            co_await test->serve(worker, [](Context, Stream<Text> input) -> Stream<Text> {
                int count = 0;
                while (co_await input.next()) ++count;
                for (int i = 0; i < count; ++i) {
                    co_yield std::to_string(i);
                    if (i % 10 == 0) co_await sleep_for(1ms);
                }
            });
        const auto router = co_await test->router(co_await test->join());
        EXPECT_EQ(co_await collect(test->call(router, numbers(50))), numbers(50));
    });
}

TEST_P(BothWays, BothDirectionsAtOnceUnderCreditDoNotBlockEachOther) {
    run([](ShapesTest* test) -> Task<> {
        constexpr int calls = 8;
        constexpr std::size_t size = 5000;
        const auto count = static_cast<int>(4 * test->plane().window() / size);
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, echo);
        const auto router = co_await test->router(co_await test->join());
        std::array<int, calls> counts{};
        std::vector<Task<>> running;
        for (auto& seen : counts) {
            running.push_back(count_in_order(test->call(router, many(count, size)), &seen));
        }
        co_await when_all(std::move(running));
        for (const int seen : counts) EXPECT_EQ(seen, count);
    });
}

TEST_P(BothWays, AnAnswerThatNobodyReadsStopsTheRequestsToo) {
    run([](ShapesTest* test) -> Task<> {
        constexpr std::size_t size = 5000;
        const auto window = static_cast<int>(test->plane().window() / size);
        const auto count = 6 * window;
        const auto probe = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, echo);
        const auto router = co_await test->router(co_await test->join());
        const auto counted = [](ProbePtr made, int most, std::size_t bytes) -> Stream<Text> {
            auto items = many(most, bytes);
            while (auto item = co_await items.next()) {
                ++made->items;
                co_yield std::move(*item);
            }
        };
        auto items = test->call(router, counted(probe, count, size));
        EXPECT_TRUE(co_await items.next());
        for (int i = 0; i < 200; ++i) (void)co_await collect(test->call(router, {"other"}));
        EXPECT_LE(probe->items, 2 * window + 8);
        int seen = 1;
        co_await count_in_order(std::move(items), &seen);
        EXPECT_EQ(seen, count);
    });
}

TEST_P(BothWays, ADroppedAnswerEndsTheSourceSoon) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, echo);
        const auto router = co_await test->router(co_await test->join());
        const auto channel = std::make_shared<Channel<Text>>(1);
        {
            auto items = test->call(router, from_channel(channel));
            EXPECT_TRUE(co_await channel->send("one"));
            EXPECT_EQ(co_await items.next(), "one");
        }
        co_await until([&] { return served.inflight() == 0 && channel.use_count() == 1; });
    });
}

}  // namespace
}  // namespace stator::testing
// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
