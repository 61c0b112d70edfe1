// DynamoCall and its pool against a scripted worker on real sockets.
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "dynamo_call_fixture.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/event.hpp"
#include "transport/carrier_metrics.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines): the fixture outlives every task
namespace stator::transport {
namespace {

TEST_F(DynamoCallTest, TheRequestSaysWhatTheOriginalsDoes) {
    std::optional<Request> seen;
    run(
        [&](Request request) -> Task<> {
            seen = request;
            seen->connection.reset();  // it belongs to the loop, which ends before
            co_await request.ack();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue() + final_frame() + sentinel());
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            auto call = make_call(co_await pool->connect(worker->address()));
            auto said = head();
            const std::vector<HeaderField> fields{{"tenant", "blue"}};
            said.headers = fields;
            said.remaining = 1500ms;
            said.trace = TraceContext{};
            said.trace->trace_id.fill(std::byte{0xab});
            said.trace->span_id.fill(std::byte{0xcd});
            said.trace->flags = 1;
            said.trace->state = "a=b";
            EXPECT_TRUE(call->open(said, Bytes::copy_of(request_text)));
            const auto outcome = co_await finish(call.get());
            EXPECT_FALSE(outcome.error);
            EXPECT_TRUE(outcome.items.empty());
            EXPECT_EQ(seen->path, "1f/a/b/c");
            EXPECT_EQ(seen->headers.request_id, said.request.to_string());
            EXPECT_EQ(seen->headers.endpoint_path, "1f/a/b/c");
            EXPECT_TRUE(seen->headers.sent_at_ns);
            EXPECT_EQ(
                seen->headers.traceparent, "00-abababababababababababababababab-cdcdcdcdcdcdcdcd-01"
            );
            EXPECT_EQ(seen->headers.tracestate, "a=b");
            EXPECT_EQ(seen->control.id, said.request.to_string());
            EXPECT_EQ(seen->control.connection.context, said.request.to_string());
            EXPECT_EQ(seen->control.connection.address, home->address());
            EXPECT_FALSE(seen->control.many_in);
            EXPECT_EQ(seen->control.codec, PayloadCodec::json);
            using Pair = std::pair<std::string, std::string>;
            EXPECT_EQ(
                seen->control.metadata,
                (std::vector<Pair>{{"tenant", "blue"}, {"x-stator-remaining-us", "1500000"}})
            );
            EXPECT_EQ(seen->body.view(), request_text);
        }
    );
}

/// What a worker answers after its acknowledgement, and what the caller sees of it.
struct AnswerCase {
    std::string_view name;
    std::string bytes;  ///< behind the handshake
    bool closes = false;
    std::vector<std::string> items;
    std::optional<ErrorCode> code;
    std::string_view detail;
    CallFate fate = CallFate::accepted;
    bool killed = false;  ///< the worker is told to end
};

std::vector<AnswerCase> answer_cases() {
    using enum ErrorCode;
    const auto error_item = [](std::string_view annotated) {
        return prologue() + item("1") +
               body_frame(fmt::format(R"({{"data":{},"complete_final":false}})", annotated));
    };
    const std::string one = prologue() + item("1");
    std::vector<AnswerCase> cases;
    const auto add = [&cases](AnswerCase made) { cases.push_back(std::move(made)); };
    add({"two items", one + item("2") + final_frame() + sentinel(), false, {"1", "2"}, {}, ""});
    add({"no items", prologue() + final_frame() + sentinel(), false, {}, {}, ""});
    add({"final, then a close", one + final_frame(), true, {"1"}, {}, ""});
    add({"a null", prologue() + item("null") + final_frame() + sentinel(), false, {"null"}, {}, ""}
    );
    add(
        {"final with data",
         one + body_frame(R"({"data":{"data":2},"complete_final":true})") + sentinel(),
         false,
         {"1", "2"},
         {},
         ""}
    );
    add(
        {"annotations alone are no item",
         one + body_frame(R"({"data":{"event":"note","comment":["c"]},"complete_final":false})") +
             final_frame() + sentinel(),
         false,
         {"1"},
         {},
         ""}
    );
    add(
        {"sentinel without final",
         one + sentinel(),
         false,
         {"1"},
         disconnected,
         "dynamo.stream_incomplete"}
    );
    add({"a close without final", one, true, {"1"}, disconnected, "dynamo.stream_incomplete"});
    add(
        {"a close before the prologue",
         "",
         true,
         {},
         disconnected,
         "dynamo.lost_before_prologue",
         CallFate::not_accepted}
    );
    add(
        {"an item behind the final frame",
         one + final_frame() + item("2"),
         false,
         {"1"},
         protocol,
         "dynamo.item_after_end",
         CallFate::accepted,
         true}
    );
    add(
        {"an empty item",
         one + body_frame(R"({"complete_final":false})"),
         false,
         {"1"},
         protocol,
         "dynamo.empty_item",
         CallFate::accepted,
         true}
    );
    add(
        {"no item at all",
         one + body_frame("nonsense"),
         false,
         {"1"},
         protocol,
         "dynamo.bad_item",
         CallFate::accepted,
         true}
    );
    add(
        {"sentinel with a body",
         one + frame_of([](dynamo::Output& out) {
             dynamo::put_message(out, "\"sentinel\"", Bytes::of_static("x"));
         }),
         false,
         {"1"},
         disconnected,
         "dynamo.bad_word",
         CallFate::accepted,
         true}
    );
    add(
        {"an unknown word",
         one + header_frame("\"what\""),
         false,
         {"1"},
         disconnected,
         "dynamo.bad_word",
         CallFate::accepted,
         true}
    );
    add(
        {"a failed prologue",
         header_frame(R"({"error":"no way"})") + sentinel(),
         false,
         {},
         unavailable,
         "dynamo.prologue",
         CallFate::not_accepted}
    );
    add(
        {"a prologue that blames the request",
         header_frame(
             R"({"error":"e","typed_error":{"error_type":{"Backend":"InvalidArgument"},)"
             R"("class":"InvalidRequest","reason":"backend.invalid_argument","message":"bad"}})"
         ) + sentinel(),
         false,
         {},
         invalid_request,
         "backend.invalid_argument",
         CallFate::not_accepted}
    );
    add(
        {"a garbage prologue",
         header_frame("[[[["),
         false,
         {},
         protocol,
         "dynamo.bad_prologue",
         CallFate::not_accepted,
         true}
    );
    add(
        {"an item for a prologue",
         item("1"),
         false,
         {},
         protocol,
         "dynamo.bad_prologue",
         CallFate::not_accepted,
         true}
    );
    add(
        {"an error item",
         error_item(R"({"event":"error","error":{"error_type":{"Backend":"InvalidArgument"},)"
                    R"("class":"InvalidRequest","reason":"backend.invalid_argument",)"
                    R"("message":"ValueError: boom"}})"),
         false,
         {"1"},
         invalid_request,
         "backend.invalid_argument",
         CallFate::accepted,
         true}
    );
    add(
        {"an old error item",
         error_item(R"({"event":"error","comment":["it","broke"]})"),
         false,
         {"1"},
         internal,
         "dynamo.error",
         CallFate::accepted,
         true}
    );
    add(
        {"an item that is too large",
         prologue() + item(fmt::format("\"{:*>9000}\"", "")),
         false,
         {},
         payload_too_large,
         "dynamo.frame_too_large",
         CallFate::accepted,
         true}
    );
    add(
        {"an oversize header",
         std::string("\0\0\0\0\x7f\0\0\0", 8) + std::string(16, '\0'),
         false,
         {},
         payload_too_large,
         "dynamo.frame_too_large",
         CallFate::not_accepted,
         true}
    );
    return cases;
}

class DynamoAnswers : public DynamoCallTest, public ::testing::WithParamInterface<bool> {};

TEST_P(DynamoAnswers, EveryEndIsWhatItShouldBe) {
    config.max_item = 8192;
    for (const auto& expected : answer_cases()) {
        SCOPED_TRACE(expected.name);
        // The answer ends with its final frame; what contradicts that must be there by then.
        if (GetParam() && expected.detail == "dynamo.item_after_end") continue;
        std::vector<std::string> words;
        Event over;
        run(
            [&](Request request) -> Task<> {
                co_await request.ack();
                const auto peer = co_await request.call_home(GetParam());
                (void)co_await as_result(peer->write(expected.bytes, GetParam()));
                if (expected.closes) peer->finish_writing();
                words = co_await peer->read_all();
                over.set();
            },
            [&]() -> Task<> {
                const auto outcome = co_await ask();
                EXPECT_EQ(outcome.items, expected.items);
                EXPECT_EQ(outcome.error.has_value(), expected.code.has_value());
                if (outcome.error && expected.code) {
                    EXPECT_EQ(outcome.error->code(), *expected.code) << outcome.error->what();
                    EXPECT_EQ(outcome.error->detail(), expected.detail) << outcome.error->what();
                    EXPECT_EQ(outcome.fate, expected.fate);
                }
                co_await over.wait();
                EXPECT_EQ(
                    words,
                    expected.killed ? std::vector<std::string>{"\"kill\""}
                                    : std::vector<std::string>{}
                );
            }
        );
    }
}

INSTANTIATE_TEST_SUITE_P(WholeAndInBytes, DynamoAnswers, ::testing::Bool());

TEST_F(DynamoCallTest, EveryAcknowledgementThatSaysSomethingRefuses) {
    struct Case {
        std::string text;
        ErrorCode code;
        std::string_view detail;
    };
    using enum ErrorCode;
    for (const auto& expected : {
             Case{"Server unavailable: unknown endpoint x", unavailable, "dynamo.unknown_endpoint"},
             Case{"Server unavailable: draining: bye", draining, "dynamo.draining"},
             Case{"Server overloaded: worker at capacity", overloaded, "dynamo.overloaded"},
             Case{"Unknown endpoint: x", unavailable, "dynamo.unknown_endpoint"},
             Case{
                 "Read error: message too large: 9 bytes (max: 8 bytes)",
                 payload_too_large,
                 "dynamo.frame_too_large"
             },
             Case{"Something else", unavailable, "dynamo.refused"},
         }) {
        SCOPED_TRACE(expected.text);
        run([&](Request request) -> Task<> { return request.ack(expected.text); },
            [&]() -> Task<> {
                const auto outcome = co_await ask();
                EXPECT_FALSE(outcome.accepted);
                EXPECT_EQ(outcome.error->code(), expected.code);
                EXPECT_EQ(outcome.error->detail(), expected.detail);
                EXPECT_EQ(outcome.fate, CallFate::refused);
            });
    }
}

TEST_F(DynamoCallTest, AConnectionThatGoesBeforeTheAcknowledgementAcceptsNothing) {
    run(
        [&](Request request) -> Task<> {
            request.connection->close();
            co_return;
        },
        [&]() -> Task<> {
            const auto outcome = co_await ask();
            EXPECT_EQ(outcome.error->code(), ErrorCode::disconnected);
            EXPECT_EQ(outcome.fate, CallFate::not_accepted);
            EXPECT_EQ(pool->size(), 0U);
        }
    );
}

TEST_F(DynamoCallTest, AConnectionThatGoesAfterTheAcknowledgementHarmsNothing) {
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            request.connection->close();
            co_await sleep_for(5ms);
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue() + item("1") + final_frame() + sentinel());
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            for (int i = 0; i < 3; ++i) {
                const auto outcome = co_await ask();
                EXPECT_FALSE(outcome.error) << outcome.error->what();
                EXPECT_EQ(outcome.items.size(), 1U);
            }
            EXPECT_GE(worker->connections, 3);
        }
    );
}

