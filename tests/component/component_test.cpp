// Serving and calling endpoints, end to end over the mux and a memory store.
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cluster_fixture.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/token_wait.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): handlers live as long as their
// endpoint
namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::ClusterTest;
using testing::collect;
using Text = Router<std::string, std::string>;

constexpr auto path = "demo.backend.generate";

Stream<std::string> spell_out(Context request, std::string text) {
    for (const char letter : text) {
        if (request.stopped()) co_return;
        co_yield std::string{letter};
    }
}

Task<std::string> upper(Context, std::string text) {
    for (char& letter : text) letter = static_cast<char>(std::toupper(letter));
    co_return text;
}

class Component : public ClusterTest {};

TEST_F(Component, AStreamComesBackItemByItem) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(spell_out);
        const auto caller = co_await test->join();
        const auto client = co_await caller.endpoint(path).client();
        co_await client.wait_for_instances(Deadline::in(5s));
        const Text router{client};
        EXPECT_EQ(
            co_await collect(router.generate("hello")),
            (std::vector<std::string>{"h", "e", "l", "l", "o"})
        );
        EXPECT_TRUE((co_await collect(router.generate(""))).empty());
        EXPECT_EQ(served.inflight(), 0U);
    });
}

TEST_F(Component, AStreamMayOutliveItsRouterAndItsClient) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(spell_out);
        auto items = Text{co_await worker.endpoint(path).client()}.generate("ab");
        EXPECT_EQ(co_await collect(std::move(items)), (std::vector<std::string>{"a", "b"}));
    });
}

TEST_F(Component, OneReplyAndUserTypes) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        using Numbers = std::map<std::string, std::vector<double>>;
        const auto sum = [](Context, Numbers numbers) -> Task<double> {
            double total = 0;
            for (const auto& [name, values] : numbers) {
                for (const double value : values) total += value;
            }
            co_return total;
        };
        const auto a = co_await worker.ns("demo").component("math").endpoint("sum").start(sum);
        const auto b = co_await worker.endpoint("demo.text.upper").start(upper);
        const auto math = co_await worker.endpoint("demo.math.sum").client();
        const auto text = co_await worker.endpoint("demo.text.upper").client();
        const Router<Numbers, double> sums{math};
        EXPECT_EQ(co_await sums.ask(Numbers{{"a", {1, 2.5}}, {"b", {4}}}), 7.5);
        const Text uppers{text};
        EXPECT_EQ(co_await uppers.ask("abc", {.codec = PayloadCodec::json}), "ABC");
        EXPECT_EQ(co_await uppers.ask("abc", {.codec = PayloadCodec::raw}), "ABC");
    });
}

TEST_F(Component, StreamsOfUserTypesBothWays) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        using Numbers = std::vector<double>;
        const auto mean = [](Context, Stream<double> samples) -> Task<double> {
            double total = 0;
            int count = 0;
            for (; auto sample = co_await samples.next(); ++count) total += *sample;
            co_return total / count;
        };
        const auto running_sums = [](Context, Stream<Numbers> rows) -> Stream<double> {
            double total = 0;
            while (auto row = co_await rows.next()) {
                for (const double value : *row) co_yield total += value;
            }
        };
        const auto a = co_await worker.endpoint("demo.math.mean").start(mean);
        const auto b = co_await worker.endpoint("demo.math.sums").start(running_sums);
        const auto samples = []() -> Stream<double> {
            for (int i = 1; i <= 4; ++i) co_yield i;
        };
        const auto rows = []() -> Stream<Numbers> {
            co_yield Numbers{1, 2};
            co_yield Numbers{};
            co_yield Numbers{3.5};
        };
        const Router<double, double> means{co_await worker.endpoint("demo.math.mean").client()};
        const Router<Numbers, double> sums{co_await worker.endpoint("demo.math.sums").client()};
        EXPECT_EQ(co_await means.ask(samples()), 2.5);
        EXPECT_EQ(co_await means.ask(samples(), {.codec = PayloadCodec::json}), 2.5);
        EXPECT_EQ(co_await collect(sums.generate(rows())), (Numbers{1, 3, 6.5}));
        // An item that the handler cannot read is the caller's fault, and named.
        const Text texts{co_await worker.endpoint("demo.math.mean").client()};
        const auto words = []() -> Stream<std::string> { co_yield "one"; };
        const auto end = co_await as_result(texts.ask(words()));
        EXPECT_EQ(end.error().code(), ErrorCode::invalid_request);
        const std::string says = end.error().what();
        EXPECT_NE(says.find("item 0"), std::string::npos) << says;
    });
}

