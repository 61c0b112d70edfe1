// What holds for every call, whatever its shape.
#include "shapes_fixture.hpp"
#include "stator/runtime/token_wait.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): handlers live as long as their
// endpoint
namespace stator::testing {
namespace {

using namespace std::chrono_literals;

/// Joins all that came in, then answers three items that tell it.
Stream<Text> answer_three(Context, Stream<Text> input) {
    Text all;
    while (auto item = co_await input.next()) all += "<" + *item + ">";
    for (int i = 0; i < 3; ++i) co_yield std::to_string(i) + all;
}

/// Of what a call ended with, if it failed.
std::optional<ErrorCode> code(const std::optional<Error>& error) {
    return error ? std::optional{error->code()} : std::nullopt;
}

TEST_P(EveryShape, ItemsComeInOrderAndThenTheEnd) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, answer_three);
        const auto router = co_await test->router(co_await test->join());
        const Text all = test->one_request() ? "<0>" : "<0><1><2><3>";
        for (int i = 0; i < 3; ++i) {
            auto items = test->call(router, numbers(4));
            EXPECT_EQ(co_await items.next(), "0" + all);
            if (!test->one_response()) {
                EXPECT_EQ(co_await items.next(), "1" + all);
                EXPECT_EQ(co_await items.next(), "2" + all);
            }
            EXPECT_EQ(co_await items.next(), std::nullopt);
            EXPECT_EQ(co_await items.next(), std::nullopt);
        }
        co_await until([&] { return served.inflight() == 0; });
    });
}

TEST_P(EveryShape, AnErrorBeforeTheFirstItemIsTyped) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, [](Context, Stream<Text>) -> Stream<Text> {
            throw Error{ErrorCode::already_exists, "test.detail", "the message"};
            co_yield "";
        });
        const auto router = co_await test->router(co_await test->join());
        const auto end = co_await as_result(collect(test->call(router)));
        EXPECT_FALSE(end);
        if (end) co_return;
        EXPECT_EQ(end.error().code(), ErrorCode::already_exists);
        EXPECT_EQ(end.error().detail(), "test.detail");
        EXPECT_NE(end.error().message().find("the message"), std::string::npos);
    });
}

TEST_P(EveryShape, StopAsksTheHandlerToFinish) {
    run([](ShapesTest* test) -> Task<> {
        const auto probe = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(
            worker,
            [probe](Context request, Stream<Text> input) -> Stream<Text> {
                (void)co_await input.next();
                probe->began.set();
                co_await request.stop_token().wait();
                probe->reason = request.reason();
                co_yield "stopped";
            }
        );
        const auto router = co_await test->router(co_await test->join());
        TaskScope scope{co_await current_token()};
        const Context context;
        const auto outcome =
            test->start(scope, test->call(router, items_of({"item"}), {}, context));
        co_await probe->began.wait();
        context.stop(CancelReason::shutdown);
        co_await outcome->ended.wait();
        EXPECT_FALSE(outcome->error) << outcome->error->what();
        EXPECT_EQ(outcome->items, (Texts{"stopped"}));
        EXPECT_TRUE(test->plane().tells(CancelReason::shutdown, probe->reason));
        co_await scope.join();
    });
}

TEST_P(EveryShape, KillEndsBothSidesNow) {
    run([](ShapesTest* test) -> Task<> {
        const auto probe = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, hold(probe));
        const auto router = co_await test->router(co_await test->join());
        TaskScope scope{co_await current_token()};
        const Context context;
        const auto outcome =
            test->start(scope, test->call(router, items_of({"item"}), {}, context));
        co_await probe->began.wait();
        context.kill(CancelReason::parent);
        co_await outcome->ended.wait();
        EXPECT_TRUE(outcome->error && outcome->error->code() == ErrorCode::cancelled);
        co_await probe->ended.wait();
        EXPECT_TRUE(test->plane().tells(CancelReason::parent, probe->reason));
        co_await scope.join();
    });
}

TEST_P(EveryShape, TheDeadlineEndsBothSides) {
    run([](ShapesTest* test) -> Task<> {
        const auto probe = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, hold(probe));
        const auto router = co_await test->router(co_await test->join());
        const auto end = co_await as_result(
            collect(test->call(router, items_of({"item"}), {.deadline = Deadline::in(100ms)}))
        );
        EXPECT_FALSE(end);
        if (!end) EXPECT_EQ(end.error().code(), ErrorCode::deadline_exceeded) << end.error().what();
        co_await probe->ended.wait();
        EXPECT_TRUE(test->plane().tells(CancelReason::deadline, probe->reason));
    });
}