TEST_F(DynamoCallTest, AWorkerThatDiesAfterTheAcknowledgementIsFoundOut) {
    run([&](Request request) -> Task<> { co_await request.ack(); },
        [&]() -> Task<> {
            const auto call = co_await open();
            co_await until([&] { return worker->requests == 1; });
            co_await sleep_for(5ms);   // the acknowledgement is on its way
            co_await worker->close();  // with its listener
            const auto outcome = co_await finish(call.get());
            EXPECT_EQ(outcome.error->code(), ErrorCode::disconnected);
            EXPECT_EQ(outcome.fate, CallFate::not_accepted);
        });
}

TEST_F(DynamoCallTest, EachWaitHasABound) {
    config.ack_timeout = 30ms;
    config.home_timeout = 30ms;
    config.prologue_timeout = 30ms;
    for (const std::string_view missing :
         {"dynamo.no_ack", "dynamo.no_call_home", "dynamo.no_prologue"}) {
        SCOPED_TRACE(missing);
        std::vector<std::string> words;
        Event over;
        run(
            [&](Request request) -> Task<> {
                if (missing == "dynamo.no_ack") {
                    over.set();
                    co_return;
                }
                co_await request.ack();
                if (missing == "dynamo.no_prologue") {
                    const auto peer = co_await request.call_home();
                    words = co_await peer->read_all();
                }
                over.set();
            },
            [&]() -> Task<> {
                const auto outcome = co_await ask();
                EXPECT_EQ(outcome.error->code(), ErrorCode::unavailable);
                EXPECT_EQ(outcome.error->detail(), missing);
                EXPECT_EQ(outcome.fate, CallFate::not_accepted);
                co_await over.wait();
                EXPECT_EQ(words.size(), missing == "dynamo.no_prologue" ? 1U : 0U);
                // One that does not acknowledge gets no second request on that connection.
                const bool dead = pool->established(worker->address()) == nullptr;
                EXPECT_EQ(dead, missing == "dynamo.no_ack");
            }
        );
    }
}

