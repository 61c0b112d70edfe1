#include "stator/pipeline/operators.hpp"

#include "reading.hpp"
#include "stator/pipeline/link.hpp"
#include "stator/runtime/token_wait.hpp"

namespace stator::testing {
namespace {

using namespace std::chrono_literals;

Stream<int> count_to(Context, int last) {
    for (int i = 1; i <= last; ++i) co_yield i;
}

/// Its items come after so many milliseconds each.
Engine<std::vector<int>, int> delayed(Context* seen = nullptr) {
    return [seen](Context context, std::vector<int> pauses) -> Stream<int> {
        if (seen != nullptr) *seen = context;
        return [](std::vector<int> ms) -> Stream<int> {
            for (const int pause : ms) {
                co_await sleep_for(std::chrono::milliseconds{pause});
                co_yield int{pause};
            }
        }(std::move(pauses));
    };
}

TEST(Timeout, OfEachItemAndOfTheWhole) {
    on_a_loop([]() -> Task<> {
        using Pauses = std::vector<int>;
        const auto with = [](Timeouts limits, Context* seen = nullptr) {
            return frontend<Pauses, int>().link(timeout(limits)).link(delayed(seen));
        };
        Context seen;
        auto ended = co_await read_to_the_end(
            with({.first = 30s, .between = 400ms}, &seen).generate({}, Pauses{1, 1, 10000})
        );
        EXPECT_EQ(ended.items, (Pauses{1, 1}));
        EXPECT_EQ(ended.error->code(), ErrorCode::deadline_exceeded);
        EXPECT_EQ(ended.error->detail(), "pipeline.timeout");
        EXPECT_TRUE(seen.killed());
        ended = co_await read_to_the_end(with({.first = 10ms}).generate({}, Pauses{10000}));
        EXPECT_EQ(ended.error->detail(), "pipeline.timeout");
        ended = co_await read_to_the_end(with({.whole = 400ms}).generate({}, Pauses{1, 10000}));
        EXPECT_EQ(ended.items, Pauses{1});
        EXPECT_NE(ended.error->message().find("whole"), std::string::npos);
        ended = co_await read_to_the_end(with({.between = 1s}).generate({}, Pauses{30, 1, 1}));
        EXPECT_FALSE(ended.error);
    });
}

TEST(Timeout, TimeInWhichNobodyAsksDoesNotCount) {
    on_a_loop([]() -> Task<> {
        const auto service =
            frontend<int, int>().link(timeout({.first = 20ms, .between = 20ms})).link(count_to);
        auto items = service.generate({}, 3);
        for (int i = 1; i <= 3; ++i) {
            co_await sleep_for(40ms);
            EXPECT_EQ(co_await items.next(), i);
        }
        EXPECT_FALSE(co_await items.next());
    });
}

TEST(Timeout, ACancelOfTheReaderIsNotATimeout) {
    on_a_loop([]() -> Task<> {
        const auto service =
            frontend<std::vector<int>, int>().link(timeout({.first = 10s})).link(delayed());
        const auto ended = co_await as_result(
            with_deadline(Deadline::in(10ms), collect(service.generate({}, std::vector{10000})))
        );
        EXPECT_EQ(ended.error().code(), ErrorCode::deadline_exceeded);
        EXPECT_NE(ended.error().detail(), "pipeline.timeout");
    });
}

TEST(Timeout, OfASingleAnswer) {
    on_a_loop([]() -> Task<> {
        const auto service = frontend<int, Task<int>>()
                                 .link(timeout({.whole = 10ms}))
                                 .link([](Context, int ms) -> Task<int> {
                                     co_await sleep_for(std::chrono::milliseconds{ms});
                                     co_return int{ms};
                                 });
        EXPECT_EQ(co_await service.generate({}, 0), 0);
        const auto late = co_await as_result(service.generate({}, 10000));
        EXPECT_EQ(late.error().detail(), "pipeline.timeout");
    });
}

TEST(Buffer, ReadsAheadAndKeepsTheOrder) {
    on_a_loop([]() -> Task<> {
        TaskScope scope{co_await current_token()};
        int made = 0;
        const auto service = frontend<int, int>()
                                 .link(buffer(4, scope))
                                 .link([&made](this auto, Context, int last) -> Stream<int> {
                                     for (int i = 1; i <= last; ++i) {
                                         made = i;
                                         co_yield int{i};
                                     }
                                 });
        auto items = service.generate({}, 100);
        EXPECT_EQ(co_await items.next(), 1);
        co_await sleep_for(1ms);
        EXPECT_EQ(made, 5);  // one was taken, four wait
        for (int i = 2; i <= 100; ++i) EXPECT_EQ(co_await items.next(), i);
        EXPECT_FALSE(co_await items.next());
        co_await scope.join();
    });
}

TEST(Buffer, AnErrorComesAfterTheItemsBeforeIt) {
    on_a_loop([]() -> Task<> {
        TaskScope scope{co_await current_token()};
        const auto service =
            frontend<int, int>().link(buffer(9, scope)).link([](Context, int last) -> Stream<int> {
                for (int i = 1; i <= last; ++i) co_yield int{i};
                throw Error{ErrorCode::internal, "test.end", ""};
            });
        const auto ended = co_await read_to_the_end(service.generate({}, 3));
        EXPECT_EQ(ended.items, (std::vector{1, 2, 3}));
        EXPECT_EQ(ended.error->detail(), "test.end");
        co_await scope.join();
    });
}

TEST(Buffer, DroppingTheAnswerEndsWhatReadsAheadAndThePipelineWithIt) {
    on_a_loop([]() -> Task<> {
        TaskScope scope{co_await current_token()};
        const auto alive = std::make_shared<int>();
        {
            const auto service = frontend<int, int>()
                                     .link(buffer(2, scope))
                                     .link([alive](this auto, Context, int) -> Stream<int> {
                                         co_yield 1;
                                         co_await sleep_for(1h);
                                         co_yield int{*alive};
                                     });
            auto items = service.generate({}, 3);
            EXPECT_EQ(co_await items.next(), 1);
        }
        co_await scope.join();
        EXPECT_EQ(alive.use_count(), 1);
    });
}

TEST(RateLimiter, LetsABurstPassAndThenOneEachInterval) {
    RateLimiter limiter{10, 3};
    const auto begin = TimePoint{1h};
    for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.reserve(begin, {}).value(), begin);
    EXPECT_EQ(limiter.reserve(begin, {}).value(), begin + 100ms);
    EXPECT_EQ(limiter.reserve(begin, {}).value(), begin + 200ms);
    const auto refused = limiter.reserve(begin, Deadline::at(begin + 250ms));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::overloaded);
    EXPECT_NE(refused.error().message().find("300 ms"), std::string::npos);
    // It did not count, and idle time gives the burst back, no more.
    EXPECT_EQ(limiter.reserve(begin, {}).value(), begin + 300ms);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.reserve(begin + 1h, {}).value(), begin + 1h);
    EXPECT_GT(limiter.reserve(begin + 1h, {}).value(), begin + 1h);
}

