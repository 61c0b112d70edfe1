// Routers among several instances: who is chosen, who is passed over, and what is said when nobody
// is left.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "cluster_fixture.hpp"
#include "component/caller_metrics.hpp"
#include "stator/base/latency_histogram.hpp"
#include "stator/component/overload.hpp"
#include "stator/pipeline/link.hpp"
#include "stator/pipeline/operators.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/token_wait.hpp"
#include "tests/support/quickest.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): handlers live as long as their
// endpoint
namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::ClusterTest;
using testing::collect;
using Numbers = Router<int, int>;
using Shares = std::map<InstanceId, int>;

constexpr auto path = "demo.backend.generate";

/// Several instances in one other member of the cluster, and a client that knows them all.
struct Fleet {
    std::vector<ServedEndpoint> served;
    std::optional<DistributedRuntime> worker;
    std::optional<DistributedRuntime> caller;
    std::optional<Client> client;
};

template <class Make>
Task<Fleet> fleet_of(ClusterTest* test, std::size_t count, Make make, ServeOptions options = {}) {
    Fleet fleet;
    fleet.worker = co_await test->join();
    fleet.caller = co_await test->join();
    for (std::size_t i = 1; i <= count; ++i) {
        options.instance_id = InstanceId{i};
        fleet.served.push_back(co_await fleet.worker->endpoint(path).start(make(i), options));
    }
    fleet.client = co_await fleet.caller->endpoint(path).client();
    while (fleet.client->instances()->routable.size() < count) co_await sleep_for(1ms);
    co_return fleet;
}

Task<int> echo(Context, int value) { co_return int{value}; }
auto echoes() {
    return [](std::size_t) { return echo; };
}

Task<Shares> shares_of(Numbers router, int calls, CallOptions options = {}) {
    Shares shares;
    for (int i = 0; i < calls; ++i) {
        auto counted = options;
        counted.on_accepted = [&shares](InstanceId id) { ++shares[id]; };
        EXPECT_EQ(co_await router.ask(i, counted), i);
    }
    co_return shares;
}

class Routing : public ClusterTest {
protected:
    /// `body` says what took how long.
    void expect_within_100_ms(std::function<Task<>(ClusterTest*, Duration*)> body) {
        const auto measured = [&] {
            auto took = Duration::max();
            run([&](ClusterTest* test) { return body(test, &took); });
            return took;
        };
        EXPECT_LT(testing::quickest(100ms, measured), 100ms);
    }
};

TEST_F(Routing, RoundRobinIsFair) {
    run([](ClusterTest* test) -> Task<> {
        const auto fleet = co_await fleet_of(test, 5, echoes());
        const auto shares = co_await shares_of(Numbers{*fleet.client}, 100);
        EXPECT_EQ(shares.size(), 5U);
        for (const auto& [id, calls] : shares) EXPECT_EQ(calls, 20) << id.to_string();
    });
}

TEST_F(Routing, RoundRobinIsFairAmongThoseThatAreLeft) {
    run([](ClusterTest* test) -> Task<> {
        const auto fleet = co_await fleet_of(test, 5, echoes());
        const auto loads = fleet.client->loads();
        const auto source = loads.claim("queue", "test").value();
        loads.set_threshold("queue", 10);
        source.report(InstanceId{2}, 11, 1h);
        source.report(InstanceId{3}, 10, 1h);
        const auto shares = co_await shares_of(Numbers{*fleet.client}, 100);
        EXPECT_EQ(shares.size(), 4U);
        for (const auto& [id, calls] : shares) EXPECT_EQ(calls, 25) << id.to_string();
    });
}

TEST_F(Routing, EveryModeAsksEverybodyWhoIsIdle) {
    run([](ClusterTest* test) -> Task<> {
        const auto fleet = co_await fleet_of(test, 3, echoes());
        for (const auto mode :
             {RouterMode::random,
              RouterMode::power_of_two,
              RouterMode::least_loaded,
              RouterMode::peak_ewma}) {
            const auto shares = co_await shares_of(Numbers{*fleet.client, mode}, 60);
            EXPECT_EQ(shares.size(), 3U) << to_string(mode);
        }
        for (const auto& status : fleet.client->loads().status()) EXPECT_EQ(status.outstanding, 0U);
    });
}