TEST_F(Component, EndpointsOfTheSameNameNeverMeet) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto says = [](std::string what) {
            return [what](Context, std::string) -> Task<std::string> { co_return what; };
        };
        const auto a = co_await worker.endpoint("demo.first.generate").start(says("first"));
        const auto b = co_await worker.endpoint("demo.second.generate").start(says("second"));
        const auto c = co_await worker.endpoint("demo.deep.first.generate").start(says("deep"));
        for (const auto& [where, what] :
             {std::pair{"demo.first.generate", "first"},
              std::pair{"demo.second.generate", "second"},
              std::pair{"demo.deep.first.generate", "deep"}}) {
            const auto client = co_await worker.endpoint(where).client();
            EXPECT_EQ(client.instances()->members.size(), 1U);
            const Text router{client};
            EXPECT_EQ(co_await router.ask("?"), what);
        }
    });
}

TEST_F(Component, BadNamesAreNamed) {
    run([](ClusterTest* test) -> Task<> {
        const auto cluster = co_await test->join();
        for (const auto* bad : {"", "a", "a.b", "a..c", "A.b.c", "a.b.c d", "a.b.c/d", ".a.b.c"}) {
            try {
                (void)cluster.endpoint(bad);
                ADD_FAILURE() << bad << " was accepted";
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), ErrorCode::invalid_request) << bad;
            }
        }
        EXPECT_EQ(cluster.ns("a").ns("b").component("c").endpoint("d").id().to_string(), "a.b.c.d");
    });
}

TEST_F(Component, ServingTwiceIsRefused) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto first = co_await worker.endpoint(path).start(spell_out);
        const auto second = co_await as_result(worker.endpoint(path).start(spell_out));
        EXPECT_EQ(second.error().code(), ErrorCode::already_exists);
        const auto other =
            co_await worker.endpoint(path).start(spell_out, {.instance_id = InstanceId{77}});
        EXPECT_EQ(other.instance_id(), InstanceId{77});
    });
}

TEST_F(Component, ErrorsKeepTheirClassBeforeAndAfterItems) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto failing = [](Context, int items) -> Stream<int> {
            for (int i = 0; i < items; ++i) co_yield i;
            throw Error{ErrorCode::payload_too_large, "test.detail", "the message"};
        };
        const auto served = co_await worker.endpoint(path).start(failing);
        const auto client = co_await worker.endpoint(path).client();
        const Router<int, int> router{client};
        for (const int items : {0, 1, 100}) {
            auto stream = router.generate(items);
            int seen = 0;
            std::optional<Error> end;
            try {
                while (co_await stream.next()) ++seen;
            } catch (const Error& error) {
                end = error;
            }
            EXPECT_EQ(seen, items);
            EXPECT_TRUE(end);
            if (!end) continue;
            EXPECT_EQ(end->code(), ErrorCode::payload_too_large);
            EXPECT_EQ(end->detail(), "test.detail");
            EXPECT_NE(end->message().find("the message"), std::string::npos);
        }
    });
}

TEST_F(Component, ABadPayloadIsTheCallersFault) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served =
            co_await worker.endpoint(path).start([](Context, int n) -> Task<int> { co_return n; });
        const auto client = co_await worker.endpoint(path).client();
        const Text router{client};
        const auto reply = co_await as_result(router.ask("not a number"));
        EXPECT_EQ(reply.error().code(), ErrorCode::invalid_request);
    });
}

TEST_F(Component, AForeignExceptionIsInternal) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await worker.endpoint(path).start([](Context, int) -> Task<int> {
            throw std::runtime_error{"boom"};
            co_return 1;
        });
        const auto client = co_await worker.endpoint(path).client();
        const Router<int, int> router{client};
        const auto reply = co_await as_result(router.ask(1));
        EXPECT_EQ(reply.error().code(), ErrorCode::internal);
        EXPECT_NE(reply.error().message().find("boom"), std::string::npos);
    });
}