TEST(RateLimit, RequestsWaitForTheirTurn) {
    on_a_loop([]() -> Task<> {
        const auto service = frontend<int, int>().link(rate_limit(100)).link(count_to);
        const auto begin = Loop::current()->now();
        for (int i = 0; i < 3; ++i)
            EXPECT_EQ(co_await collect(service.generate({}, 1)), std::vector{1});
        EXPECT_GE(Loop::current()->now() - begin, 20ms);
    });
}

TEST(RateLimit, WhoseTurnComesTooLateIsRefusedAtOnce) {
    on_a_loop([]() -> Task<> {
        const auto service = frontend<int, int>().link(rate_limit(0.001)).link(count_to);
        const auto soon = [] { return Context{{.deadline = Deadline::in(10s)}}; };
        EXPECT_EQ(co_await collect(service.generate(soon(), 1)), std::vector{1});
        const auto refused = co_await read_to_the_end(service.generate(soon(), 1));
        EXPECT_EQ(refused.error->detail(), "pipeline.rate_limited");
    });
}

/// Fails so many times, each time with another context.
struct Flaky {
    std::shared_ptr<std::vector<Context>> seen = std::make_shared<std::vector<Context>>();
    std::size_t failures = 2;
    ErrorCode code = ErrorCode::unavailable;
    bool late = false;

