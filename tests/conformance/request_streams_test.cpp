// Calls whose request is a stream.
#include "shapes_fixture.hpp"
#include "stator/runtime/token_wait.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): handlers live as long as their
// endpoint
namespace stator::testing {
namespace {

using namespace std::chrono_literals;

Text joined(const Texts& texts) {
    Text all;
    for (const auto& text : texts) all += text + ",";
    return all;
}

/// Answers with all that came in, once its end has come.
Stream<Text> join_all(Context, Stream<Text> input) {
    Text all;
    while (auto item = co_await input.next()) all += *item + ",";
    co_yield std::move(all);
}

/// Says when it is gone, however it ends.
class Goodbye {
public:
    explicit Goodbye(ProbePtr probe) : probe_{std::move(probe)} {}
    Goodbye(const Goodbye&) = delete;
    Goodbye& operator=(const Goodbye&) = delete;
    ~Goodbye() { probe_->ended.set(); }

private:
    ProbePtr probe_;
};

/// Two items, then it waits until it is cancelled.
Stream<Text> two_and_wait(ProbePtr probe) {
    const Goodbye goodbye{probe};
    for (; probe->items < 2; ++probe->items) co_yield std::to_string(probe->items);
    probe->began.set();
    co_await sleep_for(1h);
}

Stream<Text> endless(ProbePtr probe, std::size_t size) {
    const Goodbye goodbye{probe};
    for (;; ++probe->items) co_yield Text(size, 'x');
}

Stream<Text> failing_after(int items) {
    for (int i = 0; i < items; ++i) co_yield std::to_string(i);
    throw Error{ErrorCode::not_found, "test.source", "no more of it"};
}

/// Reads all it is given and says how that ended.
Body reading(ProbePtr probe) {
    return [probe](Context, Stream<Text> input) -> Stream<Text> {
        probe->began.set();
        try {
            while (auto item = co_await input.next()) {
                probe->seen.push_back(std::move(*item));
                ++probe->items;
            }
            probe->seen.emplace_back("end");
        } catch (const Error& error) {
            probe->seen.emplace_back(to_string(error.code()));
            probe->ended.set();
            throw;
        }
        probe->ended.set();
        co_yield "done";
    };
}

TEST_P(RequestStreams, TheHandlerSeesEveryItemAndThenTheEnd) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, join_all);
        const auto router = co_await test->router(co_await test->join());
        for (const int count : {0, 1, 2, 1000}) {
            const auto all = co_await collect(test->call(router, numbers(count)));
            EXPECT_EQ(all, (Texts{joined(numbers(count))})) << count;
        }
        // Empty items are items.
        EXPECT_EQ(co_await collect(test->call(router, {"", "", ""})), (Texts{",,,"}));
    });
}

/// Items that tell their number, 8,000 bytes each.
constexpr int numbered_size = 8000;
Stream<Text> numbered(ProbePtr made, int count) {
    for (; made->items < count; ++made->items) {
        auto text = std::to_string(made->items) + '.';
        text.resize(numbered_size, '.');
        co_yield std::move(text);
    }
}

/// Waits, reads `first` items, waits again, reads the rest; answers how many came in order.
Body in_two_parts(ProbePtr probe, int first) {
    return [probe, first](Context, Stream<Text> input) -> Stream<Text> {
        auto item = co_await input.next();
        if (item == "other") co_return;
        probe->began.set();
        co_await probe->go.wait();
        for (; item; item = co_await input.next()) {
            if (item->starts_with(std::to_string(probe->items) + '.')) ++probe->items;
            if (probe->items != first) continue;
            probe->half.set();
            co_await probe->go_on.wait();
        }
        co_yield std::to_string(probe->items);
    };
}

TEST_P(RequestStreams, ASlowHandlerStopsTheSourceAndLosesNothing) {
    run([](ShapesTest* test) -> Task<> {
        const auto window = static_cast<int>(test->plane().window() / numbered_size);
        const auto count = 4 * window;
        const auto first = (window + 1) / 2;
        const auto probe = std::make_shared<Probe>();
        const auto source = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, in_two_parts(probe, first));
        const auto router = co_await test->router(co_await test->join());
        // Others go on meanwhile, and give the source time to do too much.
        const auto others = [](ShapesTest* by, TextRouter to) -> Task<> {
            for (int i = 0; i < 200; ++i)
                (void)co_await as_result(collect(by->call(to, {"other"})));
        };
        TaskScope scope{co_await current_token()};
        const auto outcome = test->start(scope, test->call(router, numbered(source, count)));
        co_await probe->began.wait();
        co_await others(test, router);
        EXPECT_LE(source->items, window + 4);
        probe->go.set();
        co_await probe->half.wait();
        co_await others(test, router);
        EXPECT_LE(source->items, first + window + 4);
        probe->go_on.set();
        co_await outcome->ended.wait();
        EXPECT_EQ(outcome->items, (Texts{std::to_string(count)}));
        co_await scope.join();
    });
}