Stream<int> hold(Context request, int value) {
    co_yield int{value};
    co_await request.stop_token().wait();
}

TEST_F(Routing, CallsAreCountedUntilTheirStreamsEnd) {
    run([](ClusterTest* test) -> Task<> {
        const auto fleet = co_await fleet_of(test, 4, [](std::size_t) { return hold; });
        const Numbers router{*fleet.client, RouterMode::least_loaded};
        std::vector<Stream<int>> held;
        Shares shares;
        for (int i = 0; i < 12; ++i) {
            held.push_back(router.generate(i, {.on_accepted = [&](InstanceId id) { ++shares[id]; }})
            );
            EXPECT_EQ(co_await held.back().next(), i);
        }
        EXPECT_EQ(shares.size(), 4U);
        for (const auto& [id, calls] : shares) EXPECT_EQ(calls, 3) << id.to_string();
        for (const auto& status : fleet.client->loads().status()) EXPECT_EQ(status.outstanding, 3U);
        held.clear();
        for (const auto& status : fleet.client->loads().status()) EXPECT_EQ(status.outstanding, 0U);
    });
}

TEST_F(Routing, SessionsStayWhereTheyAre) {
    run([](ClusterTest* test) -> Task<> {
        const auto fleet = co_await fleet_of(test, 6, echoes());
        const Numbers router{*fleet.client, RouterMode::session};
        std::set<InstanceId> used;
        for (int session = 0; session < 20; ++session) {
            const auto name = std::to_string(session);
            const auto shares = co_await shares_of(router, 3, {.session = name});
            EXPECT_EQ(shares.size(), 1U);
            used.insert(shares.begin()->first);
            // By header it is the same session.
            const Context context{{.headers = {{"x-session-id", name}}}};
            InstanceId by;
            (void)co_await router.ask(context, 1, {.on_accepted = [&](InstanceId id) { by = id; }});
            EXPECT_EQ(by, shares.begin()->first);
        }
        EXPECT_GT(used.size(), 2U);
        EXPECT_EQ((co_await shares_of(router, 12)).size(), 6U);
    });
}

TEST_F(Routing, APolicyOfOnesOwnSeesTheCandidatesAndTheRequest) {
    run([](ClusterTest* test) -> Task<> {
        const auto fleet = co_await fleet_of(test, 3, echoes());
        const Numbers router{
            *fleet.client,
            RouterOptions{
                .mode = RouterMode::custom,
                .policy =
                    [](std::span<const Candidate> candidates, const Context& context) {
                        const auto wanted = context.header("zone");
                        for (std::size_t i = 0; i < candidates.size(); ++i) {
                            if (wanted && candidates[i].instance->id.to_string() == *wanted)
                                return i;
                        }
                        return candidates.size();
                    }
            }
        };
        for (const char* zone : {"2", "3", "2"}) {
            InstanceId by;
            const Context context{{.headers = {{"zone", zone}}}};
            (void)co_await router.ask(context, 1, {.on_accepted = [&](InstanceId id) { by = id; }});
            EXPECT_EQ(by.to_string(), zone);
        }
        const auto none = co_await as_result(router.ask(1));
        EXPECT_EQ(none.error().detail(), "component.no_instances");
        EXPECT_NE(none.error().message().find("not wanted by the policy"), std::string::npos);
    });
}

