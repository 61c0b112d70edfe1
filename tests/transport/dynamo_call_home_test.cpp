// Requests that are streams, and whoever else comes to the port that workers call home to.
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "dynamo_call_fixture.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/event.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines): the fixture outlives every task
namespace stator::transport {
namespace {

/// The caller's stream of items.
struct Items : CallWriter {
    void on_writable() noexcept override {}
    void on_ended() noexcept override { ended = true; }
    bool ended = false;
};

TEST_F(DynamoCallTest, ARequestStreamGoesOnItsOwnConnection) {
    std::vector<std::string> input;
    run(
        [&](Request request) -> Task<> {
            EXPECT_TRUE(request.control.many_in);
            EXPECT_TRUE(request.body.empty());
            co_await request.ack();
            const auto from = co_await request.call_home_for_input();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue());
            while (const auto message = co_await from->read()) {
                if (!message->header.empty()) {
                    input.push_back(message->header.to_string());
                    break;
                }
                input.push_back(message->body.to_string());
                co_await peer->write(item(message->body.view()));
            }
            from->close();
            co_await peer->write(final_frame() + sentinel());
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            Items items;
            auto call = make_call(co_await pool->connect(worker->address()));
            EXPECT_TRUE(call->open(head(CallShape::bidirectional), items));
            EXPECT_EQ(home->expected(), 2U);
            for (const auto* const text : {"1", "2", "3"}) {
                EXPECT_TRUE(call->send(Bytes::of_static(text)));
                EXPECT_EQ((co_await call->next())->view(), text);
            }
            call->half_close();
            const auto outcome = co_await finish(call.get());
            EXPECT_FALSE(outcome.error) << outcome.error->what();
            EXPECT_TRUE(items.ended);
            EXPECT_EQ(input, (std::vector<std::string>{"1", "2", "3", "\"sentinel\""}));
        }
    );
}

TEST_F(DynamoCallTest, AStopOfARequestStreamIsSaidOnBoth) {
    std::vector<std::string> on_input;
    std::vector<std::string> on_answer;
    Event over;
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            const auto from = co_await request.call_home_for_input();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue());
            if (const auto word = co_await from->read())
                on_input.push_back(word->header.to_string());
            if (const auto word = co_await peer->read())
                on_answer.push_back(word->header.to_string());
            from->close();
            peer->close();
            over.set();
        },
        [&]() -> Task<> {
            Items items;
            auto call = make_call(co_await pool->connect(worker->address()));
            EXPECT_TRUE(call->open(head(CallShape::bidirectional), items));
            EXPECT_TRUE(co_await call->accepted());
            call->stop(CancelReason::requested);
            EXPECT_FALSE(call->send(Bytes::of_static("1")));
            const auto outcome = co_await finish(call.get());
            EXPECT_FALSE(outcome.error) << outcome.error->what();
            co_await over.wait();
            EXPECT_EQ(on_input, std::vector<std::string>{"\"stop\""});
            EXPECT_EQ(on_answer, std::vector<std::string>{"\"stop\""});
        }
    );
}

TEST_F(DynamoCallTest, ItemsWaitForAWorkerThatDoesNotReadThem) {
    std::size_t input = 0;
    Event go_on;
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            const auto from = co_await request.call_home_for_input();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue());
            co_await go_on.wait();
            while (const auto message = co_await from->read()) {
                if (!message->header.empty()) break;
                ++input;
            }
            co_await peer->write(final_frame() + sentinel());
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            Items items;
            auto call = make_call(co_await pool->connect(worker->address()));
            EXPECT_TRUE(call->open(head(CallShape::client_streaming), items));
            EXPECT_TRUE(co_await call->accepted());
            const std::string text = fmt::format("\"{:*>60000}\"", "");
            std::size_t sent = 0;
            for (int turns = 0; turns < 50; ++turns) {
                while (call->can_send()) {
                    EXPECT_TRUE(call->send(Bytes::copy_of(text)));
                    ++sent;
                }
                co_await yield();
            }
            EXPECT_LT(sent, 1000U) << "it takes without end";
            go_on.set();
            co_await until([&] { return call->can_send(); });
            call->half_close();
            EXPECT_FALSE((co_await finish(call.get())).error);
            EXPECT_EQ(input, sent);
        }
    );
}

Task<std::unique_ptr<Peer>> dial(CallHomeServer* home) {
    const auto address = net::Address::parse(home->address());
    co_return std::make_unique<Peer>(co_await net::dial(*address));
}

