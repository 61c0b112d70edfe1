// Calls by NATS between two members of a cluster, against a real server that is killed and paused.
#include <atomic>
#include <map>
#include <semaphore>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "nats_fixture.hpp"
#include "stator/codec/json.hpp"
#include "stator/observe/metrics.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines): the test outlives every task
namespace stator {
namespace {

using namespace std::chrono_literals;
using namespace testing;  // NOLINT(google-build-using-namespace)

TEST_F(ByNats, AnAnswerComesByACallHome) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto caller = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(letters);
        const auto client = co_await client_of(caller);
        const auto& record = *client.instances()->routable.front();
        EXPECT_EQ(record.transport.kind, discovery::TransportKind::nats_tcp);
        EXPECT_EQ(
            record.transport.address,
            fmt::format("demo_backend.generate-{}", served.instance_id().to_string())
        );
        const Text router{client};
        EXPECT_EQ(co_await ask(router, "hello"), "hello");
        EXPECT_EQ(co_await ask(router, ""), "");
        EXPECT_EQ(co_await ask(router, "mux", {.plane = Plane::mux}), "mux");
        std::vector<Task<std::string>> many;
        for (int i = 0; i < 200; ++i) many.push_back(ask(router, std::to_string(i)));
        const auto answers = co_await when_all(std::move(many));
        for (int i = 0; i < 200; ++i) EXPECT_EQ(answers[i], std::to_string(i));
    });
}

TEST_F(ByNats, AlsoWithSeveralLoops) {
    threads_of(2);
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto caller = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(letters);
        const Text router{co_await client_of(caller)};
        std::vector<Task<std::string>> many;
        for (int i = 0; i < 100; ++i) {
            many.push_back(
                on_loop(test->runtime().primary().loop(i % 2), ask(router, std::to_string(i)))
            );
        }
        const auto answers = co_await when_all(std::move(many));
        for (int i = 0; i < 100; ++i) EXPECT_EQ(answers[i], std::to_string(i));
    });
}

Stream<std::string> echo_all(Context, Stream<std::string> input) {
    while (auto item = co_await input.next()) co_yield std::move(*item);
}

Stream<std::string> three() {
    for (const auto* const item : {"a", "b", "c"}) co_yield std::string{item};
}

TEST_F(ByNats, RequestsThatAreStreams) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto caller = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(echo_all);
        const Text router{co_await client_of(caller)};
        const auto items = co_await collect(router.generate(three(), by_nats));
        EXPECT_EQ(items, (std::vector<std::string>{"a", "b", "c"}));
    });
}

TEST_F(ByNats, NobodyAtTheSubjectIsToldAtOnce) {
    run([](ClusterTest* test) -> Task<> {
        const auto caller = co_await test->join();
        const auto listed = co_await list_subject(caller, "demo_backend.generate-1");
        const Text router{co_await client_of(caller)};
        const auto begin = std::chrono::steady_clock::now();
        const auto asked = co_await as_result(ask(router, "x"));
        EXPECT_FALSE(asked);
        if (!asked) EXPECT_EQ(asked.error().code(), ErrorCode::unavailable);
        EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
    });
}

TEST_F(ByNats, ARefusalSendsTheCallElsewhere) {
    run([](ClusterTest* test) -> Task<> {
        const auto full = co_await test->join();
        const auto other = co_await test->join();
        const auto caller = co_await test->join();
        Event release;
        const auto wait = [&release](Context, std::string text) -> Stream<std::string> {
            return [](Event* until, std::string with) -> Stream<std::string> {
                co_yield std::string{"begun"};
                co_await until->wait();
                co_yield std::move(with);
            }(&release, std::move(text));
        };
        const auto first = co_await full.endpoint(path).start(wait, {.max_inflight = 1});
        const Text router{co_await client_of(caller)};
        auto holding = router.generate("held", by_nats);
        EXPECT_EQ(co_await holding.next(), "begun");
        const auto refused = co_await detail_of(ask(router, "x"));
        EXPECT_EQ(refused, "dynamo.overloaded");
        const auto second = co_await other.endpoint(path).start(letters);
        const Text again{co_await client_of(caller)};
        for (int i = 0; i < 4; ++i) EXPECT_EQ(co_await ask(again, "x"), "x");
        release.set();
        EXPECT_EQ(co_await holding.next(), "held");
        EXPECT_EQ(co_await holding.next(), std::nullopt);
    });
}