TEST_F(Routing, WhyNobodyIsLeftSaysWhichFilterKeptWhomOut) {
    run([](ClusterTest* test) -> Task<> {
        auto fleet = co_await fleet_of(test, 3, echoes());
        const auto loads = fleet.client->loads();
        auto source = std::make_optional(loads.claim("kv_blocks", "metrics").value());
        EXPECT_EQ(loads.claim("kv_blocks", "other").error().detail(), "component.load_field_owned");
        loads.set_threshold("kv_blocks", 0.9);
        for (std::uint64_t i = 1; i <= 3; ++i) source->report(InstanceId{i}, 0.95, 1h);
        const Numbers router{*fleet.client};
        const auto busy = co_await as_result(router.ask(1));
        EXPECT_FALSE(busy);
        if (busy) co_return;
        EXPECT_EQ(busy.error().code(), ErrorCode::overloaded);
        EXPECT_NE(
            busy.error().message().find("3 busy: kv_blocks is 0.95, above 0.9 (reported by metrics)"
            ),
            std::string::npos
        ) << busy.error().message();
        EXPECT_NE(busy.error().message().find("(1, 2, 3)"), std::string::npos);
        EXPECT_NE(loads.status().at(0).busy.find("kv_blocks"), std::string::npos);
        const auto mute = co_await as_result(router.ask(1, {.plane = Plane::in_process}));
        EXPECT_EQ(mute.error().detail(), "component.no_common_plane");
        EXPECT_NE(mute.error().message().find("asked for is in_process"), std::string::npos);
        // A source that goes takes its word back; so does time.
        source.reset();
        EXPECT_EQ(co_await router.ask(1), 1);
        source.emplace(loads.claim("kv_blocks", "other").value());
        for (std::uint64_t i = 1; i <= 3; ++i) source->report(InstanceId{i}, 0.95, 20ms);
        EXPECT_FALSE(co_await as_result(router.ask(1)));
        co_await sleep_for(25ms);
        EXPECT_EQ(co_await router.ask(1), 1);
    });
}

TEST_F(Routing, AFullInstanceIsPassedOverForAMomentNotForEver) {
    run([](ClusterTest* test) -> Task<> {
        auto fleet =
            co_await fleet_of(test, 2, [](std::size_t) { return hold; }, {.max_inflight = 1});
        const Numbers router{*fleet.client};
        std::vector<Stream<int>> held;
        for (int i = 0; i < 2; ++i) {
            held.push_back(router.generate(i));
            EXPECT_EQ(co_await held.back().next(), i);
        }
        const auto refused = co_await as_result(collect(router.generate(2)));
        EXPECT_FALSE(refused);
        if (refused) co_return;
        EXPECT_EQ(refused.error().code(), ErrorCode::overloaded);
        const auto said = overload_of(refused.error());
        EXPECT_TRUE(said) << refused.error().what();
        if (!said) co_return;
        EXPECT_EQ(said->knob, "max_inflight");
        EXPECT_EQ(said->limit, 1);
        EXPECT_NE(said->owner.find("demo.backend.generate"), std::string::npos);
        // Both said so; the worker has the last word: as soon as there is room it is taken.
        held.clear();
        for (const auto& served : fleet.served) {
            while (served.inflight() > 0) co_await sleep_for(1ms);
        }
        auto again = router.generate(3);
        EXPECT_EQ(co_await again.next(), 3);
    });
}

/// Each call takes a while; that of the first instance ten times as long.
auto one_slow(Duration usual) {
    return [usual](std::size_t index) {
        const auto pause = index == 1 ? usual * 10 : usual;
        return [pause](Context, int value) -> Task<int> {
            co_await sleep_for(pause);
            co_return int{value};
        };
    };
}

struct Tail {
    LatencyHistogram latencies;
    Shares shares;
    double percentile_ms(double quantile) const {
        return latencies.percentile_us(quantile).value() / 1000;
    }
    double slow_share() const {
        int all = 0;
        for (const auto& [id, calls] : shares) all += calls;
        const auto slow = shares.find(InstanceId{1});
        return slow == shares.end() ? 0 : static_cast<double>(slow->second) / all;
    }
};

Task<> keep_calling(Numbers router, int calls, Tail* tail) {
    for (int i = 0; i < calls; ++i) {
        const auto begin = Loop::current()->now();
        InstanceId by;
        EXPECT_EQ(co_await router.ask(i, {.on_accepted = [&](InstanceId id) { by = id; }}), i);
        tail->latencies.record(Loop::current()->now() - begin);
        ++tail->shares[by];
    }
}

Task<Tail> tail_of(Numbers router, int callers, int calls) {
    Tail tail;
    TaskScope scope{co_await current_token()};
    for (int i = 0; i < callers; ++i) scope.spawn(keep_calling(router, calls, &tail));
    const auto ended = co_await as_result(scope.join());
    co_await scope.close();
    if (!ended) throw ended.error();
    co_return tail;
}

