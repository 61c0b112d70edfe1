// Calls whose answer is a stream.
#include "shapes_fixture.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): handlers live as long as their
// endpoint
namespace stator::testing {
namespace {

using namespace std::chrono_literals;

TEST_P(AnswerStreams, ZeroItemsAreAnAnswer) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served =
            co_await test->serve(worker, [](Context, Stream<Text>) -> Stream<Text> { co_return; });
        const auto router = co_await test->router(co_await test->join());
        EXPECT_TRUE((co_await collect(test->call(router))).empty());
    });
}

TEST_P(AnswerStreams, AnErrorMidStreamComesAfterTheItems) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, [](Context, Stream<Text>) -> Stream<Text> {
            for (int i = 0; i < 100; ++i) co_yield std::to_string(i);
            throw Error{ErrorCode::permission_denied, "test.detail", "no further"};
        });
        const auto router = co_await test->router(co_await test->join());
        TaskScope scope{co_await current_token()};
        const auto outcome = test->start(scope, test->call(router));
        co_await outcome->ended.wait();
        EXPECT_EQ(outcome->items, numbers(100));
        EXPECT_TRUE(outcome->error && outcome->error->code() == ErrorCode::permission_denied);
        co_await scope.join();
    });
}

TEST_P(AnswerStreams, ASlowConsumerStopsItsProducerAndLosesNothing) {
    run([](ShapesTest* test) -> Task<> {
        constexpr std::size_t size = 8000;
        const auto count = static_cast<int>(3 * test->plane().window() / size);
        const auto probe = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(
            worker,
            [probe, count](Context, Stream<Text> input) -> Stream<Text> {
                if (co_await input.next() == "other") co_return;
                for (; probe->items < count; ++probe->items) {
                    auto text = std::to_string(probe->items);
                    text.resize(size, '.');
                    co_yield std::move(text);
                }
            }
        );
        const auto router = co_await test->router(co_await test->join());
        auto items = test->call(router);
        EXPECT_TRUE(co_await items.next());
        // Others go on meanwhile, and give the producer time to do too much.
        for (int i = 0; i < 200; ++i) (void)co_await collect(test->call(router, {"other"}));
        const auto most =
            static_cast<int>(test->plane().window() / size) + test->plane().items_ahead() + 4;
        EXPECT_LE(probe->items, most);
        for (int i = 1; i < count; ++i) {
            const auto item = co_await items.next();
            EXPECT_TRUE(item && item->starts_with(std::to_string(i) + '.'));
        }
        EXPECT_FALSE(co_await items.next());
    });
}

TEST_P(AnswerStreams, ADroppedAnswerKillsTheHandler) {
    run([](ShapesTest* test) -> Task<> {
        const auto probe = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto held = hold(probe);
        const auto served = co_await test->serve(
            worker,
            [held](Context request, Stream<Text> input) -> Stream<Text> {
                co_yield "first";
                auto rest = held(request, std::move(input));
                while (auto item = co_await rest.next()) co_yield std::move(*item);
            }
        );
        const auto router = co_await test->router(co_await test->join());
        {
            auto items = test->call(router);
            EXPECT_EQ(co_await items.next(), "first");
            co_await probe->began.wait();
        }
        co_await probe->ended.wait();
        EXPECT_EQ(probe->reason, CancelReason::requested);
        co_await until([&] { return served.inflight() == 0; });
    });
}

}  // namespace
}  // namespace stator::testing
// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
