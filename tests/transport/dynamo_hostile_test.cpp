// Serving clients of Dynamo's TCP planes that fail at every step, lie, or are many.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dynamo_frontend.hpp"
#include "stator/runtime/combinators.hpp"
#include "tests/support/descriptors.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines): the fixture outlives every task
namespace stator::transport {
namespace {

using namespace test;
using stator::test::open_descriptors;

/// Three items, a turn between each.
Task<> three(ServerCall* call) {
    for (int i = 0; i < 3; ++i) {
        if (!call->can_send()) co_await call->writable();
        if (!call->send(Bytes::copy_of(std::to_string(i)), false)) co_return;
        co_await yield();
    }
    call->end();
}

/// Items until nobody wants them.
Task<> endless(ServerCall* call) {
    for (;;) {
        if (!call->can_send()) co_await call->writable();
        if (!call->send(Bytes::of_static("7"), false)) co_return;
        co_await sleep_for(1ms);
    }
}

class DynamoHostile : public DynamoServing {
protected:
    /// What is open once nothing is served; call it inside `run`.
    Task<> settled(std::size_t descriptors) {
        EXPECT_TRUE(co_await until([=, this] {
            return dispatcher.running == 0 && open_descriptors() <= descriptors;
        }));
        EXPECT_EQ(dispatcher.running, 0);
        EXPECT_LE(open_descriptors(), descriptors);
    }
};

/// A port that nobody listens at.
Task<std::string> nobody() {
    const auto listener = co_await net::Listener::bind({"127.0.0.1", 0});
    co_return listener->address().to_string();
}

TEST_F(DynamoHostile, ACallHomeThatIsRefusedKillsTheCallAndIsCounted) {
    dispatcher.serve = endless;
    run([this]() -> Task<> {
        const auto before = open_descriptors();
        client.home_address = co_await nobody();
        for (const bool many_in : {false, true}) {
            co_await client.send({.many_in = many_in});
            EXPECT_EQ(co_await client.ack(), "");
        }
        EXPECT_TRUE(co_await until([&] {
            return counts.of("dynamo_call_home_failures_total") == 2;  // the first of two ends both
        }));
        EXPECT_TRUE(counts.reported("cannot be called at " + client.home_address));
        co_await settled(before + 1);
    });
}

/// Listens, and is so full that nobody gets an answer.
class FullListener {
public:
    FullListener() {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* const name = reinterpret_cast<sockaddr*>(&address);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(descriptor_, name, size), 0);
        EXPECT_EQ(::listen(descriptor_, 0), 0);
        EXPECT_EQ(::getsockname(descriptor_, name, &size), 0);
        port = ntohs(address.sin_port);
        for (auto& filler : fillers_) {
            filler = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
            (void)::connect(filler, name, size);
        }
    }
    FullListener(const FullListener&) = delete;
    FullListener& operator=(const FullListener&) = delete;
    ~FullListener() {
        for (const int filler : fillers_) ::close(filler);
        ::close(descriptor_);
    }
    std::uint16_t port = 0;

private:
    int descriptor_ = ::socket(AF_INET, SOCK_STREAM, 0);
    std::array<int, 4> fillers_{};
};

TEST_F(DynamoHostile, ACallHomeWithoutAnAnswerIsBounded) {
    config.connect_timeout = 50ms;
    dispatcher.serve = endless;
    const FullListener full;
    run([&, this]() -> Task<> {
        const auto before = open_descriptors();
        client.home_address = net::Address{"127.0.0.1", full.port}.to_string();
        co_await client.send({});
        EXPECT_EQ(co_await client.ack(), "");
        co_await settled(before + 1);
        EXPECT_EQ(counts.of("dynamo_call_home_failures_total"), 1U);
        EXPECT_TRUE(counts.reported("dynamo.call_home_timeout"));
    });
}

TEST_F(DynamoHostile, ACallHomeByNameThatNobodyKnows) {
    config.connect_timeout = 2s;
    dispatcher.serve = endless;
    run([this]() -> Task<> {
        client.home_address = "no-such-host.invalid:80";
        co_await client.send({});
        EXPECT_EQ(co_await client.ack(), "");
        EXPECT_TRUE(co_await until([&] { return counts.of("dynamo_call_home_failures_total") == 1; }
        ));
        co_await until([&] { return dispatcher.running == 0; });
    });
}

TEST_F(DynamoHostile, ACallHomeByNameWorks) {
    dispatcher.serve = three;
    run([this]() -> Task<> {
        client.home_address = fmt::format("localhost:{}", client.listener->address().port);
        EXPECT_TRUE((co_await client.call({})).clean());
    });
}

TEST_F(DynamoHostile, ResetsAtEveryByteOfAnAnswerLeaveNothing) {
    dispatcher.serve = endless;
    run([this]() -> Task<> {
        const auto before = open_descriptors();
        // Through handshake, prologue and the first items, and into the middle of each.
        for (std::size_t taken = 0; taken < 330; taken += 3) {
            co_await client.send({});
            EXPECT_EQ(co_await client.ack(), "");
            const auto stream = must(co_await client.listener->accept()).attach();
            if (taken > 0) co_await read_exactly(stream.get(), taken);
            stream->close();
        }
        co_await settled(before + 1);
    });
}

TEST_F(DynamoHostile, WhatIsNoWordEndsTheCall) {
    dispatcher.serve = endless;
    run([this]() -> Task<> {
        const auto before = open_descriptors();
        std::uint64_t violations = 0;
        for (const auto& bytes : {
                 message_bytes("\"pause\"", ""),
                 message_bytes("", "an item"),
                 message_bytes("\"stop\"", "and more"),
                 message_bytes(std::string(65, 'w'), ""),
                 sentinel_word,
                 std::string(24, '\xff'),
             }) {
            co_await client.send({});
            auto home = co_await client.home();
            co_await write_all(home.stream.get(), bytes);
            EXPECT_FALSE((co_await rest_of_answer(&home)).final);
            EXPECT_EQ(counts.of("dynamo_violations_total"), ++violations);
            EXPECT_EQ(co_await client.ack(), "");
        }
        co_await settled(before + 1);
    });
}

TEST_F(DynamoHostile, WordsMayComeByteByByte) {
    dispatcher.serve = endless;
    run([this]() -> Task<> {
        co_await client.send({});
        auto home = co_await client.home();
        for (const char letter : kill_word) {
            co_await write_all(home.stream.get(), std::string{letter});
            co_await sleep_for(1ms);
        }
        EXPECT_FALSE((co_await rest_of_answer(&home)).final);
        EXPECT_EQ(counts.of("dynamo_violations_total"), 0U);
    });
}

/// Takes `count` answers, reading each beside the others.
Task<> take_answers(Frontend* client, int count, std::map<std::string, Answer>* answers) {
    TaskScope readers;
    for (int i = 0; i < count; ++i) {
        readers.spawn([](Home home, std::map<std::string, Answer>* to) -> Task<> {
            auto answer = co_await rest_of_answer(&home);
            (*to)[answer.subject] = std::move(answer);
        }(co_await client->home(), answers));
    }
    co_await readers.join();
}

Task<> take_acks(Frontend* client, int count) {
    for (int i = 0; i < count; ++i) EXPECT_EQ(co_await client->ack(), "");
}

TEST_F(DynamoHostile, TwoHundredInOneSegment) {
    dispatcher.serve = three;
    run([this]() -> Task<> {
        constexpr int count = 200;
        std::string frames;
        for (int i = 0; i < count; ++i) frames += client.frame({.subject = std::to_string(i)});
        co_await write_all(client.connection.get(), frames);
        std::map<std::string, Answer> answers;
        co_await take_acks(&client, count);
        co_await take_answers(&client, count, &answers);
        EXPECT_EQ(answers.size(), count);
        for (const auto& [subject, answer] : answers) {
            EXPECT_TRUE(answer.clean()) << subject;
            EXPECT_EQ(answer.items, (std::vector<std::string>{"0", "1", "2"}));
        }
    });
}

TEST_F(DynamoHostile, NothingIsLeftOfTenThousandRequestsOfWhichAThirdIsCut) {
    config.process = std::make_shared<BufferBudget>(1U << 30U);
    dispatcher.serve = three;
    run(
        [this]() -> Task<> {
            const auto before = open_descriptors();
            constexpr int count = 10'000;
            int clean = 0;
            for (int i = 0; i < count; ++i) {
                co_await client.send({});
                auto home = co_await client.home();
                if (i % 9 == 0) co_await write_all(home.stream.get(), stop_word);
                if (i % 9 == 3) co_await write_all(home.stream.get(), kill_word);
                if (i % 9 == 6) continue;  // closed, without a word
                clean += (co_await rest_of_answer(&home)).clean() ? 1 : 0;
            }
            co_await take_acks(&client, count);
            EXPECT_GE(clean, count * 6 / 9);
            co_await settled(before + 1);
            EXPECT_EQ(dispatcher.seen.size(), 10'000U);
            EXPECT_EQ(config.process->windows() + config.process->reserved(), 0U);
        },
        2min
    );
}

TEST_F(DynamoHostile, AThousandHalfOpenConnectionsAreEndedAndHinderNobody) {
    config.frame_timeout = 300ms;
    dispatcher.serve = three;
    run([this]() -> Task<> {
        const auto before = open_descriptors();
        const auto half = client.frame({}).substr(0, 40);
        std::vector<std::unique_ptr<net::Stream>> streams;
        for (int i = 0; i < 450; ++i) {
            streams.push_back(net::start_dial(server->address()).value());
            co_await write_all(streams.back().get(), half);
        }
        EXPECT_TRUE((co_await client.call({})).clean());
        EXPECT_TRUE(co_await until([&] { return server->dynamo_connections() == 1; }));
        EXPECT_TRUE((co_await client.call({})).clean());
        streams.clear();
        co_await settled(before + 1);
    });
}

TEST_F(DynamoHostile, AClientThatReadsNoAcknowledgementsIsNotReadFrom) {
    dispatcher.refusals.emplace("ns/comp/ep", Error{ErrorCode::overloaded, "full"});
    run([this]() -> Task<> {
        // Refusals are 41 bytes: the kernels and the link take some megabytes of them.
        const auto frame = client.frame({});
        std::string frames;
        for (int i = 0; i < 64; ++i) frames += frame;
        auto* const stream = client.connection.get();
        std::size_t sent = 0;
        for (auto blocked = Deadline::in(300ms); !blocked.passed() && sent < 1U << 30U;) {
            const auto at = sent % frames.size();
            const iovec part{frames.data() + at, frames.size() - at};
            const auto written = stream->try_write({&part, 1}).value();
            sent += written;
            if (written > 0) blocked = Deadline::in(300ms);
            co_await sleep_for(written > 0 ? 0ms : 1ms);
        }
        EXPECT_LT(sent, 1U << 30U);
        const auto rest = (frame.size() - sent % frame.size()) % frame.size();
        TaskScope writer;
        writer.spawn(write_all(stream, frame.substr(frame.size() - rest)));
        const std::string refusal = "Server overloaded: worker at capacity";
        for (auto left = (sent + rest) / frame.size(); left > 0; --left) {
            const auto ack = co_await client.ack();
            EXPECT_EQ(ack, refusal);
            if (ack != refusal) break;
        }
        co_await writer.join();
    });
}

TEST_F(DynamoHostile, AnswersBeyondTheBoundAreRefused) {
    config.max_answers = 2;
    dispatcher.serve = endless;
    run([this]() -> Task<> {
        for (int i = 0; i < 3; ++i) co_await client.send({});
        EXPECT_EQ(co_await client.ack(), "");
        EXPECT_EQ(co_await client.ack(), "");
        EXPECT_EQ(co_await client.ack(), "Server overloaded: worker at capacity");
        for (int i = 0; i < 2; ++i) {
            auto home = co_await client.home();
            co_await write_all(home.stream.get(), kill_word);
            co_await rest_of_answer(&home);
        }
    });
}

TEST_F(DynamoHostile, FlushWaitsForAnswersThatAreNotWrittenYet) {
    dispatcher.serve = [](ServerCall* call) -> Task<> {
        return [](ServerCall* served) -> Task<> {
            served->send(Bytes::copy_of('"' + std::string(60U << 20U, 'x') + '"'), true);
            co_return;
        }(call);
    };
    run([this]() -> Task<> {
        co_await client.send({});
        auto home = co_await client.home();
        bool flushed = false;
        TaskScope scope;
        scope.spawn([](RequestServer* server_, bool* done) -> Task<> {
            co_await server_->flush(Deadline::in(10s));
            *done = true;
        }(server.get(), &flushed));
        co_await sleep_for(50ms);
        EXPECT_FALSE(flushed);
        EXPECT_TRUE((co_await rest_of_answer(&home)).clean());
        co_await scope.join();
        EXPECT_TRUE(flushed);
    });
}

TEST_F(DynamoHostile, AnEndOfTheServerKillsWhatRunsAndLetsTheRestBeRead) {
    dispatcher.serve = endless;
    run([this]() -> Task<> {
        co_await client.send({});
        auto running = co_await client.home();
        dispatcher.serve = three;
        co_await client.send({});
        auto ended = co_await client.home();
        co_await until([&] { return dispatcher.running == 1; });
        co_await server->close();
        server.reset();
        EXPECT_TRUE((co_await rest_of_answer(&ended)).clean());
        const auto cut = co_await rest_of_answer(&running);
        EXPECT_TRUE(cut.error.has_value());
        EXPECT_TRUE(cut.final && cut.sentinel);
    });
}

TEST_F(DynamoHostile, ADeadServerLeavesNoDescriptors) {
    const auto before = open_descriptors();
    dispatcher.serve = endless;
    run([this]() -> Task<> {
        for (int i = 0; i < 20; ++i) co_await client.send({});
        co_await take_acks(&client, 20);
    });
    EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace stator::transport
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines)