TEST_F(Routing, ASlowInstanceDoesNotOwnTheTail) {
    run([](ClusterTest* test) -> Task<> {
        constexpr auto usual = 20ms;
        const auto fleet = co_await fleet_of(test, 8, one_slow(usual));
        std::map<std::string, Tail> tails;
        for (const auto mode :
             {RouterMode::round_robin,
              RouterMode::power_of_two,
              RouterMode::least_loaded,
              RouterMode::peak_ewma}) {
            const Numbers router{*fleet.client, mode};
            (void)co_await tail_of(router, 16, 2);  // learns who is slow
            auto& tail = tails[std::string{to_string(mode)}] = co_await tail_of(router, 16, 15);
            RecordProperty(
                std::string{to_string(mode)},
                fmt::format(
                    "p95 {:.1f} ms, p99 {:.1f} ms, slow share {:.3f}",
                    tail.percentile_ms(0.95),
                    tail.percentile_ms(0.99),
                    tail.slow_share()
                )
            );
        }
        // The machine may add to any latency; which instance was asked is ours.
        EXPECT_NEAR(tails["round_robin"].slow_share(), 1.0 / 8, 0.01);
        EXPECT_LT(tails["p2c"].slow_share(), 0.07);
        EXPECT_LT(tails["least_loaded"].slow_share(), 0.07);
        EXPECT_LT(tails["peak_ewma"].slow_share(), 0.03);
        EXPECT_GT(tails["round_robin"].percentile_ms(0.95), 199);
    });
}

TEST_F(Routing, AHedgedCallIsAnsweredByWhoeverBeginsFirst) {
    run([](ClusterTest* test) -> Task<> {
        struct Seen {
            std::atomic<int> stuck{0};
            std::atomic<int> killed{0};
        };
        const auto seen = std::make_shared<Seen>();
        const auto fleet = co_await fleet_of(test, 2, [seen](std::size_t index) {
            return [seen, index](Context context, int value) -> Stream<int> {
                if (index == 1) {
                    ++seen->stuck;
                    const auto ended = co_await as_result([](Context own) -> Task<> {
                        co_await own.kill_token().wait();
                    }(context));
                    ++seen->killed;
                    if (!ended) throw ended.error();
                }
                for (int i = 0; i < 3; ++i) co_yield value + i;
            };
        });
        const Numbers router{
            *fleet.client, RouterOptions{.hedge = Hedging{.after = 20ms, .budget = 1}}
        };
        for (int i = 0; i < 4; ++i)
            EXPECT_EQ(co_await collect(router.generate(10)), (std::vector{10, 11, 12}));
        // The second call takes the next turn, so each request meets the one that is stuck.
        EXPECT_EQ(seen->stuck, 4);
        while (seen->killed < 4) co_await sleep_for(1ms);
        for (const auto& status : fleet.client->loads().status()) EXPECT_EQ(status.outstanding, 0U);
        // Not twice where that was forbidden.
        const auto once =
            co_await as_result(router.ask(1, {.deadline = Deadline::in(60ms), .at_most_once = true})
            );
        const auto other =
            co_await as_result(router.ask(1, {.deadline = Deadline::in(60ms), .at_most_once = true})
            );
        EXPECT_NE(once.has_value(), other.has_value());
    });
}

TEST_F(Routing, AHedgedCallFailsWhenBothHave) {
    run([](ClusterTest* test) -> Task<> {
        const auto fleet = co_await fleet_of(test, 2, [](std::size_t) {
            return [](Context, int) -> Task<int> {
                co_await sleep_for(10ms);
                throw Error{ErrorCode::invalid_request, "test.bad", "no"};
            };
        });
        const Numbers router{
            *fleet.client, RouterOptions{.hedge = Hedging{.after = 1ms, .budget = 1}}
        };
        const auto failed = co_await as_result(router.ask(1));
        EXPECT_EQ(failed.error().detail(), "test.bad");
        // Cancelling the reader ends both.
        const auto cancelled = co_await as_result(with_deadline(Deadline::in(5ms), router.ask(1)));
        EXPECT_EQ(cancelled.error().code(), ErrorCode::deadline_exceeded);
        for (const auto& status : fleet.client->loads().status()) EXPECT_EQ(status.outstanding, 0U);
    });
}