TEST_F(Component, RoundRobinSharesAndDirectAsksOne) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto says = [](int what) {
            return [what](Context, int) -> Task<int> { co_return what; };
        };
        const auto one =
            co_await worker.endpoint(path).start(says(1), {.instance_id = InstanceId{1}});
        const auto two =
            co_await worker.endpoint(path).start(says(2), {.instance_id = InstanceId{2}});
        const auto client = co_await worker.endpoint(path).client();
        std::map<int, int> share;
        const Router<int, int> turns{client};
        for (int i = 0; i < 10; ++i) ++share[co_await turns.ask(0)];
        EXPECT_EQ(share, (std::map<int, int>{{1, 5}, {2, 5}}));
        const Router<int, int> random{client, RouterMode::random};
        share.clear();
        for (int i = 0; i < 100; ++i) ++share[co_await random.ask(0)];
        EXPECT_EQ(share.size(), 2U);
        const Router<int, int> direct{client, RouterMode::direct};
        EXPECT_EQ(co_await direct.ask(0, {.instance = InstanceId{2}}), 2);
        const auto nobody = co_await as_result(direct.ask(0, {.instance = InstanceId{3}}));
        EXPECT_EQ(nobody.error().code(), ErrorCode::unavailable);
        EXPECT_NE(nobody.error().message().find("3"), std::string::npos);
    });
}

TEST_F(Component, AFullWorkerIsTypedAndOthersTakeOver) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto hold = [](Context request, int what) -> Stream<int> {
            co_yield what;
            co_await request.stop_token().wait();
        };
        const auto full = co_await worker.endpoint(path).start(
            hold, {.max_inflight = 1, .instance_id = InstanceId{1}}
        );
        const auto client = co_await worker.endpoint(path).client();
        const Router<int, int> router{client};
        auto held = router.generate(1);
        EXPECT_EQ(co_await held.next(), 1);
        const auto refused = co_await as_result(collect(router.generate(2)));
        EXPECT_EQ(refused.error().code(), ErrorCode::overloaded);
        const auto spare =
            co_await worker.endpoint(path).start(hold, {.instance_id = InstanceId{2}});
        while (client.instances()->routable.size() < 2) co_await sleep_for(1ms);
        std::vector<Stream<int>> taken;
        std::set<InstanceId> by;
        for (int i = 0; i < 6; ++i) {
            taken.push_back(router.generate(i, {.on_accepted = [&by](InstanceId id) {
                                                by.insert(id);
                                            }}));
            EXPECT_EQ(co_await taken.back().next(), i);
        }
        EXPECT_EQ(by, std::set<InstanceId>{InstanceId{2}});
        EXPECT_EQ(full.inflight(), 1U);
        EXPECT_EQ(spare.inflight(), 6U);
        taken.clear();
        while (spare.inflight() > 0) co_await sleep_for(1ms);
    });
}

struct Watched {
    Event killed;
    Event stopped;
    CancelReason reason = CancelReason::none;
};

/// Yields once, then waits; tells how it ended.
auto watching(Watched* watched) {
    return [watched](Context request, int) -> Stream<int> {
        co_yield 1;
        try {
            while (!request.stopped()) co_await sleep_for(1ms);
            watched->reason = request.reason();
            watched->stopped.set();
            co_await sleep_for(1h);
        } catch (const Error&) {
            watched->reason = request.reason();
            watched->killed.set();
            throw;
        }
    };
}

TEST_F(Component, DroppingTheStreamKillsTheHandler) {
    Watched watched;
    run([&watched](ClusterTest* test) -> Task<> {
        return [](ClusterTest* test_, Watched* seen) -> Task<> {
            const auto worker = co_await test_->join();
            const auto served = co_await worker.endpoint(path).start(watching(seen));
            const auto client = co_await worker.endpoint(path).client();
            const Router<int, int> router{client};
            {
                auto stream = router.generate(1);
                EXPECT_EQ(co_await stream.next(), 1);
            }
            co_await seen->killed.wait();
            EXPECT_EQ(seen->reason, CancelReason::requested);
        }(test, &watched);
    });
}