TEST_P(EveryShape, ACancelledCallerKillsTheHandler) {
    run([](ShapesTest* test) -> Task<> {
        const auto probe = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, hold(probe));
        const auto router = co_await test->router(co_await test->join());
        TaskScope scope{co_await current_token()};
        const auto outcome = test->start(scope, test->call(router));
        co_await probe->began.wait();
        co_await scope.close(CancelReason::shutdown);
        EXPECT_TRUE(outcome->error && outcome->error->code() == ErrorCode::cancelled);
        co_await probe->ended.wait();
        EXPECT_TRUE(test->plane().tells(CancelReason::shutdown, probe->reason));
        co_await until([&] { return served.inflight() == 0; });
    });
}

TEST_P(EveryShape, AConsumerThatIsGoneKillsTheHandler) {
    run([](ShapesTest* test) -> Task<> {
        const auto probe = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, hold(probe));
        const auto caller = co_await test->join();
        const auto router = co_await test->router(caller);
        TaskScope scope{co_await current_token()};
        const auto outcome = test->start(scope, test->call(router));
        co_await probe->began.wait();
        co_await caller.close(Deadline::in(2s));
        co_await probe->ended.wait();
        EXPECT_TRUE(test->plane().tells(CancelReason::peer_gone, probe->reason))
            << "told " << to_string(probe->reason);
        co_await outcome->ended.wait();
        EXPECT_EQ(code(outcome->error), test->code_of_loss());
        co_await scope.join();
    });
}

TEST_P(EveryShape, AProducerThatIsGoneEndsTheCall) {
    run([](ShapesTest* test) -> Task<> {
        const auto probe = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, hold(probe));
        const auto router = co_await test->router(co_await test->join());
        TaskScope scope{co_await current_token()};
        const auto outcome = test->start(scope, test->call(router));
        co_await probe->began.wait();
        co_await worker.close(Deadline::in(2s));
        co_await outcome->ended.wait();
        EXPECT_EQ(code(outcome->error), test->plane().worker_gone());
        co_await probe->ended.wait();
        co_await scope.join();
    });
}

TEST_P(EveryShape, HugeItemsArriveWhole) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served =
            co_await test->serve(worker, [](Context, Stream<Text> input) -> Stream<Text> {
                while (auto item = co_await input.next()) co_yield std::move(*item);
            });
        const auto router = co_await test->router(co_await test->join());
        const Texts sent{long_text(test->plane().huge_item()), "small", long_text(100'000), ""};
        auto expected = sent;
        if (test->one_request() || test->one_response()) expected.resize(1);
        const auto back = co_await collect(test->call(router, sent));
        EXPECT_TRUE(back == expected) << back.size() << " items";
    });
}

TEST_P(EveryShape, AnItemThatIsTooLargeIsNamed) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, answer_three);
        const auto router = co_await test->router(co_await test->join());
        const auto end = co_await as_result(
            collect(test->call(router, {long_text(test->plane().too_large_item())}))
        );
        EXPECT_FALSE(end);
        if (!end) EXPECT_EQ(end.error().code(), ErrorCode::payload_too_large);
        // And nothing else suffers.
        EXPECT_FALSE((co_await collect(test->call(router))).empty());
    });
}

TEST_P(EveryShape, AnotherShapeOfRequestIsRefusedByName) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, answer_three);
        const auto router = co_await test->router(co_await test->join());
        const CallOptions options{.plane = test->plane().calls_by()};
        auto wrong = test->one_request() ? router.generate(one("item"), options)
                                         : router.generate("item", options);
        const auto end = co_await as_result(collect(std::move(wrong)));
        EXPECT_FALSE(end);
        if (end) co_return;
        const std::string call = test->one_request() ? "bidirectional" : "server streaming";
        EXPECT_EQ(end.error().code(), ErrorCode::invalid_request);
        EXPECT_EQ(end.error().detail(), "component.wrong_shape");
        EXPECT_NE(end.error().message().find(to_string(test->shape())), std::string::npos);
        EXPECT_NE(end.error().message().find("the call is " + call), std::string::npos);
    });
}

}  // namespace
}  // namespace stator::testing
// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
