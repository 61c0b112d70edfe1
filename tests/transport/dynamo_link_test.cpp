// DynamoLink on real sockets: who ends what, and what a slow peer costs.
#include "transport/dynamo_link.hpp"

#include <sys/socket.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "loopback.hpp"
#include "transport/dynamo_writer.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters): the frames of the tests
// outlive every task
namespace stator::transport {
namespace {

using namespace test;

/// Keeps what comes in, and what it was told.
class Recorder : public DynamoLinkUser {
public:
    std::size_t space(std::array<iovec, 2>& vectors) override {
        vectors[0] = {buffer_.data(), buffer_.size()};
        return 1;
    }
    void received(std::size_t size) override {
        text.append(buffer_.data(), size);
        if (on_received) on_received();
    }
    void peer_finished() noexcept override { finished = true; }
    void writable() noexcept override { ++writables; }
    void all_written() noexcept override { ++writes; }
    void lost(const Error& why) noexcept override { loss = why; }

    std::string text;
    std::function<void()> on_received;
    bool finished = false;
    int writables = 0;
    int writes = 0;
    std::optional<Error> loss;

private:
    std::array<char, 4096> buffer_{};
};

/// A link at the near end of a connection, run beside the test.
struct Running {
    Recorder user;
    DynamoLink link{user};
    std::unique_ptr<net::Stream> peer;
    TaskScope scope;