TEST_F(Component, StopAndKillOfTheCallersContextReachTheHandler) {
    Watched watched;
    run([&watched](ClusterTest* test) -> Task<> {
        return [](ClusterTest* test_, Watched* seen) -> Task<> {
            const auto worker = co_await test_->join();
            const auto served = co_await worker.endpoint(path).start(watching(seen));
            const auto client = co_await worker.endpoint(path).client();
            const Router<int, int> router{client};
            const Context context;
            auto stream = router.generate(context, 1);
            EXPECT_EQ(co_await stream.next(), 1);
            context.stop(CancelReason::parent);
            co_await seen->stopped.wait();
            EXPECT_EQ(seen->reason, CancelReason::parent);
            context.kill(CancelReason::requested);
            const auto end = co_await as_result(collect(std::move(stream)));
            EXPECT_EQ(end.error().code(), ErrorCode::cancelled);
            co_await seen->killed.wait();
        }(test, &watched);
    });
}

TEST_F(Component, AContextThatEndedBeforeItsCall) {
    Watched watched;
    run([&watched](ClusterTest* test) -> Task<> {
        return [](ClusterTest* test_, Watched* seen) -> Task<> {
            const auto worker = co_await test_->join();
            const auto served = co_await worker.endpoint(path).start(watching(seen));
            const auto client = co_await worker.endpoint(path).client();
            const Router<int, int> router{client};
            const Context killed;
            killed.kill(CancelReason::requested);
            const auto refused = co_await as_result(collect(router.generate(killed, 1)));
            EXPECT_EQ(refused.error().code(), ErrorCode::cancelled);
            EXPECT_FALSE(seen->stopped.is_set()) << "it was never called";
            const Context stopped;
            stopped.stop(CancelReason::parent);
            auto stream = router.generate(stopped, 1);
            EXPECT_EQ(co_await stream.next(), 1);
            co_await seen->stopped.wait();
            EXPECT_EQ(seen->reason, CancelReason::parent);
        }(test, &watched);
    });
}

TEST_F(Component, TheDeadlineTravelsAndEndsBothSides) {
    Watched watched;
    run([&watched](ClusterTest* test) -> Task<> {
        return [](ClusterTest* test_, Watched* seen) -> Task<> {
            const auto worker = co_await test_->join();
            Deadline remote;
            const auto outer = co_await worker.endpoint("demo.backend.remaining")
                                   .start([&remote](Context request, int) -> Task<int> {
                                       remote = request.deadline();
                                       co_return 1;
                                   });
            const auto served = co_await worker.endpoint(path).start(watching(seen));
            const auto remaining = co_await worker.endpoint("demo.backend.remaining").client();
            const auto limit = Deadline::in(3s);
            EXPECT_EQ(co_await (Router<int, int>{remaining}.ask(1, {.deadline = limit})), 1);
            EXPECT_FALSE(remote.is_never());
            EXPECT_LE(remote.when() - limit.when(), 50ms);
            const auto client = co_await worker.endpoint(path).client();
            const Router<int, int> router{client};
            const auto begin = Clock::current().now();
            const auto end =
                co_await as_result(collect(router.generate(1, {.deadline = Deadline::in(50ms)})));
            EXPECT_EQ(end.error().code(), ErrorCode::deadline_exceeded);
            EXPECT_LT(Clock::current().now() - begin, 2s);
            co_await seen->killed.wait();
            EXPECT_EQ(seen->reason, CancelReason::deadline);
        }(test, &watched);
    });
}

TEST_F(Component, ServeReturnsDrainedWhenCancelledAndLosesNothing) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto other = co_await test->join();
        Event go_on;
        const auto handler = [&go_on](Context, int items) -> Stream<int> {
            for (int i = 0; i < items; ++i) {
                co_yield i;
                if (i == 0) co_await go_on.wait();
            }
        };
        TaskScope serving;
        serving.spawn(worker.endpoint(path).serve(handler));
        const auto client = co_await other.endpoint(path).client();
        co_await client.wait_for_instances(Deadline::in(5s));
        const Router<int, int> router{client};
        std::vector<Stream<int>> streams;
        for (int i = 0; i < 50; ++i) {
            streams.push_back(router.generate(10));
            EXPECT_EQ(co_await streams.back().next(), 0);
        }
        serving.cancel(CancelReason::shutdown);
        while (!client.instances()->routable.empty()) co_await sleep_for(1ms);
        const auto refused = co_await as_result(collect(router.generate(1)));
        EXPECT_EQ(refused.error().code(), ErrorCode::unavailable);
        EXPECT_EQ(serving.size(), 1U);
        go_on.set();
        for (auto& stream : streams) EXPECT_EQ((co_await collect(std::move(stream))).size(), 9U);
        co_await serving.join();
    });
}