TEST_F(Routing, CallersMeasureTheRequestPlane) {
    run([](ClusterTest* test) -> Task<> {
        const CallerMetrics metrics;  // of the process
        const auto counts = [&metrics] {
            return std::vector{
                metrics.queue_seconds.snapshot().count(),
                metrics.send_seconds.snapshot().count(),
                metrics.first_item_seconds.snapshot().count()
            };
        };
        const auto fleet = co_await fleet_of(test, 2, [](std::size_t) { return hold; });
        const Numbers router{*fleet.client};
        const auto before = counts();
        const auto seconds = metrics.first_item_seconds.snapshot().sum;
        auto first = router.generate(1);
        auto second = router.generate(2);
        EXPECT_EQ(co_await first.next(), 1);
        EXPECT_EQ(metrics.inflight.value(), 1);
        EXPECT_EQ(co_await second.next(), 2);
        EXPECT_EQ(metrics.inflight.value(), 2);
        first = {};
        second = {};
        EXPECT_EQ(metrics.inflight.value(), 0);
        auto after = counts();
        for (std::size_t i = 0; i < after.size(); ++i) EXPECT_EQ(after[i], before[i] + 2) << i;
        EXPECT_LT(metrics.first_item_seconds.snapshot().sum, seconds + 20);
        // A call inside of the process is on no plane.
        const Numbers inside{co_await fleet.worker->endpoint(path).client()};
        auto local = inside.generate(3);
        EXPECT_EQ(co_await local.next(), 3);
        EXPECT_EQ(metrics.inflight.value(), 0);
        local = {};
        EXPECT_EQ(counts(), after);
        // Nobody there, nothing measured.
        const Numbers nobody{co_await fleet.caller->endpoint("demo.none.generate").client()};
        EXPECT_FALSE(co_await as_result(nobody.ask(1)));
        EXPECT_EQ(counts(), after);
    });
}

/// Three members of a cluster, each of which asks the next one, and what their handlers saw.
struct Hops {
    struct Notes {
        std::vector<std::string> traces;
        std::vector<Duration> remaining;
        Event last_began;
        Event last_ended;
        CancelReason last_reason = CancelReason::none;
    };
    std::shared_ptr<Notes> notes = std::make_shared<Notes>();
    std::vector<DistributedRuntime> members;
    std::vector<ServedEndpoint> served;
    std::optional<DistributedRuntime> caller;
    std::optional<Numbers> first;
};

void note(Hops::Notes& notes, const Context& context) {
    notes.traces.push_back(context.trace().value().trace_id_text());
    notes.remaining.push_back(context.deadline().remaining());
}

Stream<int> last_hop(std::shared_ptr<Hops::Notes> notes, Context context, int value) {
    note(*notes, context);
    co_yield int{value};
    notes->last_began.set();
    (void
    )co_await as_result([](Context own) -> Task<> { co_await own.stop_token().wait(); }(context));
    notes->last_reason = context.reason();
    notes->last_ended.set();
}

Stream<int> hop(std::shared_ptr<Hops::Notes> notes, Numbers next, Context context, int value) {
    note(*notes, context);
    auto items = next.generate(context.child(), value + 1);
    while (auto item = co_await items.next()) co_yield std::move(*item);
}

Task<Hops> three_hops(ClusterTest* test) {
    Hops hops;
    hops.members.push_back(co_await test->join());
    hops.served.push_back(co_await hops.members.back()
                              .endpoint("hops.c.run")
                              .start([notes = hops.notes](Context context, int value) {
                                  return last_hop(notes, std::move(context), value);
                              }));
    for (const auto& [own, following] :
         {std::pair{"hops.b.run", "hops.c.run"}, std::pair{"hops.a.run", "hops.b.run"}}) {
        hops.members.push_back(co_await test->join());
        const Numbers next{co_await hops.members.back().endpoint(following).client()};
        hops.served.push_back(co_await hops.members.back().endpoint(own).start(
            [notes = hops.notes, next](Context context, int value) {
                return hop(notes, next, std::move(context), value);
            }
        ));
    }
    hops.caller = co_await test->join();
    hops.first.emplace(co_await hops.caller->endpoint("hops.a.run").client());
    co_return hops;
}

