// One session against a hand-written peer: handshake, the four shapes, ends, drain, ids.
#include "tests/transport/mux_support.hpp"

namespace stator::transport::test {
namespace {

const Error worker_full{ErrorCode::overloaded, "gate.full", "full"};

TEST(MuxHandshake, CutAtEveryByte) {
    const auto greeting = preface() + hello() + open(1, CallShape::unary, "hi");
    for (std::size_t cut = 0; cut <= greeting.size(); ++cut) {
        Recorder handler;
        MuxSession session{MuxRole::acceptor, config_with_epoch(2), handler, TimePoint{}};
        session.feed(bytes_of(greeting).first(cut), TimePoint{});
        session.feed(bytes_of(greeting).subspan(cut), TimePoint{});
        EXPECT_EQ(handler.events(), (Events{"ready epoch 7", "open 1 a/b/c message end"})) << cut;
    }
}

TEST(MuxHandshake, DiallerSpeaksFirstAndOpensNothingBeforeTheAnswer) {
    Recorder handler;
    MuxSession session{MuxRole::dialler, config_with_epoch(1), handler, TimePoint{}};
    EXPECT_TRUE(session.has_output());
    const auto sent = take_output(session);
    EXPECT_EQ(sent.substr(0, 16), preface());
    EXPECT_EQ(parse_frames(sent.substr(16)).size(), 1U);
    CallHead head;
    head.path = "a/b/c";
    const auto early = session.open(head, nullptr, false, nullptr, TimePoint{});
    ASSERT_FALSE(early);
    EXPECT_EQ(early.error().detail(), "mux.not_ready");
    EXPECT_EQ(early.error().code(), ErrorCode::unavailable);
    session.feed(bytes_of(hello({.epoch = 99})), TimePoint{});
    EXPECT_EQ(handler.events(), Events{"ready epoch 99"});
    EXPECT_EQ(session.peer().epoch, 99U);
    EXPECT_EQ(session.role(), MuxRole::dialler);
}

TEST(MuxHandshake, AcceptorAnswersThePrefaceAlone) {
    Recorder handler;
    MuxSession session{MuxRole::acceptor, config_with_epoch(2), handler, TimePoint{}};
    EXPECT_FALSE(session.has_output());
    session.feed(bytes_of(preface(1, 9)), TimePoint{});
    const auto frames = take_frames(session);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].type, hello_frame);
    EXPECT_EQ(frames[0].payload.substr(0, 2), u16(1));
    EXPECT_FALSE(session.ready());
}

TEST(MuxHandshake, NoCommonVersion) {
    Recorder handler;
    MuxSession session{MuxRole::acceptor, config_with_epoch(2), handler, TimePoint{}};
    session.feed(bytes_of(preface(2, 5)), TimePoint{});
    EXPECT_EQ(handler.events(), Events{"closed unimplemented mux.no_common_version"});
    const auto frames = take_frames(session);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].type, goodbye_frame);
    EXPECT_EQ(frames[0].detail(), "mux.no_common_version");
    EXPECT_TRUE(session.closed());
    EXPECT_EQ(session.next_timer(), TimePoint::max());
}

TEST(MuxCall, UnaryIsOneFrameEachWay) {
    Dialler caller;
    Acceptor worker;
    const auto id = caller.open(CallShape::unary, "question");
    EXPECT_EQ(id, 1U);
    auto sent = take_output(caller.session);
    EXPECT_EQ(parse_frames(sent).size(), 1U);
    EXPECT_EQ(worker.feed(sent), Events{"open 1 a/b/c message end"});
    EXPECT_EQ(worker.handler.messages[1], std::vector<std::string>{"question"});
    worker.session.accept(1);
    worker.session.consumed(1, 8);
    EXPECT_EQ(worker.session.send(1, Bytes::copy_of("answer"), true), SendStatus::more);
    worker.session.release(1);
    sent = take_output(worker.session);
    EXPECT_EQ(parse_frames(sent).size(), 1U);
    EXPECT_EQ(caller.feed(sent), Events{"message 1 6 end"});
    caller.session.consumed(1, 6);
    caller.session.release(1);
    EXPECT_FALSE(caller.session.has_output());
    EXPECT_FALSE(worker.session.has_output());
    EXPECT_EQ(caller.session.stats().streams, 0U);
    EXPECT_EQ(worker.session.stats().streams, 0U);
    EXPECT_EQ(worker.session.stats().held, 0U);
}