TEST_F(DynamoCallTest, WhatGoesToWorkersIsCounted) {
    const auto& metrics = carrier_metrics();
    const auto sent = metrics.tcp_bytes_sent.value();
    const auto received = metrics.tcp_bytes_received.value();
    const auto failed = metrics.tcp_errors.value();
    config.ack_timeout = 30ms;
    int requests = 0;
    run(
        [&](Request request) -> Task<> {
            if (++requests > 1) co_return;  // it is not acknowledged
            co_await request.ack();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue() + final_frame() + sentinel());
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            EXPECT_FALSE((co_await ask()).error);
            EXPECT_GT(metrics.tcp_bytes_sent.value(), sent + request_text.size());
            EXPECT_EQ(metrics.tcp_bytes_received.value(), received + 4) << "an empty text";
            EXPECT_EQ(metrics.tcp_errors.value(), failed);
            EXPECT_EQ((co_await ask()).error->detail(), "dynamo.no_ack");
            EXPECT_EQ(metrics.tcp_errors.value(), failed + 1);
            EXPECT_FALSE(co_await as_result(pool->connect("nowhere")));
            EXPECT_EQ(metrics.tcp_errors.value(), failed + 2);
        }
    );
}

TEST_F(DynamoCallTest, AcknowledgementsMayComeAfterTheWholeAnswer) {
    std::vector<Request> held;
    run(
        [&](Request request) -> Task<> {
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue() + item("1") + final_frame() + sentinel());
            (void)co_await peer->read_all();
            held.push_back(request);
        },
        [&]() -> Task<> {
            EXPECT_FALSE((co_await ask()).error);
            EXPECT_FALSE((co_await ask()).error);
            co_await until([&] { return held.size() == 2; });
            for (const auto& request : std::exchange(held, {})) co_await request.ack();
            EXPECT_FALSE((co_await ask()).error);
            EXPECT_EQ(worker->connections, 1);
            co_await until([&] { return held.size() == 1; });
            held.clear();
        }
    );
}

