// Flow control between two sessions: windows, fragments, large messages, slow consumers.
#include "tests/transport/mux_pair.hpp"

namespace stator::transport::test {
namespace {

TEST(MuxCredit, AStalledConsumerStopsItsProducerAtTheWindow) {
    Pair pair;
    const auto id = pair.open(CallShape::server_streaming);
    // 65536 / (992 + 32) = 64 messages; one more is taken and waits.
    EXPECT_EQ(send_until_wait(pair.acceptor, id, 992), 65);
    pair.exchange();
    EXPECT_EQ(pair.caller.messages[id].size(), 64U);
    EXPECT_EQ(pair.worker.events().size(), 1U);  // open only, not writable
    for (int i = 0; i < 7; ++i) pair.dialler.consumed(id, 992);
    pair.exchange();
    EXPECT_EQ(pair.worker.events(), Events{});
    pair.dialler.consumed(id, 992);  // an eighth of the window: one CREDIT
    pair.exchange();
    EXPECT_EQ(pair.worker.events(), Events{"writable 1"});
    EXPECT_EQ(pair.caller.messages[id].size(), 65U);
}

TEST(MuxCredit, EmptyMessagesAreNotFree) {
    Pair pair;
    const auto id = pair.open(CallShape::server_streaming);
    EXPECT_EQ(send_until_wait(pair.acceptor, id, 0), 2049);
    pair.exchange();
    EXPECT_EQ(pair.caller.messages[id].size(), 2048U);
}

TEST(MuxCredit, StalledStreamsDoNotStopOthers) {
    Pair pair;
    std::vector<StreamId> stalled;
    for (int i = 0; i < 60; ++i) {
        stalled.push_back(pair.open(CallShape::server_streaming));
        send_until_wait(pair.acceptor, stalled.back(), 992);
        pair.exchange();
    }
    // Far more is held than the normal window, and nobody takes any of it.
    EXPECT_GT(pair.dialler.stats().held, 1U << 20U);
    const auto id = pair.open(CallShape::server_streaming);
    for (int round = 0; round < 2'000; ++round) {
        ASSERT_EQ(pair.acceptor.send(id, item(992), false), SendStatus::more) << round;
        pair.exchange();
        pair.dialler.consumed(id, 992);
        pair.exchange();
    }
    EXPECT_EQ(pair.caller.messages[id].size(), 2'000U);
    for (const auto each : stalled) pair.dialler.release(each);
    EXPECT_EQ(pair.dialler.stats().held, 0U);
}

TEST(MuxCredit, MemoryIsBoundedWhateverStalls) {
    auto config = windows();
    config.memory_limit = 2 << 20;
    config.most_window = 128 << 10;
    Pair pair{config};
    for (int i = 0; i < 300; ++i) {
        const auto id = pair.open(CallShape::server_streaming);
        send_until_wait(pair.acceptor, id, 992);
        pair.exchange();
        ASSERT_LE(pair.dialler.stats().held, 2U << 20U);
        ASSERT_GE(pair.acceptor.stats().credit_out, 0);
    }
    EXPECT_GT(pair.dialler.stats().held, (2U << 20U) - 16'384);
}

TEST(MuxCredit, LargeMessagesArriveWholeInOneBlock) {
    Pair pair;
    const auto id = pair.open(CallShape::client_streaming);
    const std::string body(1'500'000, 'L');
    std::size_t held = 0;
    pair.worker.got = [&](StreamId, const Bytes& message, bool) { held = message.held(); };
    EXPECT_EQ(pair.dialler.send(id, Bytes::copy_of(body), false), SendStatus::wait);
    pair.exchange();
    ASSERT_EQ(pair.worker.messages[id].size(), 1U);
    EXPECT_TRUE(pair.worker.messages[id][0] == body);
    EXPECT_EQ(held, body.size());
    EXPECT_EQ(pair.caller.events(), Events{"writable 1"});
    EXPECT_EQ(pair.acceptor.stats().reserved, body.size() + 32);
    EXPECT_EQ(pair.acceptor.stats().held, 0U);
    pair.acceptor.consumed(id, body.size());
    EXPECT_EQ(pair.acceptor.stats().reserved, 0U);
}

TEST(MuxCredit, LargeFirstMessagesFollowTheirOpen) {
    Pair pair;
    CallHead head;
    head.path = "a/b/c";
    const auto body = item(1'500'000, 'F');
    const auto id = pair.dialler.open(head, &body, true, nullptr, TimePoint{});
    ASSERT_TRUE(id);
    EXPECT_FALSE(pair.dialler.writable(*id));
    pair.exchange();
    EXPECT_EQ(pair.worker.events(), (Events{"open 1 a/b/c", "message 1 1500000 end"}));
    EXPECT_EQ(pair.caller.events(), Events{});
}

TEST(MuxCredit, AFirstFragmentInsideOpenIsRead) {
    Acceptor worker;
    worker.feed(
        frame(open_frame, message_flag | more_flag, 1, head(CallShape::unary) + u64(6) + "abc")
    );
    EXPECT_EQ(worker.feed(data(1, "de", more_flag)), Events{});
    EXPECT_EQ(worker.feed(data(1, "f", end_flag)), Events{"message 1 6 end"});
    EXPECT_EQ(worker.handler.messages[1], std::vector<std::string>{"abcdef"});
    EXPECT_EQ(worker.session.stats().held, 38U);
    worker.session.consumed(1, 6);
    EXPECT_EQ(worker.session.stats().held, 0U);
}

TEST(MuxCredit, LargeMessagesTakeTurnsForTheBudget) {
    Pair pair;  // a budget of 3 MiB for messages of 1.5 MiB: one at a time, and a half
    std::vector<StreamId> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(pair.open(CallShape::client_streaming));
    for (const auto id : ids) pair.dialler.send(id, item(1'500'000), false);
    pair.exchange();
    EXPECT_EQ(pair.worker.messages[ids[0]].size(), 1U);
    EXPECT_EQ(pair.worker.messages[ids[1]].size(), 1U);
    EXPECT_EQ(pair.worker.messages[ids[2]].size(), 0U);
    // Small messages of others pass meanwhile.
    const auto small = pair.open(CallShape::client_streaming);
    EXPECT_EQ(pair.dialler.send(small, item(100), false), SendStatus::more);
    pair.exchange();
    EXPECT_EQ(pair.worker.messages[small].size(), 1U);
    // First come, first served; a killed one gives its turn away.
    pair.dialler.kill(ids[2], CancelReason::requested);
    pair.exchange();
    EXPECT_EQ(pair.worker.messages[ids[3]].size(), 0U);
    pair.acceptor.consumed(ids[0], 1'500'000);
    pair.exchange();
    EXPECT_EQ(pair.worker.messages[ids[3]].size(), 1U);
}

TEST(MuxCredit, BothDirectionsFullAtOnce) {
    Pair pair;
    std::vector<StreamId> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(pair.open(CallShape::bidirectional));
    for (int round = 0; round < 50; ++round) {
        for (const auto id : ids) {
            if (pair.dialler.writable(id)) pair.dialler.send(id, item(30'000), false);
            if (pair.acceptor.writable(id)) pair.acceptor.send(id, item(30'000), false);
        }
        pair.exchange();
        for (const auto id : ids) {
            for (std::size_t k = 0; k < pair.worker.messages[id].size(); ++k) {
                pair.acceptor.consumed(id, 30'000);
            }
            for (std::size_t k = 0; k < pair.caller.messages[id].size(); ++k) {
                pair.dialler.consumed(id, 30'000);
            }
            pair.worker.messages[id].clear();
            pair.caller.messages[id].clear();
        }
        pair.exchange();
    }
    for (const auto id : ids) {
        EXPECT_TRUE(pair.dialler.writable(id));
        EXPECT_TRUE(pair.acceptor.writable(id));
    }
    EXPECT_EQ(pair.dialler.stats().held, 0U);
    EXPECT_EQ(pair.acceptor.stats().held, 0U);
}

TEST(MuxCredit, CreditOfReleasedStreamsComesBack) {
    Pair pair;
    for (int i = 0; i < 500; ++i) {
        const auto id = pair.open(CallShape::server_streaming);
        send_until_wait(pair.acceptor, id, 992);
        pair.exchange();
        ASSERT_EQ(pair.caller.messages[id].size(), 64U) << i;
        pair.dialler.release(id);
        pair.exchange();
        pair.acceptor.release(id);
    }
    EXPECT_EQ(pair.dialler.stats().held, 0U);
    EXPECT_EQ(pair.dialler.stats().credit_in, pair.acceptor.stats().credit_out);
}

TEST(MuxCredit, CreditFramesAreFew) {
    Pair pair;
    const auto id = pair.open(CallShape::server_streaming);
    const auto before = pair.dialler.stats().frames_out;
    for (int i = 0; i < 10'000; ++i) {
        ASSERT_EQ(pair.acceptor.send(id, item(64), false), SendStatus::more);
        pair.exchange();
        pair.dialler.consumed(id, 64);
        pair.exchange();
    }
    // 10,000 x 96 bytes by steps of 8 KiB for the stream and 512 KiB for the connection.
    EXPECT_LE(pair.dialler.stats().frames_out - before, 960'000U / 8'192 + 2);
}

TEST(MuxCredit, PiecesAreNeitherTinyNorAboveTheLimits) {
    auto config = windows();
    config.fragment = 20'000;
    Pair pair{config};
    const auto id = pair.open(CallShape::server_streaming);
    pair.acceptor.send(id, item(61'000), false);  // leaves 4504
    pair.acceptor.send(id, item(60'000), true);
    std::vector<std::size_t> sizes;
    for (int i = 0; i < 100 && pair.acceptor.stats().open_streams > 0; ++i) {
        for (const auto& sent : take_frames(pair.acceptor)) {
            sizes.push_back(sent.payload.size());
            pair.dialler.feed(
                bytes_of(frame(sent.type, sent.flags, sent.stream, sent.payload)), TimePoint{}
            );
        }
        if (i == 0) pair.dialler.consumed(id, 61'000);
        pair.acceptor.feed(bytes_of(take_output(pair.dialler)), TimePoint{});
    }
    for (const auto& sent : take_frames(pair.acceptor)) sizes.push_back(sent.payload.size());
    ASSERT_EQ(
        sizes,
        (std::vector<std::size_t>{20'008, 20'000, 20'000, 1'000, 4'480, 20'000, 20'000, 15'528})
    );
}

TEST(MuxCredit, AMessageThatFitsTheCreditButNoFrame) {
    Recorder handler;
    auto config = windows();
    Dialler caller{config, {.max_frame = 16384, .stream_credit = 1 << 20}};
    const auto id = caller.open(CallShape::client_streaming);
    EXPECT_EQ(caller.session.send(id, item(40'000), true), SendStatus::more);
    const auto frames = take_frames(caller.session);
    ASSERT_EQ(frames.size(), 4U);
    EXPECT_EQ(frames[1].payload.size(), 16384U);
    EXPECT_EQ(frames[1].flags, message_flag | more_flag);
    EXPECT_EQ(frames[2].flags, static_cast<unsigned>(more_flag));
    EXPECT_EQ(frames[3].flags, static_cast<unsigned>(end_flag));
}

}  // namespace
}  // namespace stator::transport::test