TEST(MuxCall, AcceptIsAFrameOfItsOwnOnlyAlone) {
    Acceptor worker;
    worker.feed(
        open(1, CallShape::server_streaming, "q") + open(3, CallShape::server_streaming, "q")
    );
    worker.session.accept(1);
    worker.session.accept(3);
    worker.session.send(3, Bytes::copy_of("item"), false);
    auto frames = take_frames(worker.session);
    ASSERT_EQ(frames.size(), 2U);
    EXPECT_EQ(frames[0].type, data_frame);
    EXPECT_EQ(frames[0].stream, 3U);
    EXPECT_EQ(frames[1].type, accept_frame);
    EXPECT_EQ(frames[1].stream, 1U);
    worker.session.accept(1);  // again: nothing
    EXPECT_FALSE(worker.session.has_output());
}

TEST(MuxCall, ServerStreaming) {
    Dialler caller;
    const auto id = caller.open(CallShape::server_streaming);
    EXPECT_EQ(caller.feed(frame(accept_frame, 0, id, "")), Events{"accept 1"});
    EXPECT_EQ(
        caller.feed(data(id, "a") + data(id, "") + data(id, "ccc", message_flag | end_flag)),
        (Events{"message 1 1", "message 1 0", "message 1 3 end"})
    );
    EXPECT_EQ(caller.handler.messages[id], (std::vector<std::string>{"a", "", "ccc"}));
}

TEST(MuxCall, ClientStreamingAndHalfClose) {
    Dialler caller;
    Acceptor worker;
    const auto id = caller.open(CallShape::client_streaming);
    caller.session.send(id, Bytes::copy_of("one"), false);
    caller.session.send(id, Bytes::copy_of("two"), false);
    caller.session.end(id);
    EXPECT_EQ(caller.session.send(id, Bytes::copy_of("late"), false), SendStatus::gone);
    EXPECT_EQ(
        worker.feed(take_output(caller.session)),
        (Events{"open 1 a/b/c", "message 1 3", "message 1 3", "end 1"})
    );
    EXPECT_EQ(worker.session.send(id, Bytes::copy_of("sum"), false), SendStatus::more);
    EXPECT_EQ(worker.session.send(id, Bytes::copy_of("two answers"), true), SendStatus::gone);
    worker.session.end(id);
    EXPECT_EQ(caller.feed(take_output(worker.session)), (Events{"message 1 3", "end 1"}));
}

TEST(MuxCall, BidirectionalAnswersWhileAsked) {
    Dialler caller;
    Acceptor worker;
    const auto id = caller.open(CallShape::bidirectional);
    worker.feed(take_output(caller.session));
    for (int i = 0; i < 3; ++i) {
        caller.session.send(id, Bytes::copy_of(fmt::format("q{}", i)), i == 2);
        worker.feed(take_output(caller.session));
        worker.session.send(id, Bytes::copy_of(fmt::format("a{}", i)), i == 2);
        caller.feed(take_output(worker.session));
    }
    EXPECT_EQ(worker.handler.messages[id], (std::vector<std::string>{"q0", "q1", "q2"}));
    EXPECT_EQ(caller.handler.messages[id], (std::vector<std::string>{"a0", "a1", "a2"}));
}

