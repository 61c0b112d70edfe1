// Listener and streams on loopback.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stator/base/sink.hpp"
#include "stator/net/listener.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/support/on_a_loop.hpp"

namespace stator::net {
namespace {

using namespace std::chrono_literals;
using testing::on_a_loop;

std::size_t write(Stream& stream, std::string_view text) {
    const iovec part{const_cast<char*>(text.data()), text.size()};
    return stream.try_write({&part, 1}).value();
}

Task<std::string> read(Stream* stream, std::size_t most) {
    std::string text(most, '\0');
    const iovec part{text.data(), most};
    text.resize(co_await stream->read_some({&part, 1}));
    co_return text;
}

TEST(Sockets, BytesGoBothWaysAndTheEndIsSeen) {
    on_a_loop([]() -> Task<> {
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        EXPECT_NE(listener->address().port, 0);
        const auto client = co_await dial(listener->address());
        const auto server = std::move(*co_await listener->accept()).attach();
        EXPECT_EQ(client->remote(), listener->address());
        EXPECT_EQ(server->remote(), client->local());
        EXPECT_EQ(write(*client, "ping"), 4U);
        EXPECT_EQ(co_await read(server.get(), 16), "ping");
        EXPECT_EQ(write(*server, "pong"), 4U);
        EXPECT_EQ(co_await read(client.get(), 16), "pong");
        client->shutdown_write();
        EXPECT_EQ(co_await read(server.get(), 16), "");
        server->close();
        EXPECT_EQ(server->try_write({}).error().code(), ErrorCode::disconnected);
    });
}

TEST(Sockets, ADialThatIsNotWaitedForCanBeUsedAtOnce) {
    on_a_loop([]() -> Task<> {
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        const auto client = start_dial(listener->address()).value();
        EXPECT_EQ(client->remote(), listener->address());
        while (write(*client, "ping") == 0) co_await client->writable();
        const auto server = std::move(*co_await listener->accept()).attach();
        EXPECT_EQ(server->remote(), client->local());
        EXPECT_EQ(co_await read(server.get(), 16), "ping");
        EXPECT_EQ(write(*server, "pong"), 4U);
        EXPECT_EQ(co_await read(client.get(), 16), "pong");
    });
}

TEST(Sockets, ADialThatIsNotWaitedForFailsWhereItIsUsed) {
    on_a_loop([]() -> Task<> {
        Address nobody;
        {
            const auto listener = co_await Listener::bind({"127.0.0.1", 0});
            nobody = listener->address();
        }
        const auto client = start_dial(nobody).value();
        const auto answer = co_await as_result(read(client.get(), 16));
        EXPECT_EQ(answer.error().code(), ErrorCode::disconnected);
        EXPECT_FALSE(client->try_write({}).has_value());
        EXPECT_EQ(start_dial({"localhost", nobody.port}).error().detail(), "net.cannot_connect");
    });
}

TEST(Sockets, AWriterIsToldToWaitAndGoesOn) {
    on_a_loop([]() -> Task<> {
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        const auto client = co_await dial(listener->address());
        const auto server = std::move(*co_await listener->accept()).attach();
        const std::string block(1U << 20U, 'x');
        std::size_t sent = 0;
        for (std::size_t n = 1; n > 0; sent += n)
            n = write(*client, block);  // until the kernel takes no more
        std::size_t received = 0;
        TaskScope scope{co_await current_token()};
        scope.spawn([](Stream* from, std::size_t* to, std::size_t all) -> Task<> {
            while (*to < all) *to += (co_await read(from, 1U << 20U)).size();
        }(server.get(), &received, sent));
        co_await client->writable();
        co_await scope.join();
        EXPECT_EQ(received, sent);
    });
}

TEST(Sockets, CancellingAReadThrowsCancelledAndLosesNothing) {
    on_a_loop([]() -> Task<> {
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        const auto client = co_await dial(listener->address());
        const auto server = std::move(*co_await listener->accept()).attach();
        const auto nothing =
            co_await as_result(with_deadline(Deadline::in(10ms), read(server.get(), 16)));
        EXPECT_EQ(nothing.error().code(), ErrorCode::deadline_exceeded);
        EXPECT_EQ(write(*client, "late"), 4U);
        EXPECT_EQ(co_await read(server.get(), 16), "late");
    });
}

TEST(Sockets, FailuresAreNamed) {
    on_a_loop([]() -> Task<> {
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        const auto taken = co_await as_result(Listener::bind(listener->address()));
        EXPECT_EQ(taken.error().code(), ErrorCode::already_exists);
        EXPECT_NE(taken.error().message().find(listener->address().to_string()), std::string::npos);
        const auto foreign = co_await as_result(Listener::bind({"192.0.2.1", 0}));
        EXPECT_EQ(foreign.error().code(), ErrorCode::invalid_request);
        const auto address = listener->address();
        listener->close();
        EXPECT_FALSE((co_await listener->accept()).has_value());
        const auto refused = co_await as_result(dial(address));
        EXPECT_EQ(refused.error().code(), ErrorCode::unavailable);
        EXPECT_TRUE(refused.error().retryable());
        EXPECT_EQ(co_await resolve("127.0.0.1"), "127.0.0.1");
        EXPECT_EQ(
            co_await resolve("localhost") == "127.0.0.1" || co_await resolve("localhost") == "::1",
            true
        );
        EXPECT_EQ(local_address_towards({"127.0.0.1", 1}).value(), "127.0.0.1");
    });
}

/// Counts the listener's reports.
class CountingSink : public Sink {
public:
    CountingSink() { set_sink(this); }
    ~CountingSink() override { set_sink(nullptr); }
    void report(
        Severity, std::string_view, std::string_view, std::source_location
    ) noexcept override {
        ++reports;
    }
    void count(std::string_view, std::uint64_t by) noexcept override { counted += by; }
    void gauge(std::string_view, double) noexcept override {}
    std::atomic<std::uint64_t> reports{0};
    std::atomic<std::uint64_t> counted{0};
};

/// Takes every descriptor but `left`; gives them back when it dies.
class Shortage {
public:
    explicit Shortage(std::size_t left) {
        rlimit small{};
        ::getrlimit(RLIMIT_NOFILE, &before_);
        small = before_;
        small.rlim_cur = 256;
        ::setrlimit(RLIMIT_NOFILE, &small);
        for (int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC); fd >= 0;
             fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) {
            taken_.push_back(fd);
        }
        for (; left > 0 && !taken_.empty(); --left) give_one();
    }
    Shortage(const Shortage&) = delete;
    Shortage& operator=(const Shortage&) = delete;
    ~Shortage() {
        while (!taken_.empty()) give_one();
        ::setrlimit(RLIMIT_NOFILE, &before_);
    }

private:
    void give_one() {
        ::close(taken_.back());
        taken_.pop_back();
    }
    rlimit before_{};
    std::vector<int> taken_;
};

TEST(Sockets, AcceptSurvivesTheLackOfDescriptors) {
    on_a_loop([]() -> Task<> {
        CountingSink sink;
        // UBSan proves the type of an object by means of a pipe, the first time: not later, then.
        stator::sink().count("nothing", 0);
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        TaskScope scope{co_await current_token()};
        std::vector<std::unique_ptr<Stream>> taken;
        scope.spawn([](Listener* from, std::vector<std::unique_ptr<Stream>>* to) -> Task<> {
            while (auto accepted = co_await from->accept())
                to->push_back(std::move(*accepted).attach());
        }(listener.get(), &taken));
        const auto first = co_await dial(listener->address());
        while (taken.empty()) co_await sleep_for(1ms);
        {
            const Shortage shortage{1};  // enough for the client's socket, none for ours
            const auto refused = co_await dial(listener->address());
            // The end of the stream, or a reset: told at once instead of left in the backlog.
            const auto told = co_await as_result(read(refused.get(), 1));
            EXPECT_TRUE(!told || told->empty());
        }
        const auto later = co_await dial(listener->address());
        while (taken.size() < 2) co_await sleep_for(1ms);
        EXPECT_EQ(write(*first, "x"), 1U);  // what stood before still works
        EXPECT_EQ(co_await read(taken.front().get(), 1), "x");
        EXPECT_GE(sink.counted.load(), 1U);
        EXPECT_LE(sink.reports.load(), 1U);
        listener->close();
        co_await scope.close();
    });
}

}  // namespace
}  // namespace stator::net
