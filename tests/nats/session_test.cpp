// What a client does whatever its server does: a wire that the test plays.
#include "nats/session.hpp"

#include <gtest/gtest.h>

#include "stator/runtime/combinators.hpp"
#include "tests/nats/fake_wire.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::nats {
namespace {

using test::error_of;
using test::FakeServer;
using test::Loops;
using test::RecordingSink;
using test::require;
using namespace std::chrono_literals;
using SessionPtr = std::shared_ptr<Session>;

const WireStatus refused{WireError::unreachable, "connection refused"};

Publication text(std::string subject, std::string_view payload) {
    return {
        .subject = std::move(subject),
        .payload = Bytes::copy_of(payload),
        .headers = {},
        .reply = {}
    };
}

class NatsSession : public ::testing::Test {
protected:
    ~NatsSession() override {
        server.let_go();
        if (session) EXPECT_RUNS(loops, session->close(Deadline::in(10s)));
    }
    /// The error's detail; empty: it is open.
    std::string open(ClientOptions options = {}) {
        session = std::make_shared<Session>(loops.secondary(), std::move(options));
        const auto opened = loops.run(session->open(server.make()));
        return opened ? std::string{} : opened.error().detail();
    }
    std::string detail_of(const Result<void>& result) {
        return result ? std::string{} : result.error().detail();
    }