TEST(MuxCall, TheAnswersEndEndsTheCall) {
    Dialler caller;
    const auto id = caller.open(CallShape::bidirectional);
    take_output(caller.session);
    EXPECT_EQ(caller.feed(frame(end_frame, 0, id, "")), Events{"end 1"});
    EXPECT_EQ(caller.session.send(id, Bytes::copy_of("more"), false), SendStatus::gone);
    caller.session.end(id);
    caller.session.kill(id, CancelReason::requested);
    EXPECT_FALSE(caller.session.has_output());
    EXPECT_EQ(caller.feed(data(id, "late") + frame(end_frame, 0, id, "")), Events{});
    EXPECT_EQ(caller.session.stats().dropped_frames, 2U);
}

TEST(MuxCall, RefusedFailedAndLost) {
    Dialler caller;
    Acceptor worker;
    for (int i = 0; i < 4; ++i) caller.open(CallShape::unary);
    worker.feed(take_output(caller.session));
    worker.session.accept(1);
    worker.session.refuse(1, worker_full);  // accept was not told yet
    worker.session.fail(3, worker_full);
    worker.session.accept(5);
    EXPECT_EQ(
        caller.feed(take_output(worker.session)),
        (Events{
            "error 1 overloaded gate.full refused",
            "error 3 overloaded gate.full accepted",
            "accept 5",
        })
    );
    caller.session.disconnected(Error{ErrorCode::disconnected, "net.reset", "reset by peer"});
    EXPECT_EQ(
        caller.handler.events(),
        (Events{
            "error 5 disconnected mux.disconnected accepted",
            "error 7 disconnected mux.disconnected not_accepted",
            "closed disconnected net.reset",
        })
    );
    caller.session.release(5);
    caller.session.disconnected(worker_full);
    EXPECT_EQ(caller.handler.events(), Events{});
    EXPECT_FALSE(caller.session.has_output());
}

TEST(MuxCall, ARefusalAfterAcceptIsAnError) {
    Acceptor worker;
    worker.feed(open(1, CallShape::server_streaming, "q"));
    worker.session.send(1, Bytes::copy_of("item"), false);
    worker.session.refuse(1, worker_full);
    const auto frames = take_frames(worker.session);
    ASSERT_EQ(frames.size(), 2U);
    EXPECT_EQ(frames[1].type, error_frame);
    EXPECT_EQ(frames[1].flags, 0U);
}

TEST(MuxCall, StopOnceThenKill) {
    Dialler caller;
    Acceptor worker;
    const auto id = caller.open(CallShape::server_streaming);
    caller.session.stop(id, CancelReason::parent);
    caller.session.stop(id, CancelReason::parent);
    worker.handler.events();
    EXPECT_EQ(
        worker.feed(take_output(caller.session)), (Events{"open 1 a/b/c message end", "stop 1 4"})
    );
    EXPECT_EQ(worker.feed(frame(stop_frame, 0, id, u8(1))), Events{});
    caller.session.kill(id, CancelReason::deadline);
    EXPECT_EQ(worker.feed(take_output(caller.session)), Events{"kill 1 2"});
    EXPECT_EQ(worker.session.send(id, Bytes::copy_of("x"), false), SendStatus::gone);
    worker.session.fail(id, worker_full);
    EXPECT_FALSE(worker.session.has_output());
    EXPECT_EQ(worker.feed(frame(kill_frame, 0, id, u8(1))), Events{});
}

TEST(MuxCall, UnknownReasonsReadAsRequested) {
    Acceptor worker;
    for (const unsigned reason : {0U, 6U, 255U}) {
        const auto id = 1 + 2 * reason;
        EXPECT_EQ(
            worker.feed(open(id, CallShape::unary, "q") + frame(kill_frame, 0, id, u8(reason)))
                .back(),
            fmt::format("kill {} 1", id)
        );
    }
}

TEST(MuxCall, ReleasingALiveCallKillsIt) {
    Dialler caller;
    const auto id = caller.open(CallShape::unary);
    take_output(caller.session);
    caller.session.release(id);
    const auto frames = take_frames(caller.session);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].type, kill_frame);
    EXPECT_EQ(caller.feed(data(id, "late", message_flag | end_flag)), Events{});

    Acceptor worker;
    worker.feed(open(1, CallShape::unary, "q"));
    worker.session.release(1);
    const auto answer = take_frames(worker.session);
    ASSERT_EQ(answer.size(), 1U);
    EXPECT_EQ(answer[0].type, error_frame);
    EXPECT_EQ(answer[0].detail(), "mux.abandoned");
}

