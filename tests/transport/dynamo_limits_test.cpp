// Dynamo's TCP planes at the limits of the process: memory, descriptors, clients that do not read.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
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

constexpr std::string_view refusal = "Server overloaded: worker at capacity";
constexpr std::size_t kib = 1024;

Task<> echo(ServerCall* call) {
    auto request = must(co_await call->next());
    call->send(std::move(request), true);
}

/// Items of 16 KiB until nobody wants them.
Task<> endless(ServerCall* call) {
    const auto item = Bytes::copy_of('"' + std::string(16 * kib, 'x') + '"');
    for (;;) {
        if (!call->can_send()) co_await call->writable();
        if (!call->send(item, false)) co_return;
        co_await yield();
    }
}

/// A hundred small items.
Task<> hundred(ServerCall* call) {
    for (int i = 0; i < 100; ++i) {
        if (!call->can_send()) co_await call->writable();
        if (!call->send(Bytes::of_static("7"), false)) co_return;
    }
    call->end();
}

class DynamoLimits : public DynamoServing {
protected:
    /// Half a MiB for windows, as much for large messages.
    std::shared_ptr<BufferBudget> budget = std::make_shared<BufferBudget>(1024 * kib);
    DynamoLimits() {
        config.process = budget;
        dispatcher.serve = echo;
    }
    ~DynamoLimits() override {
        EXPECT_EQ(budget->windows(), 0U);
        EXPECT_EQ(budget->reserved(), 0U);
    }
    std::string large_frame(std::size_t size) const {
        return client.frame({.body = '"' + std::string(size, 'x') + '"'});
    }
};

TEST_F(DynamoLimits, ALargeRequestIsBookedFromItsHeadUntilItIsTaken) {
    run([this]() -> Task<> {
        const auto frame = large_frame(300 * kib);
        co_await write_all(client.connection.get(), frame.substr(0, 1000));
        EXPECT_TRUE(co_await until([&] { return budget->reserved() > 0; }));
        EXPECT_EQ(budget->reserved(), frame.size());
        co_await write_all(client.connection.get(), frame.substr(1000));
        EXPECT_EQ(co_await client.ack(), "");
        EXPECT_TRUE((co_await client.answer()).clean());
        EXPECT_EQ(budget->reserved(), 0U);
    });
}

TEST_F(DynamoLimits, ARequestThatFindsNoMemoryIsRefusedAndTheNextOneIsNot) {
    run([this]() -> Task<> {
        const auto hog = net::start_dial(server->address()).value();
        co_await write_all(hog.get(), large_frame(300 * kib).substr(0, 5000));
        EXPECT_TRUE(co_await until([&] { return budget->reserved() > 0; }));
        const auto frame = large_frame(400 * kib);
        co_await write_all(client.connection.get(), frame.substr(0, 5000));
        EXPECT_EQ(co_await client.ack(), refusal);  // before the rest of it
        co_await write_all(client.connection.get(), frame.substr(5000) + client.frame({}));
        EXPECT_EQ(co_await client.ack(), "");
        EXPECT_TRUE((co_await client.answer()).clean());
        EXPECT_EQ(counts.of("dynamo_requests_out_of_memory_total"), 1U);
        hog->close();
        EXPECT_TRUE(co_await until([&] { return budget->reserved() == 0; }));
        EXPECT_TRUE(
            (co_await client.call({.body = '"' + std::string(400 * kib, 'x') + '"'})).clean()
        );
    });
}

TEST_F(DynamoLimits, ARequestLargerThanTheProcessMayHoldIsNamed) {
    run([this]() -> Task<> {
        co_await write_all(client.connection.get(), large_frame(600 * kib).substr(0, 1000));
        const auto ack = co_await client.ack();
        EXPECT_TRUE(ack.starts_with("Read error: message too large: ")) << ack;
        EXPECT_EQ(co_await client.ack(), "closed");
    });
}

TEST_F(DynamoLimits, ThrownAwayRequestsMustComeInToo) {
    config.frame_timeout = 50ms;
    run([this]() -> Task<> {
        const auto all = must(Reservation::take(budget, 500 * kib));
        const auto frame = large_frame(400 * kib);
        co_await write_all(client.connection.get(), frame.substr(0, 300 * kib));
        EXPECT_EQ(co_await client.ack(), refusal);
        EXPECT_EQ(co_await client.ack(), "closed");
        EXPECT_TRUE(counts.reported("dynamo.half_frame"));
        EXPECT_EQ(all.size(), 500 * kib);
    });
}

TEST_F(DynamoLimits, ItemsOfARequestStreamWaitForMemory) {
    std::vector<std::size_t> sizes;
    dispatcher.serve = [&sizes](ServerCall* call) -> Task<> {
        return [](ServerCall* served, std::vector<std::size_t>* seen) -> Task<> {
            while (const auto item = co_await served->next()) seen->push_back(item->size());
            served->send(Bytes::of_static("1"), true);
        }(call, &sizes);
    };
    run([&, this]() -> Task<> {
        co_await client.send({.many_in = true});
        EXPECT_EQ(co_await client.ack(), "");
        input = co_await client.home();
        home = co_await client.home();
        auto others = must(Reservation::take(budget, 400 * kib));
        co_await write_all(input.stream.get(), message_bytes("", "1"));
        co_await write_all(input.stream.get(), message_bytes("", std::string(200 * kib, '7')));
        co_await write_all(input.stream.get(), sentinel_word);
        co_await sleep_for(50ms);
        EXPECT_EQ(sizes, (std::vector<std::size_t>{1}));
        others = {};
        EXPECT_TRUE((co_await rest_of_answer(&home)).clean());
        EXPECT_EQ(sizes, (std::vector<std::size_t>{1, 200 * kib}));
    });
}

