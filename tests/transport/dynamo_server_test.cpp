// Serving clients of Dynamo's TCP planes: what a worker does with a request, seen from the wire.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dynamo_frontend.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/token_wait.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines): the fixture outlives every task
namespace stator::transport {
namespace {

using namespace test;

/// Sends the request back `n` times.
Serve echo(int n = 1) {
    return [n](ServerCall* call) -> Task<> {
        return [](ServerCall* served, int times) -> Task<> {
            const auto request = must(co_await served->next());
            for (int i = 0; i < times; ++i) {
                if (!served->can_send()) co_await served->writable();
                if (!served->send(request, false)) co_return;
            }
            served->end();
        }(call, n);
    };
}

Error failing(ErrorCode code) { return Error{code, "test.detail", "as the test wants"}; }

class Observer final : public CallObserver {
public:
    void on_stop(CancelReason reason) noexcept override {
        ++stops;
        last = reason;
        changed.set();
    }
    void on_kill(CancelReason reason) noexcept override {
        ++kills;
        last = reason;
    }
    int stops = 0;
    int kills = 0;
    CancelReason last = CancelReason::none;
    Event changed;
};

/// Sends an item a millisecond until it is stopped or killed.
Task<> tick(ServerCall* call, Observer* observer) {
    call->observe(observer);
    const auto request = must(co_await call->next());
    while (observer->stops == 0) {
        if (!call->can_send()) co_await call->writable();
        if (!call->send(request, false)) break;
        co_await sleep_for(1ms);
    }
    call->end();
    call->observe(nullptr);
}

/// Sends one item, then waits for what may come.
Task<> wait_for_kill(ServerCall* call, Observer* observer) {
    call->observe(observer);
    call->send(Bytes::of_static("1"), false);
    const auto ended = co_await as_result([](Event* event) -> Task<> {
        co_await event->wait();
    }(&observer->changed));
    call->observe(nullptr);
    if (!ended) throw ended.error();
    call->end();
}

class DynamoServer : public DynamoServing {
protected:
    Observer observer;
    void serve_ticks() {
        dispatcher.serve = [this](ServerCall* call) { return tick(call, &observer); };
    }
    void serve_40_mib() {
        dispatcher.serve = [](ServerCall* call) -> Task<> {
            return [](ServerCall* served) -> Task<> {
                served->send(Bytes::copy_of('"' + std::string(40U << 20U, 'x') + '"'), true);
                co_return;
            }(call);
        };
    }
    void serve_waiting() {
        dispatcher.serve = [this](ServerCall* call) { return wait_for_kill(call, &observer); };
    }
};

TEST_F(DynamoServer, AnAnswerIsHandshakePrologueItemsFinalSentinel) {
    dispatcher.serve = echo(2);
    run([this]() -> Task<> {
        co_await client.send({.body = "5"});
        EXPECT_EQ(co_await client.ack(), "");
        const auto stream = must(co_await client.listener->accept()).attach();
        const auto expected =
            message_bytes(R"({"subject":"subject","stream_type":"response"})", "") +
            message_bytes(R"({"error":null})", "") +
            message_bytes("", R"({"data":{"data":5},"complete_final":false})") +
            message_bytes("", R"({"data":{"data":5},"complete_final":false})") +
            message_bytes("", R"({"complete_final":true})") + sentinel_word;
        EXPECT_EQ(co_await read_exactly(stream.get(), expected.size()), expected);
        EXPECT_EQ(server->dynamo_connections(), 1U);
    });
}

TEST_F(DynamoServer, BothCodecsAndEverySizeOfItem) {
    dispatcher.serve = echo(3);
    run([this]() -> Task<> {
        for (const std::size_t size : {1U, 100U, 20'000U, 1U << 20U}) {
            const auto body = '"' + std::string(size, 'x') + '"';
            const auto answer = co_await client.call({.body = body});
            EXPECT_TRUE(answer.clean());
            EXPECT_EQ(answer.items, std::vector(3, body)) << size;
        }
        const auto answer =
            co_await client.call({.body = "\xa2hi", .codec = PayloadCodec::msgpack});
        EXPECT_TRUE(answer.clean());
        EXPECT_EQ(answer.items, std::vector(3, std::string{"\xa2hi"}));
        EXPECT_EQ(dispatcher.seen.back().codec, static_cast<int>(PayloadCodec::msgpack));
    });
}

TEST_F(DynamoServer, AnAnswerOf40MiBIsFine) {
    serve_40_mib();
    run([this]() -> Task<> {
        const auto answer = co_await client.call({});
        EXPECT_TRUE(answer.clean());
        EXPECT_EQ(answer.items.at(0).size(), (40U << 20U) + 2);
    });
}

TEST_F(DynamoServer, AnItemBeyondTheLimitFailsTheCallOnly) {
    config.max_item = 1000;
    dispatcher.serve = [](ServerCall* call) -> Task<> {
        return [](ServerCall* served) -> Task<> {
            served->send(Bytes::of_static("1"), false);
            served->send(Bytes::copy_of(std::string(1001, '1')), false);
            co_return;
        }(call);
    };
    run([this]() -> Task<> {
        const auto answer = co_await client.call({});
        EXPECT_EQ(answer.items.size(), 1U);
        EXPECT_EQ(must(answer.error).code(), ErrorCode::payload_too_large);
        EXPECT_TRUE(answer.final && answer.sentinel);
    });
}

TEST_F(DynamoServer, WhatTheFrameSaysReachesTheCall) {
    dispatcher.serve = echo();
    run([this]() -> Task<> {
        co_await client.call(
            {.id = "11111111-2222-4333-8444-555555555555",
             .path = "cf8004e518fe922e/my.ns/comp/ep",
             .metadata = {{"tenant", "blue"}, {"x-stator-remaining-us", "1500000"}, {"b\x01", "x"}},
             .headers =
                 R"({"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=b"})"
            }
        );
        const auto& one = dispatcher.seen.at(0);
        EXPECT_EQ(one.path, "my.ns/comp/ep");
        EXPECT_EQ(one.instance.value(), 0xcf8004e518fe922eU);
        EXPECT_EQ(one.request.to_string(), "11111111-2222-4333-8444-555555555555");
        EXPECT_EQ(one.remaining, 1500ms);
        EXPECT_EQ(one.shape, CallShape::server_streaming);
        EXPECT_EQ(one.codec, static_cast<int>(PayloadCodec::json));
        EXPECT_EQ(one.trace_state, "a=b");
        EXPECT_EQ(one.trace_flags, 1);
        const std::vector<std::pair<std::string, std::string>> headers{{"tenant", "blue"}};
        EXPECT_EQ(one.headers, headers);
    });
}

TEST_F(DynamoServer, AnIdThatIsNoUuidSurvivesAsAHeader) {
    dispatcher.serve = echo();
    run([this]() -> Task<> {
        const std::string id = "11111111-2222-4333-8444-555555555555-0";
        co_await client.call({.id = id});
        co_await client.call({.id = id});
        co_await client.call({.id = id + "1"});
        const auto& seen = dispatcher.seen;
        EXPECT_TRUE(static_cast<bool>(seen.at(0).request));
        EXPECT_EQ(seen.at(0).request, seen.at(1).request);
        EXPECT_NE(seen.at(0).request, seen.at(2).request);
        const std::vector<std::pair<std::string, std::string>> headers{{"request-id", id}};
        EXPECT_EQ(seen.at(0).headers, headers);
    });
}

TEST_F(DynamoServer, RefusalsAreAcknowledgementsInTheOrderOfTheRequests) {
    dispatcher.serve = echo();
    dispatcher.refusals.emplace("ns/comp/full", failing(ErrorCode::overloaded));
    dispatcher.refusals.emplace("ns/comp/ending", failing(ErrorCode::draining));
    dispatcher.refusals.emplace("ns/comp/nobody", failing(ErrorCode::not_found));
    run([this]() -> Task<> {
        std::string frames;
        for (const auto* path :
             {"7b/ns/comp/full",
              "7b/ns/comp/ep",
              "7b/ns/comp/ending",
              "7b/ns/comp/nobody",
              "generate",
              "7b/ns/comp/ep"})
            frames += client.frame({.path = path, .subject = path});
        dispatcher.refusals.emplace("", failing(ErrorCode::not_found));
        co_await write_all(client.connection.get(), frames);
        EXPECT_EQ(co_await client.ack(), "Server overloaded: worker at capacity");
        EXPECT_EQ(co_await client.ack(), "");
        EXPECT_EQ(co_await client.ack(), "Server unavailable: draining: as the test wants");
        EXPECT_EQ(co_await client.ack(), "Server unavailable: unknown endpoint 7b/ns/comp/nobody");
        EXPECT_EQ(co_await client.ack(), "Server unavailable: unknown endpoint generate");
        EXPECT_EQ(co_await client.ack(), "");
        for (int i = 0; i < 2; ++i) {
            const auto answer = co_await client.answer();
            EXPECT_TRUE(answer.clean());
            EXPECT_EQ(answer.subject, "7b/ns/comp/ep");
        }
    });
}

TEST_F(DynamoServer, ARequestThatIsBadInItselfIsAnsweredByAnItem) {
    dispatcher.serve = echo();
    dispatcher.refusals.emplace("ns/comp/other-shape", failing(ErrorCode::invalid_request));
    run([this]() -> Task<> {
        const auto control = dynamo::write_control(client.control({})).value().to_string();
        const auto changed = [&](std::string_view from, std::string_view to) {
            auto text = control;
            return text.replace(text.find(from), from.size(), to);
        };
        const auto many_in = dynamo::write_control(client.control({.many_in = true})).value();
        auto elsewhere = many_in.to_string();
        elsewhere.replace(elsewhere.rfind("tcp_server"), 10, "quic_thing");
        for (const auto& frame : {
                 client.frame({.body = ""}),
                 client.frame({.path = "7b/ns/comp/other-shape"}),
                 client.frame_with({}, changed("single_in", "several_in")),
                 client.frame_with({}, changed(R"("id":"1)", R"("id":"2)")),
                 client.frame_with(
                     {}, changed(R"("payload_codec":"json")", R"("payload_codec":5)")
                 ),
                 client.frame_with({.many_in = true}, elsewhere),
             }) {
            co_await write_all(client.connection.get(), frame);
            EXPECT_EQ(co_await client.ack(), "");
            const auto answer = co_await client.answer();
            EXPECT_TRUE(answer.prologue && answer.final && answer.sentinel);
            EXPECT_EQ(must(answer.error).code(), ErrorCode::invalid_request);
            EXPECT_EQ(answer.subject, "subject");
        }
        EXPECT_TRUE(dispatcher.seen.empty());
    });
}

TEST_F(DynamoServer, ARequestThatCannotBeAnsweredIsRefusedAndCounted) {
    dispatcher.serve = echo();
    run([this]() -> Task<> {
        const auto control = dynamo::write_control(client.control({})).value().to_string();
        auto quic = control;
        quic.replace(quic.find("tcp_server"), 10, "quic-response");
        std::uint64_t before = 0;
        for (const auto& text : {
                 std::string{"{\"connection_info\":5}"},
                 std::string{"no json at all"},
                 std::string{
                     R"({"id":"1","connection_info":{"transport":"tcp_server","info":"{}"}})"
                 },
                 quic,
             }) {
            co_await write_all(client.connection.get(), client.frame_with({}, text));
            const auto ack = co_await client.ack();
            EXPECT_TRUE(ack.starts_with("Server unavailable: ")) << ack;
            EXPECT_EQ(counts.of("dynamo_undecodable_requests_total"), ++before);
        }
        EXPECT_TRUE((co_await client.call({})).clean());  // the connection is as good as before
    });
}

TEST_F(DynamoServer, HoweverARequestIsCut) {
    dispatcher.serve = echo();
    run([this]() -> Task<> {
        const auto frame = client.frame({});
        for (const char letter : frame) {
            co_await write_all(client.connection.get(), std::string{letter});
            co_await yield();
        }
        EXPECT_EQ(co_await client.ack(), "");
        EXPECT_TRUE((co_await client.answer()).clean());
    });
}

TEST_F(DynamoServer, AFrameBeyondTheLimitIsNamedAndEndsTheConnection) {
    run([this]() -> Task<> {
        co_await write_all(
            client.connection.get(), std::string{"\x00\x01\x61\x00\x00\x7f\xff\xff\xff", 9}
        );
        EXPECT_EQ(
            co_await client.ack(),
            "Read error: message too large: 2147483656 bytes (max: 33554432 bytes)"
        );
        EXPECT_EQ(co_await client.ack(), "closed");
        EXPECT_EQ(counts.of("dynamo_violations_total"), 1U);
    });
}

TEST_F(DynamoServer, GarbageIsNamedAndEndsTheConnection) {
    run([this]() -> Task<> {
        for (const auto& garbage :
             {std::string{"GET / HTTP/1.1\r\n\r\n"}, std::string(100, '\0'), std::string{"\x7f\xff"}
             }) {
            const auto stream = net::start_dial(server->address()).value();
            co_await write_all(stream.get(), garbage);
            const auto answer = co_await read_all(stream.get());
            EXPECT_TRUE(answer.substr(4).starts_with("Read error: a path of ")) << answer;
        }
        EXPECT_EQ(counts.of("dynamo_violations_total"), 3U);
        EXPECT_TRUE(counts.reported("dynamo.bad_frame"));
    });
}

TEST_F(DynamoServer, HalfAFrameIsNotWaitedForWithoutABound) {
    config.frame_timeout = 50ms;
    dispatcher.serve = echo();
    run([this]() -> Task<> {
        const auto frame = client.frame({});
        co_await write_all(client.connection.get(), frame + frame.substr(0, frame.size() - 1));
        EXPECT_EQ(co_await client.ack(), "");
        EXPECT_TRUE((co_await client.answer()).clean());
        EXPECT_EQ(co_await client.ack(), "closed");
        EXPECT_TRUE(counts.reported("dynamo.half_frame"));
    });
}

TEST_F(DynamoServer, AnIdleConnectionStays) {
    config.frame_timeout = 20ms;
    dispatcher.serve = echo();
    run([this]() -> Task<> {
        EXPECT_TRUE((co_await client.call({})).clean());
        co_await sleep_for(80ms);
        EXPECT_TRUE((co_await client.call({})).clean());
    });
}

TEST_F(DynamoServer, AnswersOutliveTheConnectionOfTheirRequests) {
    serve_ticks();
    run([this]() -> Task<> {
        co_await client.send({});
        EXPECT_EQ(co_await client.ack(), "");
        client.connection->close();
        auto home = co_await client.home();
        EXPECT_TRUE(co_await until([&] { return server->dynamo_connections() == 0; }));
        co_await write_all(home.stream.get(), stop_word);
        EXPECT_TRUE((co_await rest_of_answer(&home)).clean());
    });
}

TEST_F(DynamoServer, StopReachesTheHandlerWhichEndsInOrder) {
    serve_ticks();
    run([this]() -> Task<> {
        co_await client.send({});
        auto home = co_await client.home();
        co_await write_all(home.stream.get(), stop_word + stop_word);
        const auto answer = co_await rest_of_answer(&home);
        EXPECT_TRUE(answer.clean());
        EXPECT_EQ(observer.stops, 1);
        EXPECT_EQ(observer.last, CancelReason::requested);
    });
}

TEST_F(DynamoServer, AKillKillsAndEndsTheConnection) {
    serve_waiting();
    run([this]() -> Task<> {
        co_await client.send({});
        auto home = co_await client.home();
        co_await write_all(home.stream.get(), kill_word);
        EXPECT_TRUE(co_await until([&] { return observer.kills == 1; }));
        EXPECT_EQ(observer.last, CancelReason::requested);
        const auto answer = co_await rest_of_answer(&home);
        EXPECT_FALSE(answer.final || answer.sentinel);
    });
}

TEST_F(DynamoServer, AResetKillsAtOnce) {
    serve_waiting();
    run([this]() -> Task<> {
        co_await client.send({});
        const auto stream = must(co_await client.listener->accept()).attach();
        co_await read_some(stream.get(), 1);
        stream->close();  // with unread input: a reset
        EXPECT_TRUE(co_await until([&] { return observer.kills == 1; }));
        EXPECT_EQ(observer.last, CancelReason::peer_gone);
    });
}

TEST_F(DynamoServer, AClientThatSaysNoMoreStillGetsEverything) {
    dispatcher.serve = [](ServerCall* call) -> Task<> {
        return [](ServerCall* served) -> Task<> {
            for (int i = 0; i < 20; ++i) {
                served->send(Bytes::copy_of(std::to_string(i)), false);
                co_await sleep_for(1ms);
            }
            served->end();
        }(call);
    };
    run([this]() -> Task<> {
        co_await client.send({});
        auto home = co_await client.home();
        home.stream->shutdown_write();
        const auto answer = co_await rest_of_answer(&home);
        EXPECT_TRUE(answer.clean());
        EXPECT_EQ(answer.items.size(), 20U);
        EXPECT_EQ(co_await read_all(home.stream.get()), "");  // closed at once
    });
}

TEST_F(DynamoServer, AClientThatHasLeftIsNoticedByTheNextWrites) {
    serve_ticks();
    run([this]() -> Task<> {
        co_await client.send({});
        {
            auto home = co_await client.home();
            co_await next_message(&home);  // the prologue; what comes later is refused by a reset
            home.stream->shutdown_write();
        }
        EXPECT_TRUE(co_await until([&] { return observer.kills == 1; }));
        EXPECT_EQ(observer.last, CancelReason::peer_gone);
    });
}

TEST_F(DynamoServer, ErrorsAreItemsBeforeFinalAndSentinel) {
    for (const int items : {0, 2}) {
        dispatcher.serve = [items](ServerCall* call) -> Task<> {
            return [](ServerCall* served, int count) -> Task<> {
                for (int i = 0; i < count; ++i) served->send(Bytes::of_static("1"), false);
                served->fail(failing(ErrorCode::not_found));
                co_return;
            }(call, items);
        };
        run([this, items]() -> Task<> {
            const auto answer = co_await client.call({});
            EXPECT_TRUE(answer.prologue && answer.final && answer.sentinel);
            EXPECT_EQ(answer.items.size(), items);
            EXPECT_EQ(must(answer.error).code(), ErrorCode::not_found);
            EXPECT_EQ(must(answer.error).detail(), "test.detail");
        });
    }
}

TEST_F(DynamoServer, ACallThatIsDroppedWithoutAnEndFails) {
    dispatcher.serve = [](ServerCall*) -> Task<> { return []() -> Task<> { co_return; }(); };
    run([this]() -> Task<> {
        const auto answer = co_await client.call({});
        EXPECT_EQ(must(answer.error).detail(), "transport.abandoned");
        EXPECT_TRUE(answer.final && answer.sentinel);
    });
}

TEST_F(DynamoServer, AHandlerIsHeldUpByASlowClientAndNotForGood) {
    dispatcher.serve = echo(64);
    run([this]() -> Task<> {
        const auto body = '"' + std::string(1U << 20U, 'x') + '"';
        co_await client.send({.body = body});
        auto home = co_await client.home();
        co_await sleep_for(50ms);
        EXPECT_EQ(dispatcher.running, 1);
        const auto answer = co_await rest_of_answer(&home);
        EXPECT_TRUE(answer.clean());
        EXPECT_EQ(answer.items.size(), 64U);
    });
}

TEST_F(DynamoServer, AClientThatDoesNotCloseIsClosed) {
    config.close_timeout = 50ms;
    dispatcher.serve = echo();
    run([this]() -> Task<> {
        co_await client.send({});
        auto home = co_await client.home();
        EXPECT_TRUE((co_await rest_of_answer(&home)).clean());
        EXPECT_EQ(dispatcher.running, 0);  // its slot is free meanwhile
        EXPECT_FALSE((co_await next_message(&home)).has_value());
    });
}

TEST_F(DynamoServer, AnAnswerThatWasSaidAtOnceIsNotHeldOpenForItsClient) {
    dispatcher.serve = echo();
    run([this]() -> Task<> {
        // More than are kept for a moment, and a word that nobody wants any more.
        constexpr std::size_t clients = 200;
        std::vector<Home> homes;
        for (std::size_t i = 0; i < clients; ++i) {
            co_await client.send({});
            homes.push_back(co_await client.home());
            co_await write_all(homes.back().stream.get(), stop_word);
        }
        for (auto& home : homes) {
            EXPECT_TRUE((co_await rest_of_answer(&home)).clean());
            EXPECT_FALSE((co_await next_message(&home)).has_value()) << "closed, not reset";
        }
        EXPECT_EQ(dispatcher.running, 0);
    });
}

TEST_F(DynamoServer, AClientThatDoesNotReadTheEndIsClosed) {
    config.close_timeout = 50ms;
    serve_40_mib();
    run([this]() -> Task<> {
        co_await client.send({});
        auto home = co_await client.home();
        EXPECT_TRUE(co_await until([&] { return dispatcher.running == 0; }));
        co_await sleep_for(200ms);
        EXPECT_FALSE((co_await rest_of_answer(&home)).sentinel);
    });
}

// --- the request is a stream -----------------------------------------------------------------

/// Answers each item with itself.
Task<> mirror(ServerCall* call) {
    while (auto item = co_await call->next()) {
        if (!call->can_send()) co_await call->writable();
        if (!call->send(std::move(*item), false)) co_return;
    }
    call->end();
}

class DynamoInputs : public DynamoServer {
public:
    /// Both connections of a call.
    Task<> begin() {
        co_await client.send({.many_in = true});
        EXPECT_EQ(co_await client.ack(), "");
        input = co_await client.home();
        EXPECT_EQ(input.subject, "subject-in");
        EXPECT_EQ(input.type, dynamo::StreamType::request);
        home = co_await client.home();
        EXPECT_EQ(home.subject, "subject");
        EXPECT_EQ(home.type, dynamo::StreamType::response);
    }
    Task<> put(std::string bytes) { co_await write_all(input.stream.get(), std::move(bytes)); }
};

TEST_F(DynamoInputs, ItemsComeBareUntilTheSentinel) {
    dispatcher.serve = mirror;
    run([this]() -> Task<> {
        co_await begin();
        EXPECT_EQ(dispatcher.seen.at(0).shape, CallShape::bidirectional);
        co_await put(message_bytes("", "1") + message_bytes("", "2"));
        co_await put(message_bytes("", "3") + sentinel_word);
        const auto answer = co_await rest_of_answer(&home);
        EXPECT_TRUE(answer.clean());
        EXPECT_EQ(answer.items, (std::vector<std::string>{"1", "2", "3"}));
        EXPECT_FALSE((co_await next_message(&input)).has_value());
    });
}

TEST_F(DynamoInputs, StopOnEitherConnectionStopsOnce) {
    dispatcher.serve = [this](ServerCall* call) -> Task<> {
        call->observe(&observer);
        return [](ServerCall* served) -> Task<> {
            co_await mirror(served);
            served->observe(nullptr);
        }(call);
    };
    run([this]() -> Task<> {
        co_await begin();
        co_await put(message_bytes("", "1"));
        co_await put(stop_word);
        co_await write_all(home.stream.get(), stop_word);
        const auto answer = co_await rest_of_answer(&home);
        EXPECT_TRUE(answer.clean());
        EXPECT_EQ(observer.stops, 1);
    });
}

TEST_F(DynamoInputs, KillAndEveryOtherEndKill) {
    dispatcher.serve = [this](ServerCall* call) -> Task<> {
        call->observe(&observer);
        return [](ServerCall* served) -> Task<> {
            const auto ended = co_await as_result(mirror(served));
            served->observe(nullptr);
            if (!ended) throw ended.error();
        }(call);
    };
    run([this]() -> Task<> {
        const std::vector<std::pair<std::string, CancelReason>> ends{
            {kill_word, CancelReason::requested},
            {"", CancelReason::peer_gone},
            {message_bytes("\"other\"", ""), CancelReason::peer_gone},
            {message_bytes("\"sentinel\"", "1"), CancelReason::peer_gone},
            {std::string(24, '\xff'), CancelReason::peer_gone},
        };
        for (const auto& [bytes, reason] : ends) {
            observer.kills = 0;
            co_await begin();
            co_await put(message_bytes("", "1") + bytes);
            if (bytes.empty()) input.stream->shutdown_write();
            EXPECT_TRUE(co_await until([&] { return observer.kills == 1; }));
            EXPECT_EQ(observer.last, reason);
            const auto answer = co_await rest_of_answer(&home);
            EXPECT_FALSE(answer.final || answer.sentinel);
        }
    });
}

TEST_F(DynamoInputs, AHandlerThatEndsFirstClosesTheInput) {
    dispatcher.serve = [](ServerCall* call) -> Task<> {
        return [](ServerCall* served) -> Task<> {
            co_await served->next();
            throw failing(ErrorCode::invalid_request);
        }(call);
    };
    run([this]() -> Task<> {
        co_await begin();
        co_await put(message_bytes("", "1"));
        EXPECT_FALSE((co_await next_message(&input)).has_value());
        const auto answer = co_await rest_of_answer(&home);
        EXPECT_EQ(must(answer.error).code(), ErrorCode::invalid_request);
        EXPECT_TRUE(answer.final && answer.sentinel);
    });
}

TEST_F(DynamoInputs, AHandlerThatLagsHoldsTheClientUp) {
    config.input_window = 64U << 10U;
    config.process = std::make_shared<BufferBudget>(1U << 30U);
    Event go;
    dispatcher.serve = [&go](ServerCall* call) -> Task<> {
        return [](ServerCall* served, Event* begin) -> Task<> {
            co_await begin->wait();
            std::size_t count = 0;
            while (co_await served->next()) ++count;
            served->send(Bytes::copy_of(std::to_string(count)), true);
        }(call, &go);
    };
    run([&, this]() -> Task<> {
        co_await begin();
        EXPECT_EQ(config.process->windows(), 64U << 10U);
        const auto block = message_bytes("", std::string(16U << 10U, '7'));
        std::size_t sent = 0;
        for (;;) {
            const iovec part{const_cast<char*>(block.data()), block.size()};
            const auto written = input.stream->try_write({&part, 1}).value();
            if (written < block.size()) {
                // The kernels are full: nobody reads.
                const auto rest = block.substr(written);
                go.set();
                co_await put(rest);
                ++sent;
                break;
            }
            ++sent;
            co_await yield();
            if (sent > 100'000) break;
        }
        EXPECT_LT(sent, 10'000U);
        co_await put(sentinel_word);
        const auto answer = co_await rest_of_answer(&home);
        EXPECT_TRUE(answer.clean());
        EXPECT_EQ(answer.items.at(0), std::to_string(sent));
    });
    EXPECT_EQ(config.process->windows(), 0U);
}

}  // namespace
}  // namespace stator::transport
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines)
