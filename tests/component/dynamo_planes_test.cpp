// Routing over a set in which workers speak different planes.
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cluster_fixture.hpp"
#include "stator/codec/json.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/transport/call_home_server.hpp"
#include "tests/transport/dynamo_worker.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines): the test outlives every task
namespace stator {
namespace {

using namespace std::chrono_literals;
using namespace transport::dynamo::test;
using testing::ClusterTest;
using testing::collect;
using Text = Router<std::string, std::string>;
namespace dynamo = transport::dynamo;

constexpr auto path = "demo.backend.generate";

/// What a scripted worker registers under.
struct Registered {
    discovery::Registration registration;
    InstanceId id;
};

Task<Registered> publish(
    DistributedRuntime cluster,
    std::string address,
    std::optional<PayloadCodec> codec = PayloadCodec::msgpack,
    discovery::TransportKind kind = discovery::TransportKind::tcp
) {
    discovery::Instance instance;
    instance.endpoint = EndpointId::parse(path).value();
    instance.id = InstanceId::random();
    instance.transport = {kind, std::move(address)};
    instance.request_plane_codec = codec;
    auto lease = co_await cluster.discovery().store()->grant_lease({});
    const auto id = instance.id;
    co_return Registered{
        co_await cluster.discovery().publish(std::move(instance), std::move(lease)), id
    };
}

/// Answers with the request and `name`, in the request's codec.
Worker::Script echo(std::string name) {
    return [name](Request request) -> Task<> {
        const auto codec = request.control.codec;
        co_await request.ack();
        const auto peer = co_await request.call_home();
        co_await peer->write(frame_of([&](dynamo::Output& out) {
            dynamo::put_prologue(out);
            dynamo::put_item(out, codec, request.body);
            dynamo::put_item(out, codec, Payload<std::string>::encode(name, codec).value());
            dynamo::put_final(out, codec);
            dynamo::put_word(out, dynamo::Word::sentinel);
        }));
        (void)co_await peer->read_all();
    };
}

Worker::Script refuse(std::string why) {
    return [why](Request request) -> Task<> { return request.ack(why); };
}

class DynamoPlanes : public ClusterTest {
public:
    Task<Worker*> start(Worker::Script script) {
        workers_.push_back(std::make_unique<Worker>(std::move(script)));
        co_await workers_.back()->start();
        co_return workers_.back().get();
    }
    Task<> close() {
        for (const auto& worker : workers_) co_await worker->close();
        workers_.clear();
    }
    /// Runs `body`, then ends the workers on the same loop.
    void play(std::function<Task<>(DynamoPlanes*)> body) {
        run([&](ClusterTest*) -> Task<> {
            const auto ended = co_await as_result(body(this));
            co_await close();
            if (!ended) throw ended.error();
        });
    }
    static Task<Client> client_of(DistributedRuntime cluster, std::size_t instances) {
        auto client = co_await cluster.endpoint(path).client();
        while (client.instances()->members.size() < instances) co_await sleep_for(1ms);
        co_return client;
    }
    static Task<std::size_t> routable(Client client, std::size_t wanted) {
        while (client.instances()->routable.size() != wanted) co_await sleep_for(1ms);
        co_return wanted;
    }

private:
    std::vector<std::unique_ptr<Worker>> workers_;
};

Stream<std::string> ours(Context, std::string text) {
    co_yield std::move(text);
    co_yield std::string{"ours"};
}

TEST_F(DynamoPlanes, ASetMixesWorkersAndCodecs) {
    play([](DynamoPlanes* test) -> Task<> {
        const auto* msgpack = co_await test->start(echo("msgpack"));
        const auto* json = co_await test->start(echo("json"));
        const auto* nats = co_await test->start(refuse("never asked"));
        const auto cluster = co_await test->join();
        const auto server = co_await test->join();
        const auto served = co_await server.endpoint(path).start(ours);
        auto a = co_await publish(cluster, msgpack->address() + "/x/generate");
        auto b = co_await publish(cluster, json->address() + "/y", std::nullopt);
        auto c = co_await publish(cluster, "some_subject", {}, discovery::TransportKind::nats_tcp);
        const auto client = co_await DynamoPlanes::client_of(cluster, 4);
        const Text router{client};
        std::multiset<std::string> answered;
        for (int i = 0; i < 12; ++i) {
            const auto items = co_await collect(router.generate("h\u00e9"));
            EXPECT_EQ(items.size(), 2U);
            EXPECT_EQ(items.front(), "h\u00e9");
            answered.insert(items.back());
        }
        for (const auto* const name : {"msgpack", "json", "ours"})
            EXPECT_GE(answered.count(name), 3U) << name;
        EXPECT_EQ(nats->requests, 0);
        // One plane only.
        answered.clear();
        for (int i = 0; i < 4; ++i)
            answered.insert(
                (co_await collect(router.generate("x", CallOptions{.plane = Plane::mux}))).back()
            );
        EXPECT_EQ(answered.count("ours"), 4U);
        // A unary call and one in JSON.
        EXPECT_EQ(co_await router.ask("one", CallOptions{.codec = PayloadCodec::json}), "one");
        EXPECT_EQ(
            co_await Text(client, RouterMode::direct).ask("two", CallOptions{.instance = a.id}),
            "two"
        );
    });
}

TEST_F(DynamoPlanes, WithoutACommonPlaneTheErrorSaysSo) {
    play([](DynamoPlanes* test) -> Task<> {
        const auto cluster = co_await test->join();
        auto a = co_await publish(cluster, "some_subject", {}, discovery::TransportKind::nats_tcp);
        const auto client = co_await DynamoPlanes::client_of(cluster, 1);
        for (const auto mode : {RouterMode::round_robin, RouterMode::direct}) {
            const auto asked =
                co_await as_result(Text(client, mode).ask("x", CallOptions{.instance = a.id}));
            EXPECT_EQ(asked.error().detail(), "component.no_common_plane");
        }
    });
}

TEST_F(DynamoPlanes, RefusalsGoElsewhereAndPutTheInstanceAside) {
    play([](DynamoPlanes* test) -> Task<> {
        const auto* good = co_await test->start(echo("good"));
        auto* bad = co_await test->start(refuse("Server unavailable: no"));
        auto* full = co_await test->start(refuse("Server overloaded: worker at capacity"));
        const auto cluster = co_await test->join();
        auto a = co_await publish(cluster, good->address() + "/g");
        auto b = co_await publish(cluster, bad->address() + "/b");
        auto c = co_await publish(cluster, full->address() + "/f");
        const auto client = co_await DynamoPlanes::client_of(cluster, 3);
        const Text router{client};
        for (int i = 0; i < 9; ++i)
            EXPECT_EQ((co_await collect(router.generate("x"))).back(), "good");
        EXPECT_EQ(bad->requests, 1);
        EXPECT_LE(full->requests, 3);
        EXPECT_EQ(client.instances()->find(b.id)->standing, discovery::Standing::refusing);
        // Full ones come back soon.
        co_await DynamoPlanes::routable(client, 2);
    });
}

TEST_F(DynamoPlanes, AWorkerThatDoesNotAcknowledgeIsPutAsideAndGetsAnotherConnectionLater) {
    play([](DynamoPlanes* test) -> Task<> {
        bool silent = true;
        auto* mute = co_await test->start([&silent](Request request) -> Task<> {
            if (!silent) co_await echo("mute")(request);
        });
        const auto* good = co_await test->start(echo("good"));
        test->adjust = [](DistributedConfig& config) { config.dynamo.ack_timeout = 50ms; };
        const auto cluster = co_await test->join();
        auto a = co_await publish(cluster, mute->address() + "/m");
        const auto client = co_await DynamoPlanes::client_of(cluster, 1);
        const Text router{client};
        const auto alone = co_await as_result(collect(router.generate("x")));
        EXPECT_FALSE(alone);
        if (!alone) EXPECT_EQ(alone.error().detail(), "dynamo.no_ack");
        EXPECT_EQ(client.instances()->find(a.id)->standing, discovery::Standing::refusing);
        auto b = co_await publish(cluster, good->address() + "/g");
        co_await DynamoPlanes::routable(client, 1);
        for (int i = 0; i < 6; ++i)
            EXPECT_EQ((co_await collect(router.generate("x"))).back(), "good");
        EXPECT_EQ(mute->requests, 1);
        EXPECT_EQ(mute->connections, 1);
        // Whoever insists gets a connection on which nothing is owed.
        silent = false;
        const Text direct{client, RouterMode::direct};
        const auto items = co_await collect(direct.generate("x", CallOptions{.instance = a.id}));
        EXPECT_EQ(items.back(), "mute");
        EXPECT_EQ(mute->connections, 2);
    });
}

TEST_F(DynamoPlanes, AFailedStartOfTheCallHomeServerMayBeRetried) {
    play([](DynamoPlanes* test) -> Task<> {
        const auto* worker = co_await test->start(echo("w"));
        auto taken = co_await net::Listener::bind({"127.0.0.1", 0});
        const auto port = taken->address().port;
        test->adjust = [port](DistributedConfig& config) { config.response_port = port; };
        const auto cluster = co_await test->join();
        auto a = co_await publish(cluster, worker->address() + "/g");
        const auto client = co_await DynamoPlanes::client_of(cluster, 1);
        const Text router{client};
        const auto failed = co_await as_result(cluster.tcp_server());
        EXPECT_FALSE(failed);
        if (!failed) EXPECT_EQ(failed.error().detail(), "net.cannot_bind");
        const auto asked = co_await as_result(router.ask("x"));
        EXPECT_FALSE(asked);
        if (!asked) EXPECT_EQ(asked.error().code(), ErrorCode::already_exists);
        taken.reset();
        EXPECT_EQ((co_await cluster.tcp_server())->address(), fmt::format("127.0.0.1:{}", port));
        EXPECT_EQ(co_await router.ask("x"), "x");
    });
}

TEST_F(DynamoPlanes, TheOnlyWorkerIsFullForAMomentOnly) {
    play([](DynamoPlanes* test) -> Task<> {
        bool full = true;
        const auto script = [&full](Request request) -> Task<> {
            if (full) co_return co_await request.ack("Server overloaded: worker at capacity");
            co_await echo("free")(request);
        };
        const auto* worker = co_await test->start(script);
        const auto cluster = co_await test->join();
        auto a = co_await publish(cluster, worker->address() + "/g");
        const auto client = co_await DynamoPlanes::client_of(cluster, 1);
        const Text router{client};
        for (int i = 0; i < 2; ++i) {
            const auto asked = co_await as_result(router.ask("x"));
            EXPECT_EQ(asked.error().code(), ErrorCode::overloaded);
        }
        full = false;
        co_await DynamoPlanes::routable(client, 1);
        EXPECT_EQ(co_await router.ask("x"), "x");
    });
}

TEST_F(DynamoPlanes, ACallThatWaitsForAWorkerThatLeavesGoesElsewhere) {
    play([](DynamoPlanes* test) -> Task<> {
        auto* silent = co_await test->start([](Request request) { return request.ack(); });
        const auto* good = co_await test->start(echo("good"));
        const auto cluster = co_await test->join();
        auto a = co_await publish(cluster, silent->address() + "/s");
        const auto client = co_await DynamoPlanes::client_of(cluster, 1);
        const Text router{client};
        auto leave = [](DynamoPlanes*,
                        Worker* worker,
                        DistributedRuntime all,
                        std::string other,
                        Registered* registered) -> Task<> {
            while (worker->requests == 0) co_await sleep_for(1ms);
            auto b = co_await publish(all, other + "/g");
            (void)co_await registered->registration.unpublish(Deadline::in(5s));
            while (true) co_await sleep_for(1h);
        }(test, silent, cluster, good->address(), &a);
        const auto done = co_await when_any(
            collect(router.generate("x", CallOptions{.deadline = Deadline::in(5s)})),
            std::move(leave)
        );
        EXPECT_EQ(std::get<0>(done), (std::vector<std::string>{"x", "good"}));
    });
}

TEST_F(DynamoPlanes, AnInputStreamReachesAWorker) {
    play([](DynamoPlanes* test) -> Task<> {
        const auto* worker = co_await test->start([](Request request) -> Task<> {
            co_await request.ack();
            const auto from = co_await request.call_home_for_input();
            const auto peer = co_await request.call_home();
            co_await peer->write(frame_of([](dynamo::Output& out) { dynamo::put_prologue(out); }));
            while (const auto message = co_await from->read()) {
                if (!message->header.empty()) break;
                co_await peer->write(frame_of([&](dynamo::Output& out) {
                    dynamo::put_item(out, request.control.codec, message->body);
                }));
            }
            co_await peer->write(frame_of([&](dynamo::Output& out) {
                dynamo::put_final(out, request.control.codec);
                dynamo::put_word(out, dynamo::Word::sentinel);
            }));
            (void)co_await peer->read_all();
        });
        const auto cluster = co_await test->join();
        auto a = co_await publish(cluster, worker->address() + "/g", PayloadCodec::json);
        const auto client = co_await DynamoPlanes::client_of(cluster, 1);
        const auto letters = []() -> Stream<std::string> {
            for (const char letter : {'a', 'b', 'c'}) co_yield std::string(1, letter);
        };
        EXPECT_EQ(
            co_await collect(Text{client}.generate(letters())),
            (std::vector<std::string>{"a", "b", "c"})
        );
    });
}

Stream<std::string> endless(int* made) {
    for (;; ++*made) co_yield std::string(1000, 'x');
}

TEST_F(DynamoPlanes, AnInputThatTheWorkerHasClosedIsPulledNoFurther) {
    play([](DynamoPlanes* test) -> Task<> {
        const auto* worker = co_await test->start([](Request request) -> Task<> {
            co_await request.ack();
            const auto from = co_await request.call_home_for_input();
            const auto peer = co_await request.call_home();
            co_await peer->write(frame_of([](dynamo::Output& out) { dynamo::put_prologue(out); }));
            (void)co_await from->read();
            from->close();
            co_await sleep_for(100ms);
            co_await peer->write(frame_of([&](dynamo::Output& out) {
                dynamo::put_final(out, request.control.codec);
                dynamo::put_word(out, dynamo::Word::sentinel);
            }));
            (void)co_await peer->read_all();
        });
        const auto cluster = co_await test->join();
        auto a = co_await publish(cluster, worker->address() + "/g", PayloadCodec::json);
        const auto client = co_await DynamoPlanes::client_of(cluster, 1);
        int made = 0;
        const auto items = co_await collect(Text{client}.generate(endless(&made)));
        EXPECT_TRUE(items.empty());
        EXPECT_LT(made, 20'000) << "more than two kernels keep";
    });
}

class ManyLoops : public DynamoPlanes {
protected:
    ManyLoops() { threads = 3; }
};

TEST_F(ManyLoops, AHundredFirstCallersGetOneServer) {
    play([](DynamoPlanes* test) -> Task<> {
        const auto cluster = co_await test->join();
        std::vector<Task<std::shared_ptr<transport::CallHomeServer>>> asked;
        const auto primary = test->runtime().primary();
        for (std::size_t i = 0; i < 100; ++i)
            asked.push_back(on_loop(primary.loop(i % primary.size()), cluster.tcp_server()));
        const auto servers = co_await when_all(std::move(asked));
        for (const auto& server : servers) EXPECT_EQ(server, servers.front());
    });
}

TEST_F(ManyLoops, AnswersReachTheLoopOfTheirCall) {
    play([](DynamoPlanes* test) -> Task<> {
        const auto* worker = co_await test->start(echo("w"));
        const auto cluster = co_await test->join();
        auto a = co_await publish(cluster, worker->address() + "/g");
        const auto client = co_await DynamoPlanes::client_of(cluster, 1);
        const auto primary = test->runtime().primary();
        std::vector<Task<std::vector<std::string>>> calls;
        const Text router{client};
        for (std::size_t i = 0; i < 60; ++i) {
            calls.push_back(on_loop(primary.loop(i % primary.size()), collect(router.generate("x")))
            );
        }
        for (const auto& items : co_await when_all(std::move(calls)))
            EXPECT_EQ(items, (std::vector<std::string>{"x", "w"}));
    });
}

using Noted = Annotated<int>;

/// A remark, a value, a value with something said about it, another that is null.
Stream<Noted> annotated_items(Context, int value) {
    co_yield Noted::from_annotation("stage", "begun");
    co_yield Noted::from_data(int{value});
    co_yield Noted{.data = value + 1, .id = "2", .event = "progress", .comment = {"a", "b"}};
}

TEST_F(DynamoPlanes, AnnotatedItemsKeepWhatIsSaidOnEveryPlane) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(annotated_items);
        const auto caller = co_await test->join();
        const auto client = co_await caller.endpoint(path).client();
        co_await client.wait_for_instances(Deadline::in(5s));
        const std::vector expected{
            Noted::from_annotation("stage", "begun"),
            Noted::from_data(7),
            Noted{.data = 8, .id = "2", .event = "progress", .comment = {"a", "b"}}
        };
        const Router<int, Noted> router{client};
        for (const auto plane : {Plane::mux, Plane::dynamo}) {
            for (const auto codec : {PayloadCodec::json, PayloadCodec::msgpack}) {
                const CallOptions options{.codec = codec, .plane = plane};
                EXPECT_EQ(co_await collect(router.generate(7, options)), expected)
                    << to_string(plane);
            }
        }
        // Those who know nothing of annotations see the values, as the original's do.
        const Router<int, int> plain{client};
        EXPECT_EQ(
            co_await collect(plain.generate(7, {.plane = Plane::dynamo})), (std::vector{7, 8})
        );
    });
}

TEST_F(DynamoPlanes, AnAnnotatedErrorIsTheOriginalsErrorItem) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto served =
            co_await worker.endpoint(path).start([](Context, int value) -> Stream<Noted> {
                co_yield Noted::from_data(int{value});
                co_yield Noted::from_error(Error{ErrorCode::draining, "test.going", "bye"});
            });
        const auto caller = co_await test->join();
        const auto client = co_await caller.endpoint(path).client();
        co_await client.wait_for_instances(Deadline::in(5s));
        const auto check = [](auto items) -> Task<> {
            EXPECT_TRUE(co_await items.next());
            const auto failed = co_await as_result([](auto* rest) -> Task<> {
                (void)co_await rest->next();
            }(&items));
            EXPECT_FALSE(failed);
            if (failed) co_return;
            EXPECT_EQ(failed.error().code(), ErrorCode::draining);
            EXPECT_EQ(failed.error().detail(), "test.going");
            EXPECT_EQ(failed.error().message(), "bye");
        };
        co_await check(Router<int, Noted>{client}.generate(7, {.plane = Plane::dynamo}));
        co_await check(Router<int, int>{client}.generate(7, {.plane = Plane::dynamo}));
    });
}

}  // namespace
}  // namespace stator
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines)