TEST_F(DynamoLimits, ClientsThatDoNotReadHoldNoMoreThanTheProcessMay) {
    dispatcher.serve = endless;
    run([this]() -> Task<> {
        constexpr int count = 30;
        std::vector<Home> homes;
        for (int i = 0; i < count; ++i) {
            co_await client.send({});
            EXPECT_EQ(co_await client.ack(), "");
            homes.push_back(co_await client.home());
        }
        EXPECT_TRUE(co_await until([&] { return budget->room() == 0; }));
        co_await sleep_for(50ms);
        // Beyond that one item of each, behind the little that each may have; alone each would hold
        // a quarter of a MiB.
        EXPECT_LE(budget->windows(), 512 * kib + count * 34 * kib);
        // Others go on.
        dispatcher.serve = hundred;
        const auto answer = co_await client.call({});
        EXPECT_TRUE(answer.clean());
        EXPECT_EQ(answer.items.size(), 100U);
        homes.clear();
        EXPECT_TRUE(co_await until([&] { return budget->windows() == 0; }));
    });
}

/// Sends requests that are refused until the server reads no more.
Task<> fill_with_refusals(Frontend* client) {
    std::string frames;
    for (int i = 0; i < 64; ++i) frames += client->frame({});
    auto* const stream = client->connection.get();
    std::size_t sent = 0;
    for (auto blocked = Deadline::in(200ms); !blocked.passed() && sent < 1U << 30U;) {
        const auto at = sent % frames.size();
        const iovec part{frames.data() + at, frames.size() - at};
        const auto written = stream->try_write({&part, 1});
        if (!written) co_return;  // given up already
        sent += *written;
        if (*written > 0) blocked = Deadline::in(200ms);
        co_await sleep_for(*written > 0 ? 0ms : 1ms);
    }
    EXPECT_LT(sent, 1U << 30U);
}

class UnreadAcks : public DynamoLimits, public testing::WithParamInterface<bool> {};

TEST_P(UnreadAcks, AClientThatNeverReadsThemIsGivenUp) {
    config.process = nullptr;
    config.close_timeout = 300ms;
    dispatcher.refusals.emplace("ns/comp/ep", Error{ErrorCode::overloaded, "full"});
    run([this]() -> Task<> {
        co_await fill_with_refusals(&client);
        if (GetParam()) client.connection->shutdown_write();
        EXPECT_TRUE(co_await until([&] { return server->dynamo_connections() == 0; }));
        EXPECT_TRUE(counts.reported("dynamo.unread"));
        EXPECT_EQ(counts.of("dynamo_violations_total"), 1U);
    });
}

INSTANTIATE_TEST_SUITE_P(, UnreadAcks, testing::Bool(), [](const auto& info) {
    return info.param ? "HalfClosed" : "Open";
});

/// Leaves this process so many descriptors.
class FewDescriptors {
public:
    explicit FewDescriptors(std::size_t left) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        std::vector<int> free_numbers;  // the lowest ones
        while (free_numbers.size() < left)
            free_numbers.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        const rlimit few{static_cast<rlim_t>(free_numbers.back()) + 1, before_.rlim_max};
        for (const int number : free_numbers) ::close(number);
        ::setrlimit(RLIMIT_NOFILE, &few);
    }
    FewDescriptors(const FewDescriptors&) = delete;
    FewDescriptors& operator=(const FewDescriptors&) = delete;
    ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

TEST_F(DynamoLimits, WithoutADescriptorARequestIsRefusedAndNoneIsKilled) {
    dispatcher.serve = hundred;
    run([this]() -> Task<> {
        const auto before = open_descriptors();
        std::size_t accepted = 0;
        {
            const FewDescriptors few{5};
            std::string frames;
            for (int i = 0; i < 10; ++i) frames += client.frame({});
            frames += client.frame({.body = ""}) + client.frame({.many_in = true});
            co_await write_all(client.connection.get(), frames);
            for (int i = 0; i < 12; ++i) {
                const auto ack = co_await client.ack();
                EXPECT_TRUE(ack.empty() || ack == refusal) << ack;
                accepted += ack.empty() ? 1 : 0;
            }
            EXPECT_GE(accepted, 1U);
            EXPECT_LE(accepted, 5U);
            EXPECT_EQ(counts.of("dynamo_requests_out_of_descriptors_total"), 12 - accepted);
        }
        for (std::size_t i = 0; i < accepted; ++i) EXPECT_TRUE((co_await client.answer()).clean());
        EXPECT_EQ(counts.of("dynamo_call_home_failures_total"), 0U);
        EXPECT_TRUE((co_await client.call({})).clean());
        EXPECT_TRUE(co_await until([&] { return open_descriptors() <= before + 1; }));
    });
}

}  // namespace
}  // namespace stator::transport
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines)