TEST_F(DynamoCallTest, AStopIsSentAndTheRestIsRead) {
    std::vector<std::string> words;
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue() + item("1"));
            if (const auto word = co_await peer->read()) words.push_back(word->header.to_string());
            co_await peer->write(item("2"));  // and no final frame: it was asked to end
            peer->finish_writing();
            for (auto& word : co_await peer->read_all()) words.push_back(std::move(word));
        },
        [&]() -> Task<> {
            const auto call = co_await open();
            EXPECT_EQ((co_await call->next())->view(), "1");
            call->stop(CancelReason::requested);
            const auto outcome = co_await finish(call.get());
            EXPECT_FALSE(outcome.error);
            EXPECT_EQ(outcome.items, std::vector<std::string>{"2"});
            EXPECT_EQ(words, std::vector<std::string>{"\"stop\""});
        }
    );
}

TEST_F(DynamoCallTest, AStopThatComesEarlyIsSentOnConnecting) {
    std::string word;
    Event stopped;
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            co_await stopped.wait();
            const auto peer = co_await request.call_home();
            if (const auto first = co_await peer->read()) word = first->header.to_string();
            peer->finish_writing();
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            const auto call = co_await open();
            call->stop(CancelReason::requested);
            stopped.set();
            const auto outcome = co_await finish(call.get());
            EXPECT_FALSE(outcome.error) << outcome.error->what();
            EXPECT_TRUE(outcome.items.empty());
            EXPECT_EQ(word, "\"stop\"");
        }
    );
}