TEST_F(DynamoCallTest, WhoDoesNotBelongToTheCallHomePortIsTurnedAway) {
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            const auto peer = co_await request.call_home();
            // A second one with the same subject, and one for the wrong direction.
            const auto twin = co_await request.call_home();
            EXPECT_TRUE((co_await twin->read_all()).empty());
            co_await peer->write(prologue() + item("1") + final_frame() + sentinel());
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            const std::vector<std::string> strangers{
                "GET / HTTP/1.1\r\nhost: x\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxx",
                std::string(24, '\xff'),
                std::string(64, '\0'),
                header_frame("nonsense"),
                header_frame(R"({"subject":"none","stream_type":"response"})"),
                handshake(RequestId::random().to_string()),
                handshake("0000ffff-0000-4000-8000-000000000000"),
                handshake("ffff0000-0000-4000-8000-000000000000"),
                header_frame(fmt::format(R"({{"subject":"{:*>600}","stream_type":"response"}})", "")
                ),
            };
            for (const auto& bytes : strangers) {
                const auto peer = co_await dial(home.get());
                (void)co_await as_result(peer->write(bytes));
                EXPECT_TRUE((co_await peer->read_all()).empty());
            }
            const auto outcome = co_await ask();
            EXPECT_FALSE(outcome.error) << outcome.error->what();
            EXPECT_EQ(outcome.items.size(), 1U);
        }
    );
}

/// Connects, and writes everything at once but for a cut behind `cut` bytes.
Task<> answer_cut(Request request, std::size_t cut) {
    const auto address = net::Address::parse(request.control.connection.address);
    Peer peer{co_await net::dial(*address)};
    const auto all = handshake(request.control.connection.subject) + prologue() + item("1") +
                     final_frame() + sentinel();
    cut = std::min(cut, all.size());
    co_await peer.write(all.substr(0, cut));
    co_await sleep_for(1ms);
    if (cut < all.size()) co_await peer.write(all.substr(cut));
    (void)co_await peer.read_all();
}

TEST_F(DynamoCallTest, HoweverAnAnswerIsCutBehindTheConnect) {
    std::size_t cut = 1;
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            co_await answer_cut(std::move(request), cut);
        },
        [&]() -> Task<> {
            const auto whole = handshake(RequestId::random().to_string()).size() +
                               (prologue() + item("1") + final_frame() + sentinel()).size();
            for (; cut <= whole; cut += cut % 5 + 1) {
                const auto shape = cut % 2 == 0 ? CallShape::unary : CallShape::server_streaming;
                const auto outcome = co_await ask(shape);
                EXPECT_FALSE(outcome.error) << cut << ": " << outcome.error->what();
                EXPECT_EQ(outcome.items, std::vector<std::string>{"1"}) << cut;
            }
        }
    );
}

TEST_F(DynamoCallTest, AnAnswerThatIsThereWithItsHandshakeNeedsNoStream) {
    run([&](Request request
        ) -> Task<> { co_await answer_cut(std::move(request), std::string::npos); },
        [&]() -> Task<> {
            const auto call = co_await open(CallShape::unary);
            EXPECT_EQ((co_await finish(call.get())).items, std::vector<std::string>{"1"});
            EXPECT_EQ(pool->answers(), 0U);
        });
}

TEST_F(DynamoCallTest, AThousandHalfOpenConnectionsCostNoMoreThanTheirBound) {
    max_waiting = 64;
    run(
        [&](Request request) -> Task<> {
            co_await request.ack();
            const auto peer = co_await request.call_home();
            co_await peer->write(prologue() + item("1") + final_frame() + sentinel());
            (void)co_await peer->read_all();
        },
        [&]() -> Task<> {
            std::vector<std::unique_ptr<Peer>> silent;
            for (int i = 0; i < 400; ++i) {
                silent.push_back(co_await dial(home.get()));
                if (i % 2 == 0) co_await silent.back()->write(std::string(7, '\0'));
            }
            co_await until([&] { return home->waiting() == 64; });
            const auto outcome = co_await ask();
            EXPECT_FALSE(outcome.error);
            EXPECT_LE(home->waiting(), 64U);
        }
    );
}

TEST_F(DynamoCallTest, SubjectsAreUuidsThatDoNotRepeat) {
    run([](Request) -> Task<> { co_return; },
        [&]() -> Task<> {
            struct Nobody : HomeCall {
                void on_home(net::Accepted, Bytes) noexcept override {}
            } nobody;
            std::vector<RequestId> all;
            for (int i = 0; i < 1000; ++i)
                all.push_back(home->expect(nobody, CallHomeServer::Direction::response));
            for (const auto& subject : all) {
                const auto text = subject.to_string();
                EXPECT_EQ(text[14], '4');
                EXPECT_TRUE(std::string_view{"89ab"}.contains(text[19]));
                home->forget(subject);
            }
            std::ranges::sort(all);
            EXPECT_EQ(std::ranges::adjacent_find(all), all.end());
            co_return;
        });
}

TEST_F(DynamoCallTest, WorkersOfIpv6AreToldWithBrackets) {
    Loop loop;
    TaskScope scope;
    std::string address;
    loop.post([&] {
        scope.spawn([](Loop* here, std::string* told) -> Task<> {
            CallHomeServer::Options options;
            options.loops = {here};
            options.bind = {"::1", 0};
            options.advertise_host = "fe80::1";
            options.advertise_port = 77;
            const auto server = co_await CallHomeServer::start(std::move(options));
            *told = server->address();
            co_await server->close();
            here->stop();
        }(&loop, &address));
    });
    loop.run();
    EXPECT_EQ(address, "[fe80::1]:77");
}

}  // namespace
}  // namespace stator::transport
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines)