TEST_P(RequestStreams, ASourceThatThrowsKillsTheCallWithItsError) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto caller = co_await test->join();
        for (const int items : {0, 1, 100}) {
            const auto probe = std::make_shared<Probe>();
            const auto served = co_await test->serve(worker, reading(probe));
            const auto router = co_await test->router(caller);
            const auto end = co_await as_result(collect(test->call(router, failing_after(items))));
            EXPECT_FALSE(end);
            if (end) co_return;
            EXPECT_EQ(end.error().code(), ErrorCode::not_found);
            EXPECT_EQ(end.error().detail(), "test.source");
            // It may have been killed before it began; it never takes it for the end.
            co_await until([&] { return served.inflight() == 0; });
            if (probe->began.is_set()) {
                co_await probe->ended.wait();
                EXPECT_EQ(probe->seen.back(), "cancelled");
            }
            co_await served.shutdown(Deadline::in(2s));
        }
    });
}

TEST_P(RequestStreams, AnAnswerThatEndsFirstEndsTheSource) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served =
            co_await test->serve(worker, [](Context, Stream<Text> input) -> Stream<Text> {
                (void)co_await input.next();
                co_yield "enough";
            });
        const auto router = co_await test->router(co_await test->join());
        for (const bool waits : {true, false}) {
            const auto source = std::make_shared<Probe>();
            auto input = waits ? two_and_wait(source) : endless(source, 1000);
            EXPECT_EQ(co_await collect(test->call(router, std::move(input))), (Texts{"enough"}));
            EXPECT_TRUE(source->ended.is_set()) << "gone before the end is told";
        }
        co_await until([&] { return served.inflight() == 0; });
    });
}

TEST_P(RequestStreams, AnAnswerThatFailsEndsTheSource) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served =
            co_await test->serve(worker, [](Context, Stream<Text> input) -> Stream<Text> {
                (void)co_await input.next();
                throw Error{ErrorCode::overloaded, "test.detail", "too much of it"};
                co_yield "";
            });
        const auto router = co_await test->router(co_await test->join());
        const auto source = std::make_shared<Probe>();
        const auto end = co_await as_result(collect(test->call(router, two_and_wait(source))));
        EXPECT_FALSE(end);
        if (!end) EXPECT_EQ(end.error().detail(), "test.detail");
        EXPECT_TRUE(source->ended.is_set());
    });
}

TEST_P(RequestStreams, ACancelledCallerEndsTheSource) {
    run([](ShapesTest* test) -> Task<> {
        const auto probe = std::make_shared<Probe>();
        const auto source = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, reading(probe));
        const auto router = co_await test->router(co_await test->join());
        TaskScope scope{co_await current_token()};
        const auto outcome = test->start(scope, test->call(router, two_and_wait(source)));
        co_await source->began.wait();
        co_await until([&] { return probe->items == 2; });
        co_await scope.close();
        EXPECT_TRUE(outcome->error && outcome->error->code() == ErrorCode::cancelled);
        EXPECT_TRUE(source->ended.is_set());
        co_await probe->ended.wait();
        EXPECT_EQ(probe->seen, (Texts{"0", "1", "cancelled"}));
    });
}

TEST_P(RequestStreams, KillAndDeadlineEndTheSource) {
    run([](ShapesTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto caller = co_await test->join();
        for (const bool by_deadline : {true, false}) {
            const auto probe = std::make_shared<Probe>();
            const auto source = std::make_shared<Probe>();
            const auto served = co_await test->serve(worker, reading(probe));
            const auto router = co_await test->router(caller);
            const Context context;
            CallOptions options;
            if (by_deadline) options.deadline = Deadline::in(100ms);
            TaskScope scope{co_await current_token()};
            const auto outcome =
                test->start(scope, test->call(router, two_and_wait(source), options, context));
            co_await source->began.wait();
            if (!by_deadline) context.kill();
            co_await outcome->ended.wait();
            const auto expected = by_deadline ? ErrorCode::deadline_exceeded : ErrorCode::cancelled;
            EXPECT_TRUE(outcome->error && outcome->error->code() == expected);
            EXPECT_TRUE(source->ended.is_set());
            co_await probe->ended.wait();
            co_await scope.join();
            co_await served.shutdown(Deadline::in(2s));
        }
    });
}

TEST_P(RequestStreams, ASourceThatIsGoneIsNoEnd) {
    run([](ShapesTest* test) -> Task<> {
        const auto probe = std::make_shared<Probe>();
        const auto source = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto served = co_await test->serve(worker, reading(probe));
        const auto caller = co_await test->join();
        const auto router = co_await test->router(caller);
        TaskScope scope{co_await current_token()};
        const auto outcome = test->start(scope, test->call(router, two_and_wait(source)));
        co_await until([&] { return probe->items == 2; });
        co_await caller.close(Deadline::in(2s));
        co_await probe->ended.wait();
        EXPECT_EQ(probe->seen.back(), "cancelled");
        EXPECT_TRUE(source->ended.is_set());
        co_await outcome->ended.wait();
        EXPECT_TRUE(outcome->error);
        co_await scope.join();
    });
}