TEST_F(DynamoCallTest, ADroppedCallKillsItsWorker) {
    std::vector<std::string> words;
    Event over;
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue() + item("1"));
            words = co_await peer->read_all();
            over.set();
        },
        [&]() -> Task<> {
            {
                const auto call = co_await open();
                EXPECT_TRUE(co_await call->next());
            }
            co_await over.wait();
            EXPECT_EQ(words, std::vector<std::string>{"\"kill\""});
        }
    );
}

TEST_F(DynamoCallTest, AWorkerThatCallsHomeForADroppedCallIsReset) {
    Event dropped;
    Event over;
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            co_await dropped.wait();
            const auto peer = co_await request.call_home();
            EXPECT_TRUE((co_await peer->read_all()).empty());
            over.set();
        },
        [&]() -> Task<> {
            {
                const auto call = co_await open();
                EXPECT_EQ(home->expected(), 1U);
            }
            EXPECT_EQ(home->expected(), 0U);
            dropped.set();
            co_await over.wait();
        }
    );
}

TEST_F(DynamoCallTest, AbortEndsItHereAndThere) {
    std::vector<std::string> words;
    Event over;
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue());
            words = co_await peer->read_all();
            over.set();
        },
        [&]() -> Task<> {
            const auto call = co_await open();
            EXPECT_TRUE(co_await call->accepted());
            call->abort(CancelReason::deadline, Error{ErrorCode::deadline_exceeded, "late"});
            const auto outcome = co_await finish(call.get());
            EXPECT_EQ(outcome.error->code(), ErrorCode::deadline_exceeded);
            co_await over.wait();
            EXPECT_EQ(words, std::vector<std::string>{"\"kill\""});
        }
    );
}

TEST_F(DynamoCallTest, AnInstanceThatLeavesEndsTheWaitForIt) {
    run([&](Request request) -> Task<> { return request.ack(); },
        [&]() -> Task<> {
            const auto call = co_await open();
            call->instance_gone();
            const auto outcome = co_await finish(call.get());
            EXPECT_EQ(outcome.error->detail(), "dynamo.instance_gone");
            EXPECT_EQ(outcome.fate, CallFate::not_accepted);
        });
}

TEST_F(DynamoCallTest, TwoHundredCallsShareOneConnection) {
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue() + item(request.body.view()));
            co_await yield();
            co_await peer->write(item("2") + final_frame() + sentinel());
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            std::vector<Task<Outcome>> calls;
            for (int i = 0; i < 200; ++i) calls.push_back(ask());
            for (const auto& outcome : co_await when_all(std::move(calls))) {
                EXPECT_FALSE(outcome.error);
                EXPECT_EQ(
                    outcome.items, (std::vector<std::string>{std::string{request_text}, "2"})
                );
            }
            EXPECT_EQ(worker->connections, 1);
        }
    );
}

/// One call that gets its first item, and ends in one of six ways. Returns whether it got it.
Task<bool> call_that_ends(DynamoCallTest* self, int how) {
    const auto call = co_await self->open();
    const auto first = co_await call->next();
    if (how == 0) co_return first.has_value();  // dropped
    if (how == 1) call->stop(CancelReason::requested);
    if (how == 2)
        call->abort(CancelReason::deadline, Error{ErrorCode::deadline_exceeded, "too late"});
    const auto rest = [](DynamoCall* from) -> Task<> {
        while (co_await from->next()) {
        }
    };
    (void)co_await as_result(rest(call.get()));
    co_return first.has_value();
}