TEST_F(ByNats, WhatTheServerWouldNotTakeIsRefusedHere) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto caller = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(letters);
        const Text router{co_await client_of(caller)};
        EXPECT_EQ(co_await detail_of(ask(router, std::string(2U << 20U, 'x'))), "nats.too_large");
        EXPECT_EQ(co_await ask(router, "x"), "x");
    });
}

Task<> load(const Text& router, const bool& stop, int& good, int& bad) {
    while (!stop) {
        const auto answer = co_await as_result(
            ask(router, "ab", {.deadline = Deadline::in(10s), .plane = Plane::dynamo})
        );
        if (answer) {
            EXPECT_EQ(*answer, "ab");
            ++good;
        } else {
            const auto code = answer.error().code();
            EXPECT_TRUE(code == ErrorCode::unavailable || code == ErrorCode::disconnected)
                << answer.error().what();
            ++bad;
            co_await sleep_for(1ms);
        }
    }
}

Task<> more_than(const int& count, int least) {
    while (count <= least) co_await sleep_for(1ms);
}

TEST_F(ByNats, CallsGoOnWhenTheServerComesBack) {
    run([](ClusterTest* base) -> Task<> {
        auto* const test = static_cast<ByNats*>(base);
        const auto worker = co_await test->join();
        const auto caller = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(letters);
        const Text router{co_await client_of(caller)};
        bool stop = false;
        int good = 0;
        int bad = 0;
        TaskScope callers;
        for (int i = 0; i < 8; ++i) callers.spawn(load(router, stop, good, bad));
        for (int round = 0; round < 2; ++round) {
            co_await more_than(good, good + 50);
            const int failed = bad;
            co_await offload(test->servers, [test] { test->server.kill(); });
            co_await more_than(bad, failed);
            co_await offload(test->servers, [test] { test->server.start(); });
        }
        co_await more_than(good, good + 50);
        stop = true;
        co_await callers.join();
    });
}

TEST_F(ByNats, ARunningAnswerNeedsNoServer) {
    run([](ClusterTest* base) -> Task<> {
        auto* const test = static_cast<ByNats*>(base);
        const auto worker = co_await test->join();
        const auto caller = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(letters);
        const Text router{co_await client_of(caller)};
        auto items = router.generate("abc", by_nats);
        EXPECT_EQ(co_await items.next(), "a");
        co_await offload(test->servers, [test] { test->server.kill(); });
        EXPECT_EQ(co_await items.next(), "b");
        EXPECT_EQ(co_await items.next(), "c");
        EXPECT_EQ(co_await items.next(), std::nullopt);
        // Nor does the end wait for it.
        const auto begin = std::chrono::steady_clock::now();
        co_await served.shutdown(Deadline::in(5s));
        co_await worker.close(Deadline::in(1s));
        EXPECT_LT(std::chrono::steady_clock::now() - begin, 6s);
    });
}

TEST_F(ByNats, AServiceForEachComponent) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto caller = co_await test->join();
        const auto nats = caller.nats_client();
        const auto service = [nats](std::string verb) -> Task<std::string> {
            return [](nats::Client client, std::string what) -> Task<std::string> {
                const auto answer = co_await client.request({.subject = what}, Deadline::in(10s));
                co_return answer.payload.to_string();
            }(nats, "$SRV." + std::move(verb) + ".demo_backend");
        };
        EXPECT_EQ(co_await detail_of(service("INFO")), "nats.no_responders");
        const auto one = co_await worker.endpoint(path).start(letters);
        const auto two = co_await worker.endpoint("demo.backend.other").start(letters);
        const auto info = co_await service("INFO");
        const auto id = worker.instance_id().to_string();
        EXPECT_TRUE(info.contains("\"demo_backend-generate-" + id + "\"")) << info;
        EXPECT_TRUE(info.contains("\"demo_backend.other-" + id + "\"")) << info;
        EXPECT_TRUE(info.contains("Dynamo component backend in namespace demo")) << info;
        const Text router{co_await client_of(caller)};
        for (int i = 0; i < 3; ++i) EXPECT_EQ(co_await ask(router, "x"), "x");
        const auto stats = co_await service("STATS");
        EXPECT_TRUE(stats.contains("\"num_requests\":3")) << stats;
        co_await one.shutdown(Deadline::in(5s));
        const auto left = co_await service("INFO");
        EXPECT_FALSE(left.contains("generate")) << left;
        EXPECT_TRUE(left.contains("other")) << left;
        co_await two.shutdown(Deadline::in(5s));
        EXPECT_EQ(co_await detail_of(service("INFO")), "nats.no_responders");
    });
}