TEST_P(RequestStreams, AKillIsNeverTakenForTheEnd) {
    run([](ShapesTest* test) -> Task<> {
        const auto probe = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        // It is busy with something that no cancellation reaches, and asks only then.
        const auto served = co_await test->serve(
            worker,
            [probe](Context request, Stream<Text> input) -> Stream<Text> {
                while (co_await input.next() != "1") {
                }
                probe->began.set();
                const auto killed = [](Context told) -> Task<> {
                    co_await told.kill_token().wait();
                };
                co_await shielded(killed(request));
                const auto ask = [](Stream<Text>* items) -> Task<bool> {
                    co_return (co_await items->next()).has_value();
                };
                const auto next = co_await as_result(shielded(ask(&input)));
                probe->seen.push_back(next ? "an end" : next.error().what());
                probe->ended.set();
            }
        );
        const auto router = co_await test->router(co_await test->join());
        TaskScope scope{co_await current_token()};
        const auto source = std::make_shared<Probe>();
        const auto outcome = test->start(scope, test->call(router, two_and_wait(source)));
        co_await probe->began.wait();
        co_await scope.close();
        co_await probe->ended.wait();
        EXPECT_NE(probe->seen.back(), "an end");
    });
}

TEST_P(RequestStreams, ACallThatNobodyBeganNeverPullsItsSource) {
    run([](ShapesTest* test) -> Task<> {
        const auto caller = co_await test->join();
        const auto client = co_await caller.endpoint(ShapesTest::path).client();
        const auto source = std::make_shared<Probe>();
        const auto end =
            co_await as_result(collect(test->call(TextRouter{client}, two_and_wait(source))));
        EXPECT_FALSE(end);
        if (!end) EXPECT_EQ(end.error().code(), ErrorCode::unavailable);
        EXPECT_EQ(source->items, 0);
    });
}

TEST_P(RequestStreams, ARefusedCallIsSentElsewhereWithAllItsItems) {
    run([](ShapesTest* test) -> Task<> {
        const auto probe = std::make_shared<Probe>();
        const auto worker = co_await test->join();
        const auto full = co_await test->serve(
            worker, hold(probe), {.max_inflight = 1, .instance_id = InstanceId{1}}
        );
        const auto caller = co_await test->join();
        const auto router = co_await test->router(caller);
        TaskScope scope{co_await current_token()};
        const auto held = test->start(scope, test->call(router));
        co_await probe->began.wait();
        const auto alone = co_await as_result(collect(test->call(router, numbers(100))));
        EXPECT_FALSE(alone);
        if (!alone) EXPECT_EQ(alone.error().code(), ErrorCode::overloaded);
        const auto spare = co_await test->serve(worker, join_all, {.instance_id = InstanceId{2}});
        const auto client = router.client();
        co_await until([&] { return client.instances()->routable.size() == 2; });
        for (int i = 0; i < 4; ++i) {
            const auto all = co_await collect(test->call(router, numbers(100)));
            EXPECT_EQ(all, (Texts{joined(numbers(100))}));
        }
        EXPECT_EQ(spare.inflight(), 0U);
        int refused = 0;
        for (int i = 0; i < 2; ++i) {
            const auto once = co_await as_result(
                collect(test->call(router, items_of(numbers(3)), {.at_most_once = true}))
            );
            refused += once ? 0 : 1;
        }
        // Whoever has just refused for want of room is passed over for a moment.
        EXPECT_LE(refused, test->plane().passes_over_the_full() ? 0 : 1);
        co_await scope.close();
    });
}

TEST_P(RequestStreams, AnInputThatIsKeptByItsHandlerEndsWithTheCall) {
    run(
        [](ShapesTest* test) -> Task<> {
            const auto kept = std::make_shared<Stream<Text>>();
            const auto worker = co_await test->join();
            const auto served =
                co_await test->serve(worker, [kept](Context, Stream<Text> input) -> Stream<Text> {
                    (void)co_await input.next();
                    *kept = std::move(input);
                    co_yield "done";
                });
            const auto router = co_await test->router(co_await test->join());
            const auto source = std::make_shared<Probe>();
            EXPECT_EQ(co_await collect(test->call(router, two_and_wait(source))), (Texts{"done"}));
            co_await until([&] { return served.inflight() == 0; });
            while (co_await kept->next()) {
            }
            *kept = {};
        },
        1
    );
}

}  // namespace
}  // namespace stator::testing
// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