TEST_F(DynamoCallTest, NothingIsLeftOfTenThousandCallsOfWhichHalfIsCut) {
    config.process = std::make_shared<BufferBudget>(1U << 30U);
    bound = 2min;
    int number = 0;
    run(
        [&](Request request) -> Task<> {
            const int mine = number++;
            co_await request.ack();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue() + item("1"));
            if (mine % 7 == 0) co_return peer->close();
            co_await peer->write((mine % 7 == 1 ? "" : final_frame()) + sentinel());
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            EXPECT_FALSE((co_await ask()).items.empty());
            co_await nothing_left();
            const auto before = open_descriptors();
            for (int round = 0; round < 200; ++round) {
                std::vector<Task<bool>> calls;
                for (int i = 0; i < 50; ++i) calls.push_back(call_that_ends(this, i % 6));
                for (const bool got : co_await when_all(std::move(calls))) EXPECT_TRUE(got);
            }
            co_await nothing_left();
            EXPECT_EQ(config.process->windows() + config.process->reserved(), 0U);
            co_await until([&] { return open_descriptors() <= before; });
        }
    );
}

TEST_F(DynamoCallTest, ASlowConsumerStopsItsOwnWorkerOnly) {
    std::size_t sent = 0;
    bool blocked = false;
    const std::string large = item(fmt::format("\"{:*>60000}\"", ""));
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue());
            const bool first = !std::exchange(blocked, true);
            for (int i = 0; i < (first ? 400 : 1); ++i) {
                co_await peer->write(large);
                if (first) ++sent;
            }
            co_await peer->write(final_frame() + sentinel());
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            const auto slow = co_await open();
            EXPECT_TRUE(co_await slow->accepted());
            std::size_t seen = ~std::size_t{0};
            while (seen != sent) {  // until it stands still
                seen = sent;
                co_await sleep_for(20ms);
            }
            EXPECT_LT(sent, 350U);
            EXPECT_FALSE((co_await ask()).error);
            const auto outcome = co_await finish(slow.get());
            EXPECT_FALSE(outcome.error);
            EXPECT_EQ(outcome.items.size(), 400U);
        }
    );
}

TEST_F(DynamoCallTest, AUnaryAnswerComesWithItsEnd) {
    std::vector<std::string> words;
    Event over;
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue() + item("1"));
            co_await sleep_for(2ms);
            (void)co_await as_result(peer->write(final_frame() + sentinel()));
            words = co_await peer->read_all();
            over.set();
        },
        [&]() -> Task<> {
            {
                const auto call = co_await open(CallShape::unary);
                EXPECT_EQ((co_await call->next())->view(), "1");
                EXPECT_TRUE(call->finished());
            }
            co_await over.wait();
            EXPECT_TRUE(words.empty()) << "it was complete: there is nothing to kill";
        }
    );
}

TEST_F(DynamoCallTest, CodecsAreRewrittenWhereTheyDiffer) {
    wire = PayloadCodec::msgpack;
    run(
        [&](Request request) -> Task<> {
            EXPECT_EQ(request.control.codec, PayloadCodec::msgpack);
            EXPECT_EQ(request.body.view(), "\x81\xa4text\xa2hi");
            co_await request.ack();
            const auto peer = co_await request.call_home();
            co_await peer->write(frame_of([&](dynamo::Output& out) {
                dynamo::put_prologue(out);
                dynamo::put_item(out, PayloadCodec::msgpack, request.body);
                dynamo::put_final(out, PayloadCodec::msgpack);
                dynamo::put_word(out, dynamo::Word::sentinel);
            }));
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            const auto outcome = co_await ask();
            EXPECT_EQ(outcome.items, std::vector<std::string>{std::string{request_text}});
            auto call = make_call(co_await pool->connect(worker->address()));
            auto raw = head();
            raw.codec = static_cast<std::uint8_t>(PayloadCodec::raw);
            const auto opened = call->open(raw, Bytes::of_static("x"));
            EXPECT_EQ(opened.error().detail(), "dynamo.raw_codec");
        }
    );
}

}  // namespace
}  // namespace stator::transport
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines)