/// What STATS has of the application's, by endpoint.
Task<std::map<std::string, std::string>> stats_of(nats::Client nats) {
    const auto answer =
        co_await nats.request({.subject = "$SRV.STATS.demo_backend"}, Deadline::in(10s));
    std::map<std::string, std::string> found;
    const auto told = decode_json(answer.payload.view()).value();
    for (const auto& each : told.at("endpoints")) {
        const auto subject = each.at("subject").get<std::string>();
        const auto name = subject.substr(subject.find('.') + 1);
        found[name.substr(0, name.find('-'))] = each.contains("data") ? each["data"].dump() : "";
    }
    co_return found;
}

TEST_F(ByNats, AnEndpointTellsStatisticsOfItsOwn) {
    std::atomic<int> calls{0};
    run([&calls](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto nats = (co_await test->join()).nats_client();
        const auto serve = [&worker](std::string name, StatsHandler stats) {
            return worker.endpoint("demo.backend." + name)
                .start(letters, {.stats = std::move(stats)});
        };
        const auto good = co_await serve("good", [&calls] {
            return Document{{"slots", {calls.fetch_add(1), 8}}};
        });
        const auto throws = co_await serve("throws", []() -> Document {
            throw std::runtime_error{"no \xff luck"};
        });
        const auto odd = co_await serve("odd", []() -> Document { throw 1; });
        const auto no_text = co_await serve("no_text", [] { return Document("\xff"); });
        const auto without = co_await serve("without", {});
        auto told = co_await stats_of(nats);
        EXPECT_EQ(told.at("good"), R"({"slots":[0,8]})");
        EXPECT_EQ(told.at("throws"), "{\"error\":\"no \xef\xbf\xbd luck\"}");
        EXPECT_EQ(told.at("odd"), R"({"error":"the function throws what is no exception"})");
        EXPECT_TRUE(told.at("no_text").starts_with(R"({"error":")")) << told.at("no_text");
        EXPECT_EQ(told.at("without"), "");
        EXPECT_EQ((co_await stats_of(nats)).at("good"), R"({"slots":[1,8]})");
        co_await good.shutdown(Deadline::in(5s));
        EXPECT_FALSE((co_await stats_of(nats)).contains("good"));
        EXPECT_EQ(calls, 2);
    });
}

struct Slots {
    int taken() const { return 3; }
    int all() const { return 8; }
};

// The snippet of docs/nats.md.
Task<ServedEndpoint> with_statistics(Endpoint endpoint, std::shared_ptr<Slots> slots) {
    const auto generate = letters;
    const auto served =
        co_await endpoint.start(generate, {.stats = [slots] {
                                    return Document{
                                        {"slots_taken", slots->taken()}, {"slots", slots->all()}
                                    };
                                }});
    co_return served;
}

TEST_F(ByNats, TheSnippetOfTheDocuments) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served =
            co_await with_statistics(worker.endpoint(path), std::make_shared<Slots>());
        const auto told = co_await stats_of(worker.nats_client());
        EXPECT_EQ(told.at("generate"), R"({"slots_taken":3,"slots":8})");
    });
}