TEST_F(Component, RequestsThatDoNotEndAreStoppedThenKilled) {
    graceful = 1s;
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto polite = [](Context request, int) -> Stream<int> {
            co_yield 1;
            co_await request.stop_token().wait();
            co_yield 2;
        };
        const auto stubborn = [](Context, int) -> Stream<int> {
            co_yield 1;
            co_await sleep_for(1h);
        };
        const auto a = co_await worker.endpoint("demo.a.a").start(polite);
        const auto b = co_await worker.endpoint("demo.b.b").start(stubborn);
        const Router<int, int> first{co_await worker.endpoint("demo.a.a").client()};
        const Router<int, int> second{co_await worker.endpoint("demo.b.b").client()};
        auto stopped = first.generate(0);
        auto killed = second.generate(0);
        EXPECT_EQ(co_await stopped.next(), 1);
        EXPECT_EQ(co_await killed.next(), 1);
        const auto begin = Clock::current().now();
        co_await when_all(a.shutdown(Deadline::in(1s)), b.shutdown(Deadline::in(1s)));
        EXPECT_LT(Clock::current().now() - begin, 1s);
        EXPECT_EQ((co_await collect(std::move(stopped))), std::vector<int>{2});
        const auto end = co_await as_result(collect(std::move(killed)));
        EXPECT_EQ(end.error().code(), ErrorCode::unavailable);
        EXPECT_EQ(end.error().detail(), "component.killed_at_shutdown");
        EXPECT_EQ(test->runtime().shutdown_counts().killed.load(), 1U);
    });
}

TEST_F(Component, ALostWorkerEndsAcceptedCallsAndLeavesRouting) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto other = co_await test->join();
        const auto hold = [](Context, int) -> Stream<int> {
            co_yield 1;
            co_await sleep_for(1h);
        };
        const auto served = co_await worker.endpoint(path).start(hold);
        const auto client = co_await other.endpoint(path).client();
        co_await client.wait_for_instances(Deadline::in(5s));
        const Router<int, int> router{client};
        auto stream = router.generate(1);
        EXPECT_EQ(co_await stream.next(), 1);
        co_await worker.close(Deadline::in(2s));
        const auto end = co_await as_result(collect(std::move(stream)));
        EXPECT_EQ(end.error().code(), ErrorCode::disconnected);
        EXPECT_TRUE(client.instances()->routable.empty());
    });
}

TEST_F(Component, HeadersAndIdTravel) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served =
            co_await worker.endpoint(path).start([](Context request, int) -> Task<std::string> {
                co_return request.id().to_string() +
                    std::string{request.header("x-tenant").value_or("none")};
            });
        const Router<int, std::string> router{co_await worker.endpoint(path).client()};
        const Context context{{.headers = {{"x-tenant", "blue"}}}};
        EXPECT_EQ(co_await router.ask(context, 1), context.id().to_string() + "blue");
    });
}

TEST_F(Component, ManyCallsOnSeveralLoops) {
    threads = 2;
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(spell_out);
        const auto client = co_await worker.endpoint(path).client();
        const Text router{client};
        TaskScope scope{co_await current_token()};
        std::atomic<int> good{0};
        for (std::size_t i = 0; i < 500; ++i) {
            auto call = [](Text from, std::atomic<int>* count) -> Task<> {
                const auto items = co_await collect(from.generate("abcdefgh"));
                if (items.size() == 8) ++*count;
            };
            scope.spawn_on(test->runtime().primary().loop(i % 2), call(router, &good));
        }
        co_await scope.join();
        EXPECT_EQ(good.load(), 500);
    });
}

TEST_F(Component, WaitingForNobodyNamesWhatWasLookedFor) {
    run([](ClusterTest* test) -> Task<> {
        const auto cluster = co_await test->join();
        const auto client = co_await cluster.endpoint(path).client();
        const auto nobody = co_await as_result(client.wait_for_instances(Deadline::in(20ms)));
        EXPECT_EQ(nobody.error().code(), ErrorCode::unavailable);
        EXPECT_NE(nobody.error().message().find(path), std::string::npos);
    });
}

}  // namespace
}  // namespace stator
// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