Context traced() {
    return Context{{.deadline = Deadline::in(10s), .trace = observe::TraceContext::random()}};
}

TEST_F(Routing, ThreeHopsShareATraceADeadlineAndACancel) {
    expect_within_100_ms([](ClusterTest* test, Duration* took) -> Task<> {
        const auto hops = co_await three_hops(test);
        const auto context = traced();
        auto items = hops.first->generate(context, 1);
        EXPECT_EQ(co_await items.next(), 3);
        co_await hops.notes->last_began.wait();
        const auto begin = Loop::current()->now();
        context.stop();
        while (co_await items.next()) {
        }
        co_await hops.notes->last_ended.wait();
        *took = Loop::current()->now() - begin;
        const auto& [traces, remaining] = std::tie(hops.notes->traces, hops.notes->remaining);
        EXPECT_EQ(traces.size(), 3U);
        for (const auto& trace : traces) EXPECT_EQ(trace, context.trace()->trace_id_text());
        EXPECT_EQ(remaining.size(), 3U);
        for (std::size_t i = 0; i < remaining.size(); ++i) {
            // What is left is less at each hop, by what the way there took.
            const auto before = i == 0 ? Duration{10s} : remaining[i - 1];
            EXPECT_LT(remaining[i], before) << i;
            EXPECT_GT(remaining[i], 5s) << i;
        }
    });
}

TEST_F(Routing, AKilledOrDroppedCallEndsTheLastOfThreeHandlersWithin100Milliseconds) {
    for (const bool dropped : {false, true}) {
        expect_within_100_ms([dropped](ClusterTest* test, Duration* took) -> Task<> {
            const auto hops = co_await three_hops(test);
            const auto context = traced();
            auto items = hops.first->generate(context, 1);
            EXPECT_EQ(co_await items.next(), 3);
            co_await hops.notes->last_began.wait();
            const auto begin = Loop::current()->now();
            if (dropped) {
                items = {};
            } else {
                context.kill();
            }
            co_await hops.notes->last_ended.wait();
            *took = Loop::current()->now() - begin;
            EXPECT_NE(hops.notes->last_reason, CancelReason::none);
        });
    }
}

TEST_F(Routing, ALostConnectionEndsTheLastOfThreeHandlersWithin100Milliseconds) {
    expect_within_100_ms([](ClusterTest* test, Duration* took) -> Task<> {
        auto hops = co_await three_hops(test);
        auto items = hops.first->generate(traced(), 1);
        EXPECT_EQ(co_await items.next(), 3);
        co_await hops.notes->last_began.wait();
        const auto begin = Loop::current()->now();
        // The caller's connections go, in the middle of its call.
        co_await hops.caller->close(Deadline::in(Duration::zero()));
        co_await hops.notes->last_ended.wait();
        *took = Loop::current()->now() - begin;
        EXPECT_FALSE(co_await as_result([](Stream<int>* left) -> Task<> {
            while (co_await left->next()) {
            }
        }(&items)));
    });
}

TEST_F(Routing, ARouterEndsAPipelineWhichAnEndpointServes) {
    run([](ClusterTest* test) -> Task<> {
        auto fleet = co_await fleet_of(test, 2, echoes());
        const auto pipeline =
            frontend<std::string, Task<std::string>>()
                .link(map([](int n) { return std::to_string(n * 2); }))
                .link(map_request([](const std::string& text) { return std::stoi(text); }))
                .link(ask_of(Numbers{*fleet.client}));
        const auto served =
            co_await fleet.caller->endpoint("demo.front.ask").start(handler_of(pipeline));
        const Router<std::string, std::string> router{
            co_await fleet.caller->endpoint("demo.front.ask").client()
        };
        EXPECT_EQ(co_await router.ask("21"), "42");
        const auto streams = frontend<int, int>().link(route_to(Numbers{*fleet.client}));
        EXPECT_EQ(co_await collect(streams.generate({}, 5)), std::vector{5});
    });
}

}  // namespace
}  // namespace stator
// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
