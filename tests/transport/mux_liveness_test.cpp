// Silence, suspicion and loss, with time that moves only when told.
#include "tests/transport/mux_support.hpp"

namespace stator::transport::test {
namespace {

TimePoint at(Duration after) { return TimePoint{1h} + after; }

/// A side with a peer that is ready, at at(0s).
struct Watched {
    explicit Watched(MuxRole role = MuxRole::dialler)
        : session{role, config_with_epoch(1), handler, at(0s)} {
        session.feed(bytes_of(role == MuxRole::dialler ? hello() : preface() + hello()), at(0s));
        take_output(session, at(0s));
        handler.events();
    }
    Events timer(Duration after) {
        session.on_timer(at(after));
        return handler.events();
    }
    std::vector<SentFrame> sent(Duration after) {
        return parse_frames(take_output(session, at(after)));
    }
    void hear(Duration after) { session.feed(bytes_of(frame(0x80, 0, 0, "")), at(after)); }
    Recorder handler;
    MuxSession session;
};

TEST(MuxLiveness, IdleConnectionsAreLeftAlone) {
    Watched side;
    EXPECT_EQ(side.session.next_timer(), TimePoint::max());
    EXPECT_EQ(side.timer(1000s), Events{});
    EXPECT_FALSE(side.session.has_output());
}

TEST(MuxLiveness, PingSuspectLost) {
    Watched side;
    side.session.watch(true, at(100s));
    EXPECT_EQ(side.session.next_timer(), at(101s));
    EXPECT_EQ(side.timer(100s + 999ms), Events{});
    EXPECT_FALSE(side.session.has_output());
    EXPECT_EQ(side.timer(101s), Events{});
    const auto ping = side.sent(101s);
    ASSERT_EQ(ping.size(), 1U);
    EXPECT_EQ(ping[0].type, ping_frame);
    EXPECT_EQ(side.session.next_timer(), at(104s));
    EXPECT_EQ(side.timer(103s), Events{});
    EXPECT_EQ(side.timer(104s), Events{"suspect"});
    EXPECT_TRUE(side.session.suspect());
    EXPECT_EQ(side.timer(105s), Events{});
    EXPECT_EQ(side.session.next_timer(), at(130s));
    EXPECT_EQ(side.timer(129s), Events{});
    EXPECT_EQ(side.timer(130s), Events{"closed disconnected mux.peer_silent"});
    EXPECT_EQ(side.sent(130s).back().detail(), "mux.peer_silent");
    EXPECT_EQ(side.session.next_timer(), TimePoint::max());
}

TEST(MuxLiveness, AnyByteHeals) {
    Watched side;
    side.session.watch(true, at(0s));
    side.timer(1s);
    side.timer(4s);
    side.handler.events();
    side.session.feed(bytes_of(std::string(1, '\x01')), at(5s));  // not even a header
    EXPECT_EQ(side.handler.events(), Events{"healthy"});
    EXPECT_FALSE(side.session.suspect());
    EXPECT_EQ(side.session.next_timer(), at(6s));
    EXPECT_EQ(side.timer(6s), Events{});
    EXPECT_EQ(side.timer(9s), Events{"suspect"});
}

TEST(MuxLiveness, PongGivesTheRoundTrip) {
    Watched side;
    side.session.watch(true, at(0s));
    side.timer(1s);
    const auto ping = side.sent(1s);
    ASSERT_EQ(ping.size(), 1U);
    side.session.feed(bytes_of(frame(pong_frame, 0, 0, u64(12345))), at(1s + 1ms));
    EXPECT_EQ(side.session.stats().round_trip, Duration{0});
    side.session.feed(bytes_of(frame(pong_frame, 0, 0, ping[0].payload)), at(1s + 2ms));
    EXPECT_EQ(side.session.stats().round_trip, 2ms);
    side.session.feed(bytes_of(frame(pong_frame, 0, 0, ping[0].payload)), at(9s));
    EXPECT_EQ(side.session.stats().round_trip, 2ms);
}

TEST(MuxLiveness, OpenCallsAreWatchedOnBothSides) {
    Watched caller;
    CallHead head;
    head.path = "a/b/c";
    const auto id = caller.session.open(head, nullptr, false, nullptr, at(50s));
    ASSERT_TRUE(id);
    EXPECT_EQ(caller.session.next_timer(), at(51s));
    caller.timer(51s);
    caller.timer(54s);
    EXPECT_EQ(
        caller.timer(80s),
        (Events{
            "error 1 disconnected mux.disconnected not_accepted",
            "closed disconnected mux.peer_silent"
        })
    );

    Watched worker{MuxRole::acceptor};
    worker.session.feed(bytes_of(open(1, CallShape::unary, "q")), at(50s));
    EXPECT_EQ(worker.session.next_timer(), at(51s));
    worker.session.send(1, Bytes::copy_of("a"), true);
    EXPECT_EQ(worker.sent(50s).size(), 1U);
    EXPECT_EQ(worker.session.next_timer(), TimePoint::max());
}

TEST(MuxLiveness, ClosedCallsEndTheWatch) {
    Watched side;
    CallHead head;
    head.path = "a/b/c";
    const auto id = side.session.open(head, nullptr, false, nullptr, at(0s));
    side.session.kill(*id, CancelReason::requested);
    side.sent(0s);
    EXPECT_EQ(side.session.next_timer(), TimePoint::max());
    side.session.watch(true, at(0s));
    EXPECT_EQ(side.session.next_timer(), at(1s));
    side.session.watch(false, at(0s));
    EXPECT_EQ(side.session.next_timer(), TimePoint::max());
}

TEST(MuxLiveness, OurOwnStandstillIsNotThePeersFault) {
    // Stopped before the ping: bytes may wait unread, so the peer gets its time again.
    Watched side;
    side.session.watch(true, at(0s));
    EXPECT_EQ(side.timer(60s), Events{});
    EXPECT_EQ(side.sent(60s).size(), 1U);
    EXPECT_EQ(side.session.next_timer(), at(63s));
    // Stopped between ping and suspicion.
    EXPECT_EQ(side.timer(100s), Events{});
    EXPECT_EQ(side.session.next_timer(), at(103s));
    EXPECT_EQ(side.timer(103s), Events{"suspect"});
    // Stopped between suspicion and loss.
    EXPECT_EQ(side.timer(300s), Events{});
    EXPECT_EQ(side.session.next_timer(), at(329s));
    EXPECT_EQ(side.timer(329s + 999ms), Events{"closed disconnected mux.peer_silent"});
}

TEST(MuxLiveness, HandshakeTimesOut) {
    for (const auto role : {MuxRole::dialler, MuxRole::acceptor}) {
        Recorder handler;
        MuxSession session{role, config_with_epoch(1), handler, at(0s)};
        EXPECT_EQ(session.next_timer(), at(5s));
        session.feed(bytes_of(std::string(3, role == MuxRole::dialler ? '\x01' : '\xFF')), at(4s));
        session.on_timer(at(5s) - 1ns);
        EXPECT_EQ(handler.events(), Events{});
        session.on_timer(at(5s));
        EXPECT_EQ(handler.events(), Events{"closed unavailable mux.handshake_timeout"});
    }
}

TEST(MuxLiveness, OutputThatIsNotTakenEndsTheConnection) {
    Watched side{MuxRole::acceptor};
    side.session.feed(bytes_of(frame(ping_frame, 0, 0, u64(1))), at(0s));
    std::array<iovec, 4> vectors{};
    EXPECT_EQ(side.session.gather(vectors), 1U);
    EXPECT_EQ(side.session.next_timer(), at(30s));
    EXPECT_EQ(side.timer(30s), Events{});  // begins to count
    EXPECT_EQ(side.session.next_timer(), at(60s));
    side.session.written(1, at(59s));
    EXPECT_EQ(side.timer(60s), Events{});  // it moved
    EXPECT_EQ(side.timer(89s), Events{});
    EXPECT_EQ(side.timer(90s), Events{"closed disconnected mux.write_stalled"});

    Watched calm{MuxRole::acceptor};
    calm.session.feed(bytes_of(frame(ping_frame, 0, 0, u64(1))), at(0s));
    calm.sent(0s);
    EXPECT_EQ(calm.timer(200s), Events{});
}

TEST(MuxLiveness, TrafficKeepsQuiet) {
    Watched side;
    side.session.watch(true, at(0s));
    for (int i = 1; i < 1000; ++i) {
        side.hear(i * 900ms);
        EXPECT_EQ(side.timer(i * 900ms), Events{});
        ASSERT_FALSE(side.session.has_output());
    }
}

}  // namespace
}  // namespace stator::transport::test