/// Nobody waits for it but those who ask; one call runs at a time, however many ask.
TEST_F(ByNats, StatisticsThatTakeLongHurtNobody) {
    std::binary_semaphore release{0};
    std::atomic<int> calls{0};
    std::atomic<bool> left{false};
    run([&](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto nats = (co_await test->join()).nats_client();
        const auto slow = co_await worker.endpoint(path).start(letters, {.stats = [&] {
                                                                   ++calls;
                                                                   release.acquire();
                                                                   left = true;
                                                                   return Document(calls.load());
                                                               }});
        const auto quick =
            co_await worker.endpoint("demo.backend.quick").start(letters, {.stats = [] {
                                                                     return Document(1);
                                                                 }});
        for (int i = 0; i < 2; ++i) {
            const auto told = co_await stats_of(nats);
            EXPECT_EQ(
                told.at("generate"),
                R"({"error":"the statistics of demo.backend.generate take longer than 200 ms"})"
            );
            EXPECT_EQ(told.at("quick"), "1");
        }
        EXPECT_EQ(calls, 1);
        const Text router{co_await client_of(co_await test->join())};
        EXPECT_EQ(co_await ask(router, "x"), "x");
        // Its end waits for it, for a while.
        const auto begun = std::chrono::steady_clock::now();
        co_await slow.shutdown(Deadline::in(2s));
        EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
        EXPECT_FALSE(left);
        release.release();
        while (!left) co_await sleep_for(1ms);
        EXPECT_FALSE((co_await stats_of(nats)).contains("generate"));
        EXPECT_EQ(calls, 1);
    });
}

TEST_F(ByNats, AnEndWaitsForStatisticsThatAreMade) {
    std::counting_semaphore<> begun{0};
    std::binary_semaphore release{0};
    std::atomic<bool> left{false};
    run([&](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto nats = (co_await test->join()).nats_client();
        const auto served =
            co_await worker.endpoint(path).start(letters, {.stats = [&] {
                                                     begun.release();
                                                     release.acquire();
                                                     std::this_thread::sleep_for(20ms);
                                                     left = true;
                                                     return Document(1);
                                                 }});
        TaskScope scope;
        scope.spawn([](nats::Client of) -> Task<> { (void)co_await stats_of(of); }(nats));
        BlockingPool pool{1};
        co_await offload(pool, [&] { begun.acquire(); });
        release.release();
        co_await served.shutdown(Deadline::in(10s));
        EXPECT_TRUE(left);
        (void)co_await as_result(scope.join());
        co_await scope.close();
    });
}

TEST_F(ByNats, ItsClientIsMeasuredAsTheOriginals) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto client = worker.nats_client();
        const auto own = co_await client.subscribe({.subjects = {"own"}});
        EXPECT_TRUE(client.publish({.subject = "own", .payload = Bytes::of_static("12345")}));
        EXPECT_TRUE(co_await own.next());
        while (client.counts().out_messages < 2) co_await sleep_for(1ms);  // a moment later
        const auto text = observe::metrics().text();
        const auto value = [&](std::string_view name) {
            const auto line = fmt::format(
                "dynamo_component_nats_client_{}{{instance_id=\"{}\"}} ",
                name,
                worker.instance_id().to_string()
            );
            const auto at = text.find(line);
            return at == text.npos ? -1.0 : std::stod(text.substr(at + line.size()));
        };
        // Its own message, and the round trip after which it had subscribed.
        EXPECT_EQ(value("in_messages"), 2);
        EXPECT_EQ(value("out_messages"), 2);
        EXPECT_EQ(value("in_total_bytes"), 5);
        EXPECT_EQ(value("out_overhead_bytes"), 5);
        EXPECT_EQ(value("connects"), 1);
        EXPECT_EQ(value("connection_state"), 1);
    });
}

TEST_F(ByNats, OneWithoutNatsPassesThemOver) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        test->adjust = {};
        const auto caller = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(letters);
        const Text router{co_await client_of(caller)};
        EXPECT_EQ(co_await detail_of(ask(router, "x")), "component.no_common_plane");
        EXPECT_EQ(co_await ask(router, "x", {}), "x");  // by our own plane
        EXPECT_THROW((void)caller.nats_client(), Error);
    });
}

TEST_F(ByNats, AStartWithoutAServerIsUndone) {
    server.kill();
    run([](ClusterTest* test) -> Task<> {
        const auto adjust = test->adjust;
        test->adjust = [adjust](DistributedConfig& config) {
            adjust(config);
            config.nats.startup_timeout = 100ms;
        };
        EXPECT_EQ(co_await detail_of(test->join()), "nats.unreachable");
    });
}

}  // namespace
}  // namespace stator
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines)