    Stream<int> operator()(Context context, int last) const {
        return run(*this, std::move(context), last);
    }
    static Stream<int> run(Flaky self, Context context, int last) {
        self.seen->push_back(context);
        if (self.late) co_yield 0;
        if (self.seen->size() <= self.failures) throw Error{self.code, "test.flaky", "not now"};
        for (int i = 1; i <= last; ++i) co_yield int{i};
    }
};

RetryPolicy fast(int attempts) {
    return {.attempts = attempts, .backoff = {.initial = 1ms, .max = 1ms}};
}

TEST(Retry, AsksAgainBeforeTheFirstItemOnly) {
    on_a_loop([]() -> Task<> {
        const Flaky flaky;
        const Context context{{.headers = {{"x-session-id", "s"}}}};
        const auto service = frontend<int, int>().link(retry(fast(3))).link(flaky);
        EXPECT_EQ(co_await collect(service.generate(context, 2)), (std::vector{1, 2}));
        EXPECT_EQ(flaky.seen->size(), 3U);
        EXPECT_NE(flaky.seen->at(0).id(), flaky.seen->at(1).id());
        EXPECT_EQ(flaky.seen->at(1).headers(), context.headers());
        context.stop();
        EXPECT_TRUE(flaky.seen->at(2).stopped());

        const Flaky late{.late = true};
        const auto ended = co_await read_to_the_end(
            frontend<int, int>().link(retry(fast(3))).link(late).generate({}, 2)
        );
        EXPECT_EQ(ended.items, std::vector{0});
        EXPECT_EQ(ended.error->detail(), "test.flaky");
        EXPECT_EQ(late.seen->size(), 1U);
    });
}

TEST(Retry, GivesUpWhenItIsOfNoUse) {
    on_a_loop([]() -> Task<> {
        const auto attempts = [](Flaky flaky, RetryPolicy policy, Context context
                              ) -> Task<std::size_t> {
            const auto service = frontend<int, int>().link(retry(policy)).link(flaky);
            const auto ended = co_await read_to_the_end(service.generate(context, 1));
            EXPECT_TRUE(ended.error);
            co_return flaky.seen->size();
        };
        EXPECT_EQ(co_await attempts({.failures = 9}, fast(4), {}), 4U);
        EXPECT_EQ(co_await attempts({.code = ErrorCode::invalid_request}, fast(4), {}), 1U);
        auto once = fast(4);
        once.replayable = [](const Context& context) { return !context.header("once"); };
        EXPECT_EQ(co_await attempts({}, once, Context{{.headers = {{"once", ""}}}}), 1U);
        const Context stopped;
        stopped.stop();
        EXPECT_EQ(co_await attempts({}, fast(4), stopped), 1U);
        RetryPolicy slow{.attempts = 3, .backoff = {.initial = 1h, .max = 1h}};
        EXPECT_EQ(co_await attempts({}, slow, Context{{.deadline = Deadline::in(1ms)}}), 1U);
    });
}

TEST(Retry, OfASingleAnswer) {
    on_a_loop([]() -> Task<> {
        auto calls = std::make_shared<int>();
        const auto service = frontend<int, Task<int>>()
                                 .link(retry(fast(3)))
                                 .link([calls](this auto, Context, int n) -> Task<int> {
                                     if (++*calls < 3) throw Error{ErrorCode::overloaded, ""};
                                     co_return int{n};
                                 });
        EXPECT_EQ(co_await service.generate({}, 5), 5);
    });
}

}  // namespace
}  // namespace stator::testing