    Task<> start() {
        auto pair = co_await stream_pair();
        peer = std::move(pair.far);
        scope.spawn(link.run(std::move(pair.near)));
    }
    void put(std::string_view text) {
        dynamo::put_message(link.output(), {}, Bytes::copy_of(text));
        link.touch();
    }
};

constexpr std::size_t prelude = 24;

TEST(DynamoLink, WhatOneTurnPutsLeavesInOneWrite) {
    on_a_loop([]() -> Task<> {
        Running running;
        for (int i = 0; i < 100; ++i) running.put("0123456789");  // before there is a socket, too
        co_await running.start();
        for (int i = 0; i < 100; ++i) running.put("0123456789");
        const auto text = co_await read_exactly(running.peer.get(), 200 * (prelude + 10));
        EXPECT_EQ(text.size(), 200 * (prelude + 10));
        EXPECT_EQ(running.link.writes(), 1U);
        EXPECT_EQ(running.user.writes, 1);
        running.link.close();
        co_await running.scope.join();
        EXPECT_FALSE(running.user.loss.has_value());
    });
}

TEST(DynamoLink, BytesComeAsTheyAreSent) {
    on_a_loop([]() -> Task<> {
        Running running;
        co_await running.start();
        co_await write_all(running.peer.get(), "hello");
        EXPECT_TRUE(co_await until([&] { return running.user.text == "hello"; }));
        EXPECT_TRUE(running.link.connected());
        running.link.close();
        co_await running.scope.join();
        EXPECT_EQ(co_await read_all(running.peer.get()), "");
    });
}

TEST(DynamoLink, AFinishedPeerStillGetsTheRest) {
    on_a_loop([]() -> Task<> {
        Running running;
        co_await running.start();
        running.peer->shutdown_write();
        EXPECT_TRUE(co_await until([&] { return running.user.finished; }));
        EXPECT_FALSE(running.user.loss.has_value());
        running.put("the rest");
        running.link.close_when_written();
        const auto text = co_await read_all(running.peer.get());
        EXPECT_EQ(text.substr(prelude), "the rest");
        co_await running.scope.join();
        EXPECT_TRUE(running.link.closed());
    });
}

TEST(DynamoLink, AResetIsALoss) {
    on_a_loop([]() -> Task<> {
        Running running;
        co_await running.start();
        running.put("unread");
        co_await until([&] { return running.user.writes == 1; });
        running.peer->close();  // with unread input: a reset
        co_await running.scope.join();
        EXPECT_EQ(must(running.user.loss).detail(), "net.disconnected");
        EXPECT_FALSE(running.user.finished);
    });
}

TEST(DynamoLink, ARefusedConnectionIsALossWithoutAByte) {
    on_a_loop([]() -> Task<> {
        net::Address nobody;
        {
            const auto listener = co_await net::Listener::bind({"127.0.0.1", 0});
            nobody = listener->address();
        }
        Recorder user;
        DynamoLink link{user};
        dynamo::put_message(link.output(), "x", {});
        co_await link.run(net::start_dial(nobody).value());
        EXPECT_EQ(must(user.loss).code(), ErrorCode::disconnected);
        EXPECT_FALSE(link.connected());
    });
}

TEST(DynamoLink, ASlowReaderMakesItFullAndLaterWritable) {
    on_a_loop([]() -> Task<> {
        Running running;
        co_await running.start();
        const std::string block(1U << 20U, 'b');
        std::size_t sent = 0;
        while (!running.link.full()) {
            running.put(block);
            sent += prelude + block.size();
            co_await yield();
            co_await yield();
            EXPECT_LT(sent, 1U << 30U) << "never full";
            if (sent >= 1U << 30U) break;
        }
        const auto before = running.user.writables;
        const auto text = co_await read_exactly(running.peer.get(), sent);
        EXPECT_EQ(text.size(), sent);
        EXPECT_TRUE(co_await until([&] { return running.user.writables == before + 1; }));
        EXPECT_FALSE(running.link.full());
        running.link.close();
        co_await running.scope.join();
    });
}

TEST(DynamoLink, APausedLinkLeavesTheBytesWithThePeer) {
    on_a_loop([]() -> Task<> {
        Running running;
        running.user.on_received = [&] { running.link.pause(); };
        co_await running.start();
        co_await write_all(running.peer.get(), "first");
        co_await until([&] { return running.link.paused(); });
        co_await write_all(running.peer.get(), "second");
        co_await sleep_for(20ms);
        EXPECT_EQ(running.user.text, "first");
        running.link.resume();
        EXPECT_TRUE(co_await until([&] { return running.user.text == "firstsecond"; }));
        running.link.close();
        co_await running.scope.join();
    });
}

Task<> close_in_state(bool paused, bool blocked, bool finished) {
    Running running;
    co_await running.start();
    if (paused) running.link.pause();
    if (finished) running.peer->shutdown_write();
    co_await sleep_for(1ms);
    const std::string block(1U << 20U, 'b');
    for (int i = 0; blocked && i < 32; ++i) running.put(block);
    co_await sleep_for(1ms);
    running.link.close();
    co_await running.scope.join();
    EXPECT_FALSE(running.user.loss.has_value());
}

TEST(DynamoLink, CloseEndsItInEveryState) {
    for (const unsigned state : {0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U}) {
        on_a_loop([state] {
            return close_in_state((state & 1U) != 0, (state & 2U) != 0, (state & 4U) != 0);
        });
    }
}

TEST(DynamoLink, ACancelledOneLetsThePeerReadWhatWasWritten) {
    on_a_loop([]() -> Task<> {
        Running running;
        co_await running.start();
        co_await write_all(running.peer.get(), "unread words");
        running.link.pause();
        running.put("the answer");
        co_await until([&] { return running.user.writes == 1; });
        running.scope.cancel();
        EXPECT_EQ((co_await read_all(running.peer.get())).substr(prelude), "the answer");
        co_await running.scope.close();
        EXPECT_EQ(must(running.user.loss).code(), ErrorCode::cancelled);
    });
}

TEST(DynamoLink, CloseWhenWrittenEndsAPeerThatTalksOn) {
    on_a_loop([]() -> Task<> {
        Running running;
        co_await running.start();
        running.put("bye");
        running.link.close_when_written();
        EXPECT_EQ((co_await read_all(running.peer.get())).substr(prelude), "bye");
        co_await write_all(running.peer.get(), "more");
        co_await running.scope.join();  // though the peer does not close
        EXPECT_EQ(running.user.text, "");
    });
}

}  // namespace
}  // namespace stator::transport
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters)
