// What a session writes: coalesced, uncopied where large, bounded, in turn.
#include "tests/transport/mux_support.hpp"

namespace stator::transport::test {
namespace {

TEST(MuxOutput, SmallFramesLeaveInOneVector) {
    Acceptor worker;
    worker.feed(open(1, CallShape::server_streaming, "q"));
    for (int i = 0; i < 100; ++i) worker.session.send_copy(1, bytes_of("item"), false);
    std::array<iovec, 8> vectors{};
    EXPECT_EQ(worker.session.gather(vectors), 1U);
    EXPECT_EQ(vectors[0].iov_len, 100U * 16);
    const std::string begin{static_cast<const char*>(vectors[0].iov_base), 10};
    worker.session.written(10, TimePoint{});
    EXPECT_EQ(parse_frames(begin + take_output(worker.session)).size(), 100U);
}

TEST(MuxOutput, LargeBodiesAreNotCopied) {
    Acceptor worker;
    worker.feed(open(1, CallShape::server_streaming, "q"));
    const auto body = Bytes::copy_of(std::string(20'000, 'b'));
    worker.session.send(1, body, false);
    worker.session.send(1, Bytes::copy_of("tail"), true);
    std::array<iovec, 8> vectors{};
    ASSERT_EQ(worker.session.gather(vectors), 3U);
    EXPECT_EQ(vectors[0].iov_len, 12U);
    EXPECT_EQ(vectors[1].iov_base, body.data());
    EXPECT_EQ(vectors[1].iov_len, body.size());
    EXPECT_EQ(vectors[2].iov_len, 16U);
    const auto frames = take_frames(worker.session);
    ASSERT_EQ(frames.size(), 2U);
    EXPECT_EQ(frames[0].payload, body.view());

    Dialler caller;
    CallHead head;
    head.path = "a/b/c";
    ASSERT_TRUE(caller.session.open(head, &body, true, nullptr, TimePoint{}));
    ASSERT_EQ(caller.session.gather(vectors), 2U);
    EXPECT_EQ(vectors[1].iov_base, body.data());
}

TEST(MuxOutput, WritesOfAnySize) {
    std::string whole;
    for (const std::size_t step : {SIZE_MAX, std::size_t{1}, std::size_t{7}, std::size_t{4096}}) {
        Acceptor worker;
        worker.feed(open(1, CallShape::server_streaming, "q"));
        worker.session.send(1, Bytes::copy_of(std::string(17'000, 'b')), false);
        worker.session.send(1, Bytes::copy_of("small"), false);
        worker.session.send(1, Bytes::copy_of(std::string(18'000, 'c')), true);
        const auto out = take_output(worker.session, TimePoint{}, step);
        if (whole.empty()) whole = out;
        EXPECT_EQ(out, whole) << step;
        EXPECT_EQ(parse_frames(out).size(), 3U);
    }
}

TEST(MuxOutput, MessagesWaitForRoomAndTakeTurns) {
    auto config = config_with_epoch(2);
    config.output_limit = 64 << 10;
    config.fragment = 16 << 10;
    Acceptor worker{config};
    worker.feed(
        open(1, CallShape::server_streaming, "q") + open(3, CallShape::server_streaming, "q")
    );
    worker.feed(frame(credit_frame, 0, 1, u32(1 << 20)) + frame(credit_frame, 0, 3, u32(1 << 20)));
    const auto body = Bytes::copy_of(std::string(100'000, 'b'));
    EXPECT_EQ(worker.session.send(1, body, false), SendStatus::wait);
    EXPECT_EQ(worker.session.send(3, body, true), SendStatus::wait);
    EXPECT_LE(worker.session.stats().unwritten, (64U << 10U) + (16U << 10U) + 20);
    std::vector<StreamId> order;
    for (const auto& sent : take_frames(worker.session)) order.push_back(sent.stream);
    // The first fills the output alone; from then on both take turns.
    ASSERT_EQ(order.size(), 14U);
    EXPECT_EQ(
        std::vector<StreamId>(order.begin() + 4, order.begin() + 8),
        (std::vector<StreamId>{1, 3, 1, 3})
    );
    EXPECT_EQ(worker.handler.events(), Events{"writable 1"});
    EXPECT_EQ(worker.session.stats().open_streams, 1U);
}

TEST(MuxOutput, CongestionTurnsCallsAwayUntilItIsOver) {
    auto config = config_with_epoch(1);
    config.output_limit = 16 << 10;
    Dialler caller{config};
    CallHead head;
    head.path = "a/b/c";
    const auto request = Bytes::copy_of(std::string(1000, 'r'));
    int opened = 0;
    for (;; ++opened) {
        const auto id = caller.session.open(head, &request, true, nullptr, TimePoint{});
        if (id) continue;
        EXPECT_EQ(id.error().detail(), "mux.congested");
        EXPECT_EQ(id.error().code(), ErrorCode::overloaded);
        break;
    }
    EXPECT_GT(opened, 100);
    EXPECT_LT(opened, 140);
    EXPECT_EQ(caller.handler.events(), Events{});
    take_output(caller.session);
    EXPECT_EQ(caller.handler.events(), Events{"uncongested"});
    EXPECT_NE(caller.open(CallShape::unary), 0U);
}

TEST(MuxOutput, FramesLargerThanAChunk) {
    auto config = config_with_epoch(2);
    config.max_head = 65535;
    Dialler caller{config_with_epoch(1), {.max_head = 65535}};
    const std::string value(60'000, 'v');
    const std::vector<HeaderField> fields = {{"k", value}};
    CallHead head;
    head.path = "a/b/c";
    head.headers = fields;
    const auto body = Bytes::copy_of(std::string(15'000, 'b'));
    Acceptor worker{config};
    for (int i = 0; i < 3; ++i) {
        const auto id = caller.session.open(head, &body, true, nullptr, TimePoint{});
        ASSERT_TRUE(id) << id.error().what();
        worker.feed(take_output(caller.session));
        EXPECT_EQ(worker.handler.messages[*id].front(), body.view());
    }
}

}  // namespace
}  // namespace stator::transport::test