TEST(MuxCall, AFinishedAnswerLeavesWithoutItsOwner) {
    Acceptor worker;
    const std::string large(200'000, 'x');
    worker.feed(open(1, CallShape::unary, "q"));  // grants 65536
    EXPECT_EQ(worker.session.send(1, Bytes::copy_of(large), true), SendStatus::wait);
    worker.session.release(1);
    EXPECT_EQ(worker.session.stats().streams, 1U);
    auto frames = take_frames(worker.session);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].flags, message_flag | more_flag);
    worker.feed(frame(credit_frame, 0, 1, u32(500'000)) + frame(stop_frame, 0, 1, u8(1)));
    frames = take_frames(worker.session);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].flags, static_cast<unsigned>(end_flag));
    EXPECT_EQ(worker.session.stats().streams, 0U);
    EXPECT_EQ(worker.handler.events(), Events{});
}

TEST(MuxCall, AKillEndsAnAnswerThatWasLeftBehind) {
    for (const auto& last :
         {frame(kill_frame, 0, 1, u8(1)), frame(reset_frame, 0, 1, error_block(1, "", ""))}) {
        Acceptor worker;
        worker.feed(open(1, CallShape::bidirectional, "q", message_flag));
        worker.session.send(1, Bytes::copy_of(std::string(200'000, 'x')), false);
        worker.session.fail(1, worker_full);
        worker.session.release(1);
        EXPECT_EQ(worker.feed(data(1, "more")), Events{});
        EXPECT_EQ(worker.session.stats().streams, 1U);
        EXPECT_EQ(worker.feed(last), Events{});
        EXPECT_EQ(worker.session.stats().streams, 0U);
        EXPECT_EQ(worker.session.stats().held, 0U);
    }
}

TEST(MuxCall, AnErrorComesAfterWhatWasSentBefore) {
    Acceptor worker;
    worker.feed(open(1, CallShape::server_streaming, "q"));
    worker.session.send(1, Bytes::copy_of(std::string(100'000, 'x')), false);
    worker.session.fail(1, worker_full);
    EXPECT_EQ(worker.session.send(1, Bytes::copy_of("x"), false), SendStatus::gone);
    EXPECT_EQ(take_frames(worker.session).size(), 1U);
    worker.feed(frame(credit_frame, 0, 1, u32(100'000)));
    const auto frames = take_frames(worker.session);
    ASSERT_EQ(frames.size(), 2U);
    EXPECT_EQ(frames[0].flags, 0U);
    EXPECT_EQ(frames[1].type, error_frame);
    EXPECT_EQ(worker.handler.events(), Events{});  // no on_writable
}

TEST(MuxCall, ResetOvertakesAndEnds) {
    Acceptor worker;
    worker.feed(open(1, CallShape::server_streaming, "q"));
    worker.session.send(1, Bytes::copy_of(std::string(100'000, 'x')), false);
    take_output(worker.session);
    worker.session.reset(1, Error{ErrorCode::internal, "x.y", "broken"});
    worker.feed(frame(credit_frame, 0, 1, u32(100'000)));
    const auto frames = take_frames(worker.session);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].type, reset_frame);

    Dialler caller;
    const auto id = caller.open(CallShape::server_streaming);
    EXPECT_EQ(
        caller.feed(frame(reset_frame, 0, id, error_block(15, "x.y", "broken"))),
        Events{"error 1 internal x.y not_accepted"}
    );
    const auto other = caller.open(CallShape::bidirectional);
    take_output(caller.session);
    caller.session.reset(other, worker_full);
    EXPECT_EQ(caller.handler.events(), Events{});
    const auto sent = take_output(caller.session);
    worker.feed(open(3, CallShape::bidirectional, "", 0));
    EXPECT_EQ(worker.feed(sent), Events{"reset 3 overloaded gate.full"});
}

TEST(MuxCall, ContextsAreKept) {
    int mine = 0;
    Dialler caller;
    CallHead head;
    head.path = "a/b/c";
    head.shape = CallShape::bidirectional;
    const auto id = caller.session.open(head, nullptr, false, &mine, TimePoint{});
    ASSERT_TRUE(id);
    EXPECT_EQ(caller.session.context(*id), &mine);
    caller.session.set_context(*id, nullptr);
    EXPECT_EQ(caller.session.context(*id), nullptr);
    EXPECT_EQ(caller.session.context(99), nullptr);
    Acceptor worker;
    worker.feed(open(1, CallShape::unary, "q"));
    EXPECT_EQ(worker.session.context(1), &worker.handler.messages[1]);
}

TEST(MuxCall, HandlersMayActInsideTheirCallbacks) {
    Acceptor worker;
    worker.handler.opened = [&](StreamId id, const CallHead&, const Bytes* first, bool) {
        if (id == 1) worker.session.refuse(id, worker_full);
        if (id == 3) worker.session.send(id, *first, true);
        worker.session.release(id);
    };
    worker.feed(
        open(1, CallShape::unary, "q") + open(3, CallShape::unary, "q") +
        open(5, CallShape::unary, "q")
    );
    const auto frames = take_frames(worker.session);
    ASSERT_EQ(frames.size(), 3U);
    EXPECT_EQ(frames[0].flags, static_cast<unsigned>(refused_flag));
    EXPECT_EQ(frames[1].payload, "q");
    EXPECT_EQ(frames[2].detail(), "mux.abandoned");
    EXPECT_EQ(worker.session.stats().streams, 0U);

    Dialler caller;
    caller.handler.got = [&](StreamId id, const Bytes&, bool) { caller.session.release(id); };
    const auto id = caller.open(CallShape::server_streaming);
    EXPECT_EQ(caller.feed(data(id, "a") + data(id, "b")), Events{"message 1 1"});
    Dialler other;
    other.handler.got = [&](StreamId, const Bytes&, bool) { other.session.goodbye(std::nullopt); };
    other.open(CallShape::server_streaming);
    EXPECT_EQ(
        other.feed(data(1, "a") + data(1, "b")),
        (Events{
            "message 1 1",
            "error 1 disconnected mux.disconnected accepted",
            "closed disconnected mux.goodbye",
        })
    );
}

TEST(MuxOpen, WhatIsRefusedLocally) {
    Dialler caller{config_with_epoch(1), {.max_message = 16384, .max_streams = 2}};
    CallHead head;
    head.path = "a/b/c";
    const auto open = [&](const Bytes* first, bool end) {
        const auto id = caller.session.open(head, first, end, nullptr, TimePoint{});
        return id ? "opened" : id.error().detail();
    };
    const auto small = Bytes::copy_of("x");
    const auto large = Bytes::copy_of(std::string(16385, 'x'));
    EXPECT_EQ(open(nullptr, true), "mux.missing_message");
    EXPECT_EQ(open(&large, true), "mux.message_too_large");
    head.path = "";
    EXPECT_EQ(open(&small, true), "mux.bad_head");
    const std::string long_value(17000, 'v');
    const std::vector<HeaderField> fields = {{"k", long_value}};
    head.path = "a/b/c";
    head.headers = fields;
    EXPECT_EQ(open(&small, true), "mux.head_too_large");
    head.headers = {};
    EXPECT_EQ(caller.session.stats().streams, 0U);
    EXPECT_EQ(open(&small, true), "opened");
    EXPECT_EQ(caller.session.send(1, small, true), SendStatus::gone);
    EXPECT_EQ(open(nullptr, false), "opened");
    EXPECT_EQ(open(&small, true), "mux.too_many_streams");
    EXPECT_EQ(caller.session.send(3, large, true), SendStatus::too_large);
    EXPECT_EQ(caller.session.send(3, small, true), SendStatus::more);
    caller.session.kill(3, CancelReason::requested);
    EXPECT_EQ(open(&small, true), "opened");
    caller.session.kill(1, CancelReason::requested);
    caller.session.drain(InstanceId{}, "moving");
    EXPECT_EQ(open(&small, true), "mux.draining");
    Acceptor worker;
    EXPECT_EQ(
        worker.session.open(head, &small, true, nullptr, TimePoint{}).error().detail(),
        "mux.not_dialler"
    );
    caller.session.goodbye(std::nullopt);
    EXPECT_EQ(open(&small, true), "mux.closed");
}

TEST(MuxDrain, OfOneInstanceAndOfAll) {
    Dialler caller;
    EXPECT_EQ(caller.feed(frame(drain_frame, 0, 0, u64(0xAB) + "bye\n")), Events{"drain ab bye?"});
    const auto id = caller.open(CallShape::unary);
    EXPECT_EQ(caller.feed(frame(drain_frame, 0, 0, u64(0))), Events{"drain 0 "});
    CallHead head;
    head.path = "a/b/c";
    const auto no = caller.session.open(head, nullptr, false, nullptr, TimePoint{});
    ASSERT_FALSE(no);
    EXPECT_EQ(no.error().code(), ErrorCode::draining);
    EXPECT_EQ(caller.feed(data(id, "still", message_flag | end_flag)), Events{"message 1 5 end"});
}

TEST(MuxDrain, ReasonsAreCut) {
    Acceptor worker;
    worker.session.drain(InstanceId{3}, std::string(300, 'r'));
    const auto frames = take_frames(worker.session);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].payload, u64(3) + std::string(256, 'r'));
}

TEST(MuxGoodbye, TellsThePeerWhyAndEndsTheCalls) {
    Acceptor worker;
    worker.feed(open(1, CallShape::unary, "q"));
    worker.session.goodbye(Error{ErrorCode::unavailable, "app.stop", "stopping"});
    EXPECT_EQ(
        worker.handler.events(),
        (Events{"reset 1 disconnected mux.disconnected", "closed unavailable app.stop"})
    );
    Dialler caller;
    caller.open(CallShape::unary);
    EXPECT_EQ(
        caller.feed(take_output(worker.session)),
        (Events{"error 1 disconnected mux.disconnected not_accepted", "closed unavailable app.stop"}
        )
    );
    EXPECT_EQ(caller.feed(data(1, "x")), Events{});
    std::array<iovec, 2> space{};
    EXPECT_EQ(caller.session.receive_space(space), 0U);
}

TEST(MuxIds, RunOut) {
    auto config = config_with_epoch(1);
    config.first_stream = 0xFFFFFFFFU - 4;
    Dialler caller{config};
    EXPECT_EQ(caller.open(CallShape::unary), 0xFFFFFFFBU);
    EXPECT_EQ(caller.handler.events(), Events{"replace"});
    EXPECT_EQ(caller.open(CallShape::unary), 0xFFFFFFFDU);
    EXPECT_EQ(caller.open(CallShape::unary), 0xFFFFFFFFU);
    EXPECT_EQ(caller.handler.events(), Events{});
    CallHead head;
    head.path = "a/b/c";
    const auto no = caller.session.open(head, nullptr, false, nullptr, TimePoint{});
    ASSERT_FALSE(no);
    EXPECT_EQ(no.error().detail(), "mux.ids_exhausted");
    const auto frames = take_frames(caller.session);
    ASSERT_EQ(frames.size(), 4U);
    EXPECT_EQ(frames[3].type, drain_frame);
    EXPECT_EQ(
        caller.feed(data(0xFFFFFFFFU, "x", message_flag | end_flag)),
        Events{"message 4294967295 1 end"}
    );
}

}  // namespace
}  // namespace stator::transport::test