    RecordingSink sink;
    Loops loops;
    FakeServer server;
    SessionPtr session;
};

TEST_F(NatsSession, TriesOnUntilThereIsAServer) {
    server.fail_connects({refused, refused, refused});
    EXPECT_EQ(open(), "");
    EXPECT_EQ(server.count("connect"), 4);
    EXPECT_EQ(session->state(), ConnectionState::connected);
    EXPECT_EQ(session->counts().connects, 1);
}

TEST_F(NatsSession, IsToldAtOnceWhatWillNotChange) {
    server.fail_connects({{WireError::authentication, "who are you"}});
    EXPECT_EQ(open(), "nats.authentication");
    EXPECT_EQ(server.count("connect"), 1);
    EXPECT_EQ(server.count("close"), 1);

    server.fail_connects({{WireError::tls, "certificate"}});
    EXPECT_EQ(open(), "nats.tls");
    server.fail_connects({{WireError::invalid, "seed"}});
    EXPECT_EQ(open(), "nats.options");
}

TEST_F(NatsSession, GivesUpWhenTheTimeIsOver) {
    server.fail_connects(std::vector(1000, refused));
    ClientOptions options;
    options.startup_timeout = 100ms;
    EXPECT_EQ(open(options), "nats.unreachable");
    EXPECT_EQ(session->state(), ConnectionState::closed);
}

TEST_F(NatsSession, IsTheUserOfThatNameUnlessToldOtherwise) {
    ASSERT_EQ(open(), "");
    EXPECT_EQ(server.options().username, "user");
    EXPECT_EQ(server.options().password, "user");
    EXPECT_RUNS(loops, session->close(Deadline::in(10s)));
    ClientOptions options;
    options.token = "secret";
    ASSERT_EQ(open(options), "");
    EXPECT_EQ(server.options().username, "");
    EXPECT_EQ(server.options().token, "secret");
}

TEST_F(NatsSession, PublishesInOrder) {
    ASSERT_EQ(open(), "");
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(session->publish(text("a", std::to_string(i))));
    const auto lines = server.wait_for("pub a", 100);
    ASSERT_EQ(lines.size(), 100);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(lines[i], "pub a " + std::to_string(i));
    EXPECT_EQ(session->counts().out_messages, 100);
}

TEST_F(NatsSession, RefusesWhatCannotBeSent) {
    ASSERT_EQ(open(), "");
    EXPECT_EQ(detail_of(session->publish(text("", "x"))), "nats.subject");
    EXPECT_EQ(detail_of(session->publish(text("a b", "x"))), "nats.subject");
    EXPECT_EQ(detail_of(session->publish(text("a.*", "x"))), "nats.subject");
    auto bad_header = text("a", "x");
    bad_header.headers = {{"k", "v\r\nPUB b 0"}};
    EXPECT_EQ(detail_of(session->publish(bad_header)), "nats.header");
    EXPECT_EQ(detail_of(session->publish(text("a", std::string(1000, 'x')))), "");
    EXPECT_EQ(detail_of(session->publish(text("a", std::string(1001, 'x')))), "nats.too_large");
    // 12 for the frame, 4 for a line, as the server counts them.
    auto with_header = text("a", std::string(981, 'x'));
    with_header.headers = {{"k", "v"}};
    EXPECT_EQ(with_header.size(), 999);
    EXPECT_EQ(detail_of(session->publish(with_header)), "");
    with_header.headers = {{"ke", "vv"}};
    EXPECT_EQ(detail_of(session->publish(with_header)), "nats.too_large");
}

TEST_F(NatsSession, SaysWhenTheSocketIsFull) {
    ClientOptions options;
    options.most_unsent = 1500;
    ASSERT_EQ(open(options), "");
    server.hold();
    EXPECT_TRUE(session->publish(text("a", std::string(900, 'x'))));
    EXPECT_EQ(server.wait_for("pub a", 1).size(), 1);  // that one is with the wire
    EXPECT_TRUE(session->publish(text("a", std::string(900, 'x'))));
    EXPECT_EQ(detail_of(session->publish(text("a", std::string(900, 'x')))), "nats.congested");
    EXPECT_TRUE(session->publish(text("a", std::string(600, 'x'))));
    server.let_go();
    EXPECT_EQ(server.wait_for("pub a", 3).size(), 3);
}

Task<> ask_and_answer(SessionPtr session, FakeServer* server) {
    auto asking = [](SessionPtr of) -> Task<std::string> {
        const auto answer = co_await of->request(text("q", "?"), Deadline::in(10s));
        co_return answer.payload.to_string();
    };
    auto answering = [](FakeServer* at) -> Task<> {
        const auto lines = at->wait_for("reply ", 1);
        at->deliver(1, lines.at(0).substr(6), "!");
        at->deliver(1, lines.at(0).substr(6), "once too often");
        co_return;
    };
    const auto [answer, ignored] = co_await when_all(asking(session), answering(server));
    require(answer == "!", answer);
}

TEST_F(NatsSession, BringsAnAnswerToItsRequest) {
    ASSERT_EQ(open(), "");
    EXPECT_RUNS(loops, ask_and_answer(session, &server));
}

TEST_F(NatsSession, ARequestEndsWithItsTime) {
    ASSERT_EQ(open(), "");
    const auto error = loops.run(error_of(session->request(text("q", "?"), Deadline::in(20ms))));
    EXPECT_EQ(*error, "deadline_exceeded nats.no_reply");
}

Task<> lose_while_asking(SessionPtr session, FakeServer* server) {
    auto losing = [](FakeServer* at) -> Task<> {
        (void)at->wait_for("reply ", 1);
        at->lose_connection();
        co_return;
    };
    const auto [error, ignored] = co_await when_all(
        error_of(session->request(text("q", "?"), Deadline::in(10s))), losing(server)
    );
    require(error == "disconnected nats.connection_lost", error);
}

TEST_F(NatsSession, LosesItsRequestsWithTheConnection) {
    ASSERT_EQ(open(), "");
    EXPECT_RUNS(loops, lose_while_asking(session, &server));
    EXPECT_EQ(session->state(), ConnectionState::reconnecting);
    EXPECT_EQ(detail_of(session->publish(text("a", "x"))), "nats.disconnected");
    const auto error = loops.run(error_of(session->request(text("q", "?"), Deadline::in(10s))));
    EXPECT_EQ(*error, "unavailable nats.disconnected");
    server.connect_again();
    EXPECT_TRUE(session->publish(text("a", "y")));
    EXPECT_EQ(server.wait_for("pub a", 1), std::vector<std::string>{"pub a y"});
    EXPECT_EQ(session->counts().connects, 2);
    EXPECT_EQ(sink.warnings("is lost"), 1);
}

TEST_F(NatsSession, WhatIsQueuedGoesWithWhatIsPublished) {
    ASSERT_EQ(open(), "");
    server.hold();
    EXPECT_TRUE(session->publish(text("a", "1")));
    EXPECT_EQ(server.wait_for("pub a", 1).size(), 1);
    EXPECT_TRUE(session->queue(text("a", "2")));
    EXPECT_TRUE(session->queue(text("a", "3")));
    EXPECT_TRUE(session->publish(text("a", "4")));
    EXPECT_TRUE(session->queue(text("b", "5")));
    session->send_queued();
    server.let_go();
    EXPECT_EQ(server.wait_for("pub b", 1).size(), 1);
    EXPECT_EQ(
        server.wait_for("pub a", 4),
        (std::vector<std::string>{"pub a 1", "pub a 2", "pub a 3", "pub a 4"})
    );
}

TEST_F(NatsSession, WhatWasTakenForALostConnectionIsNotSentByTheNext) {
    ASSERT_EQ(open(), "");
    server.hold();
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(session->queue(text("a", "x")));
    session->send_queued();  // taken together
    EXPECT_EQ(server.wait_for("pub a", 1).size(), 1);
    server.lose_connection();
    server.connect_again();
    server.let_go();
    EXPECT_TRUE(session->publish(text("b", "x")));
    EXPECT_EQ(server.wait_for("pub b", 1).size(), 1);
    EXPECT_EQ(server.count("pub a"), 1);
    EXPECT_EQ(session->counts().unsent, 4);
}

TEST_F(NatsSession, WhatWasNotWrittenIsCountedAsLost) {
    ASSERT_EQ(open(), "");
    server.hold();
    EXPECT_TRUE(session->publish(text("a", "x")));
    EXPECT_EQ(server.wait_for("pub a", 1).size(), 1);
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(session->publish(text("a", "x")));
    server.lose_connection();
    server.let_go();
    server.connect_again();
    EXPECT_TRUE(session->publish(text("b", "x")));
    EXPECT_EQ(server.wait_for("pub b", 1).size(), 1);
    EXPECT_EQ(server.count("pub a"), 1);
    EXPECT_EQ(session->counts().unsent, 4);
    EXPECT_EQ(sink.counted("nats_messages_unsent_total"), 4);
}

Task<Message> next_of(const Subscription* subscription) {
    auto message = co_await subscription->next();
    require(message.has_value(), "it has ended");
    co_return std::move(*message);
}

Task<> take_all(SessionPtr session, FakeServer* server) {
    SubscribeOptions options;
    options.subjects = {"a.*", "b.>"};
    options.queue = "group";
    auto subscription = co_await session->subscribe(options);
    require(server->count("sub 2 a.* group") == 1, "first");
    require(server->count("sub 3 b.> group") == 1, "second");
    server->deliver(2, "a.x", "1");
    server->deliver(3, "b.y.z", "2");
    const auto first = co_await next_of(&subscription);
    const auto second = co_await next_of(&subscription);
    require(first.subject == "a.x" && first.payload.view() == "1", "one");
    require(second.subject == "b.y.z", "two");
    server->deliver(2, "a.x", "3");
    subscription.close();
    server->deliver(2, "a.x", "4");
    require((co_await next_of(&subscription)).payload.view() == "3", "what was there before");
    require(!co_await subscription.next(), "the end");
    require(server->wait_for("unsub ", 2).size() == 2, "both");
}

TEST_F(NatsSession, SubscribesToSeveralPatternsAtOnce) {
    ASSERT_EQ(open(), "");
    EXPECT_RUNS(loops, take_all(session, &server));
}

Task<> keep_some(SessionPtr session, FakeServer* server, Overflow overflow) {
    SubscribeOptions options;
    options.subjects = {"a"};
    options.most_messages = 3;
    options.overflow = overflow;
    const auto subscription = co_await session->subscribe(options);
    for (int i = 0; i < 10; ++i) server->deliver(2, "a", std::to_string(i));
    require(subscription.dropped() == 7, "dropped");
    require(subscription.waiting() == 3, "waiting");
    std::string kept;
    for (int i = 0; i < 3; ++i) kept += (co_await next_of(&subscription)).payload.view();
    require(kept == (overflow == Overflow::drop_newest ? "012" : "789"), kept);
}

TEST_F(NatsSession, DropsTheNewestOrTheOldest) {
    ASSERT_EQ(open(), "");
    EXPECT_RUNS(loops, keep_some(session, &server, Overflow::drop_newest));
    EXPECT_RUNS(loops, session->close(Deadline::in(10s)));
    ASSERT_EQ(open(), "");
    EXPECT_RUNS(loops, keep_some(session, &server, Overflow::drop_oldest));
    EXPECT_EQ(sink.counted("nats_messages_dropped_total"), 14);
}

Task<> keep_small(SessionPtr session, FakeServer* server) {
    SubscribeOptions options;
    options.subjects = {"a"};
    options.most_bytes = 10;
    const auto subscription = co_await session->subscribe(options);
    server->deliver(2, "a", std::string(50, 'x'));  // alone it is taken, whatever its size
    server->deliver(2, "a", "y");
    require(subscription.waiting() == 1 && subscription.dropped() == 1, "by size");
}

TEST_F(NatsSession, BoundsWhatWaitsInBytesToo) {
    ASSERT_EQ(open(), "");
    EXPECT_RUNS(loops, keep_small(session, &server));
}

Task<> survives_refusal(SessionPtr session, FakeServer* server) {
    SubscribeOptions options;
    options.subjects = {"a"};
    options.queue = "group";
    const auto subscription = co_await session->subscribe(options);
    server->fail_connects({{WireError::authentication, "not now"}, refused});
    server->lose_connection();
    server->give_up();
    require(server->wait_for("sub 2 a group", 2).size() == 2, "subscribed again");
    require(server->wait_for("sub 1 _INBOX", 2).size() == 2, "the inbox, too");
    require(server->count("connect") == 4, "asked until it let us");
    co_await session->flush(Deadline::in(10s));
    server->deliver(2, "a", "1");
    require((co_await next_of(&subscription)).payload.view() == "1", "goes on");
}

TEST_F(NatsSession, ComesBackToAServerThatHasRefusedIt) {
    ASSERT_EQ(open(), "");
    EXPECT_RUNS(loops, survives_refusal(session, &server));
    EXPECT_EQ(sink.warnings("not now"), 1);
}

Task<> drain_two(SessionPtr session, FakeServer* server) {
    SubscribeOptions options;
    options.subjects = {"a", "b"};
    auto subscription = co_await session->subscribe(options);
    subscription.drain();
    subscription.drain();
    require(server->wait_for("drain ", 2).size() == 2, "both");
    server->deliver(2, "a", "1");
    server->drained(2);
    server->deliver(3, "b", "2");
    server->drained(3);
    require(server->wait_for("unsub ", 2).size() == 2, "both");
    server->deliver(3, "b", "too late");
    require((co_await next_of(&subscription)).payload.view() == "1", "one");
    require((co_await next_of(&subscription)).payload.view() == "2", "two");
    require(!co_await subscription.next(), "the end");
    require(server->count("drain ") == 2, "once each");
}

Task<> drain_and_lose(SessionPtr session, FakeServer* server) {
    SubscribeOptions options;
    options.subjects = {"a"};
    auto subscription = co_await session->subscribe(options);
    subscription.drain();
    server->lose_connection();
    require(!co_await subscription.next(), "it ends with the connection");
    auto second = Subscription{};
    server->connect_again();
    second = co_await session->subscribe(options);
    server->lose_connection();
    second.drain();
    require(!co_await second.next(), "at once");
    server->connect_again();
}

TEST_F(NatsSession, ADrainedSubscriptionLosesNothing) {
    ASSERT_EQ(open(), "");
    EXPECT_RUNS(loops, drain_two(session, &server));
    EXPECT_RUNS(loops, drain_and_lose(session, &server));
}

Task<> refused_patterns(SessionPtr session) {
    for (const std::string pattern : {"", "a..b", "a b", ">.a", "a\r\nPUB b 0"}) {
        SubscribeOptions options;
        options.subjects = {pattern};
        const auto error = co_await error_of(session->subscribe(options));
        require(error == "invalid_request nats.subject", pattern + " " + error);
    }
}

TEST_F(NatsSession, RefusesWhatIsNoPattern) {
    ASSERT_EQ(open(), "");
    EXPECT_RUNS(loops, refused_patterns(session));
}

Task<> lose_while_subscribing(SessionPtr session, FakeServer* server) {
    SubscribeOptions options;
    options.subjects = {"a"};
    auto losing = [](FakeServer* at) -> Task<> {
        (void)at->wait_for("pub _INBOX", 1);
        at->lose_connection();
        co_return;
    };
    const auto [error, ignored] =
        co_await when_all(error_of(session->subscribe(options)), losing(server));
    require(error == "disconnected nats.connection_lost", error);
    require(server->wait_for("unsub 2", 1).size() == 1, "it is taken back");
}

TEST_F(NatsSession, ASubscriptionThatTheServerDidNotGetIsNone) {
    ASSERT_EQ(open(), "");
    server.echoes = false;
    EXPECT_RUNS(loops, lose_while_subscribing(session, &server));
}

TEST_F(NatsSession, WritesWhatWaitsBeforeItCloses) {
    ASSERT_EQ(open(), "");
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(session->publish(text("a", "x")));
    EXPECT_RUNS(loops, session->close(Deadline::in(10s)));
    EXPECT_EQ(server.count("pub a"), 50);
    EXPECT_EQ(server.count("close"), 1);
    EXPECT_EQ(detail_of(session->publish(text("a", "x"))), "nats.closed");
    EXPECT_RUNS(loops, session->close(Deadline::in(10s)));
}

TEST_F(NatsSession, AServerThatHangsDelaysNoEnd) {
    ASSERT_EQ(open(), "");
    server.hold();
    EXPECT_TRUE(session->publish(text("a", "x")));
    EXPECT_EQ(server.wait_for("pub a", 1).size(), 1);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_RUNS(loops, session->close(Deadline::in(100ms)));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    EXPECT_EQ(sink.warnings("could not be ended in time"), 1);
    session.reset();
    server.let_go();
    EXPECT_EQ(server.wait_for("close", 1).size(), 1);  // later, by itself
}

Task<> closed_under_them(SessionPtr session, FakeServer* server) {
    SubscribeOptions options;
    options.subjects = {"a"};
    const auto subscription = co_await session->subscribe(options);
    auto waiting = [](const Subscription* of) -> Task<bool> {
        co_return (co_await of->next()).has_value();
    };
    auto closing = [](SessionPtr of, FakeServer* at) -> Task<> {
        (void)at->wait_for("reply ", 1);
        co_await of->close(Deadline::in(10s));
    };
    const auto [more, error, ignored] = co_await when_all(
        waiting(&subscription),
        error_of(session->request(text("q", "?"), Deadline::in(10s))),
        closing(session, server)
    );
    require(!more, "the subscription ends");
    require(error == "unavailable nats.closed", error);
}

TEST_F(NatsSession, EverythingEndsWithTheClient) {
    ASSERT_EQ(open(), "");
    EXPECT_RUNS(loops, closed_under_them(session, &server));
}

Task<> cancelled_request(SessionPtr session, FakeServer* server) {
    TaskScope scope;
    auto asking = [](SessionPtr of) -> Task<> {
        (void)co_await of->request(text("q", "?"), Deadline::in(10s));
    };
    scope.spawn(asking(session));
    co_await yield();
    const auto lines = server->wait_for("reply ", 1);
    co_await scope.close();
    server->deliver(1, lines.at(0).substr(6), "too late");
}

TEST_F(NatsSession, ARequestMayBeCancelled) {
    ASSERT_EQ(open(), "");
    EXPECT_RUNS(loops, cancelled_request(session, &server));
}

}  // namespace
}  // namespace stator::nats
