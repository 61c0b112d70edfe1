// The server on loopback, among good, bad, slow and many clients.
#include "stator/http/server.hpp"

#include <sys/resource.h>

#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stator/http/client.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/support/on_a_loop.hpp"

namespace stator::http {
namespace {

using namespace std::chrono_literals;
using testing::on_a_loop;

std::string next_name() {
    static int servers = 0;
    return "test" + std::to_string(++servers);
}

std::uint64_t refused(const std::string& server, const std::string& reason) {
    return observe::metrics()
        .counter("stator_http_bad_requests_total", "", {{"server", server}, {"reason", reason}})
        .value();
}

Task<Response> echo(Request request) {
    auto response = Response::text(
        200,
        std::string{to_string(request.method)} + " " + std::string{request.path()} + " " +
            request.body
    );
    for (const auto& [name, value] : request.parameters) response.body += " " + name + "=" + value;
    co_return response;
}

Task<Response> fails(Request) {
    throw Error{ErrorCode::overloaded, "test.full", "no room"};
    co_return Response{};
}

Task<Response> endless(Request) {
    co_await sleep_until(Deadline::never());
    co_return Response{};
}

Server::Options options_with(std::string name) {
    Server::Options options;
    options.name = std::move(name);
    options.routes.add(Method::get, "/echo", echo)
        .add(Method::post, "/echo", echo)
        .add(Method::post, "/engine/{path...}", echo)
        .add(Method::get, "/fails", fails)
        .add(Method::get, "/endless", endless);
    return options;
}

/// A connection that says what it likes.
struct Raw {
    std::unique_ptr<net::Stream> stream;

    static Task<Raw> dial(const Server* server) {
        co_return Raw{co_await net::dial(server->address())};
    }
    void write(std::string_view text) const {
        const iovec part{const_cast<char*>(text.data()), text.size()};
        (void)stream->try_write({&part, 1});
    }
    /// Everything up to the end.
    Task<std::string> rest() {
        std::string all;
        std::array<char, 4096> space;
        const iovec part{space.data(), space.size()};
        for (;;) {
            const auto size = co_await stream->receive({&part, 1});
            if (!size || *size == 0) co_return all;
            all.append(space.data(), *size);
        }
    }
};

TEST(HttpServer, AnswersOnOneConnectionUntilItIsLeft) {
    on_a_loop([]() -> Task<> {
        const auto server = co_await Server::start(options_with(next_name()));
        auto client = co_await Client::connect(server->address());
        const auto got = co_await client.send({.target = "/echo?x=1"});
        EXPECT_EQ(got.status, 200U);
        EXPECT_EQ(got.body, "GET /echo ");
        const auto posted =
            co_await client.send({.method = Method::post, .target = "/engine/a/b", .body = "hi"});
        EXPECT_EQ(posted.body, "POST /engine/a/b hi path=a/b");
        const auto head = co_await client.send({.method = Method::head, .target = "/echo"});
        EXPECT_EQ(head.body, "");
        EXPECT_EQ(find_field(head.fields, "content-length"), "11");
        EXPECT_TRUE(client.usable());
        EXPECT_EQ(server->connections(), 1U);
        co_await server->close(Deadline::in(5s));
        EXPECT_EQ(server->connections(), 0U);
        const auto after = co_await as_result(client.send({.target = "/echo"}));
        EXPECT_EQ(after.error().code(), ErrorCode::disconnected);
    });
}

TEST(HttpServer, WhatIsNotThereIsSaidSo) {
    on_a_loop([]() -> Task<> {
        auto options = options_with(next_name());
        options.handler_timeout = 50ms;
        const auto server = co_await Server::start(std::move(options));
        auto client = co_await Client::connect(server->address());
        const auto missing = co_await client.send({.target = "/nothing"});
        EXPECT_EQ(missing.status, 404U);
        EXPECT_EQ(missing.body, "Route not found\n");
        const auto wrong = co_await client.send({.method = Method::post, .target = "/fails"});
        EXPECT_EQ(wrong.status, 405U);
        EXPECT_EQ(find_field(wrong.fields, "allow"), "GET, HEAD");
        const auto failed = co_await client.send({.target = "/fails"});
        EXPECT_EQ(failed.status, 503U);
        EXPECT_NE(failed.body.find("test.full"), std::string::npos);
        const auto late = co_await client.send({.target = "/endless"});
        EXPECT_EQ(late.status, 504U);
        const auto escape = co_await client.send({.target = "/engine%"});
        EXPECT_EQ(escape.status, 400U);
        EXPECT_TRUE(client.usable());
        co_await server->close(Deadline::in(5s));
    });
}

TEST(HttpServer, RequestsMayBeSentAhead) {
    on_a_loop([]() -> Task<> {
        const auto server = co_await Server::start(options_with(next_name()));
        auto raw = co_await Raw::dial(server.get());
        raw.write("GET /echo HTTP/1.1\r\n\r\nGET /fails HTTP/1.1\r\n\r\nGET /echo HTTP/1.0\r\n\r\n"
        );
        const auto text = co_await raw.rest();
        const auto first = text.find("HTTP/1.1 200 OK");
        const auto second = text.find("HTTP/1.1 503 ");
        EXPECT_EQ(first, 0U);
        EXPECT_NE(second, text.npos);
        EXPECT_NE(text.find("HTTP/1.1 200 OK", second), text.npos);
        EXPECT_TRUE(text.ends_with("Connection: close\r\n\r\nGET /echo ")) << text;
        co_await server->close(Deadline::in(5s));
    });
}

TEST(HttpServer, ABodyIsAskedForWhereItsSenderWaits) {
    on_a_loop([]() -> Task<> {
        const auto server = co_await Server::start(options_with(next_name()));
        auto raw = co_await Raw::dial(server.get());
        raw.write(
            "POST /echo HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
            "Connection: close\r\n\r\n"
        );
        std::array<char, 100> space;
        const iovec part{space.data(), space.size()};
        const auto size = co_await raw.stream->read_some({&part, 1});
        EXPECT_EQ(std::string_view(space.data(), size), "HTTP/1.1 100 Continue\r\n\r\n");
        raw.write("hi");
        EXPECT_TRUE((co_await raw.rest()).ends_with("POST /echo hi"));
        co_await server->close(Deadline::in(5s));
    });
}

TEST(HttpServer, BadRequestsAreAnsweredCountedAndCloseOnlyThemselves) {
    on_a_loop([]() -> Task<> {
        const auto name = next_name();
        auto options = options_with(name);
        options.limits = {.header = 512, .body = 64};
        options.request_timeout = 100ms;
        const auto server = co_await Server::start(std::move(options));
        auto good = co_await Client::connect(server->address());
        struct Case {
            std::string text;
            std::string status;
            std::string reason;
        };
        const std::vector<Case> cases{
            {"\x16\x03\x01\r\n\r\n", "400", "http.malformed"},
            {"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400", "http.malformed"},
            {"GET /" + std::string(1000, 'a'), "431", "http.header_too_large"},
            {"POST /echo HTTP/1.1\r\nContent-Length: 65\r\n\r\n", "413", "http.body_too_large"},
            {"GET /echo HTTP/1.1\r\nA: b\r\n", "408", "http.too_slow"},
            {"POST /echo HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", "408", "http.too_slow"},
        };
        for (const auto& one : cases) {
            const auto before = refused(name, one.reason);
            auto raw = co_await Raw::dial(server.get());
            raw.write(one.text);
            const auto text = co_await raw.rest();
            EXPECT_TRUE(text.starts_with("HTTP/1.1 " + one.status)) << one.text << ": " << text;
            raw.stream->close();
            while (server->connections() > 1) co_await yield();
            EXPECT_EQ(refused(name, one.reason), before + 1) << one.text;
            const auto still = co_await good.send({.target = "/echo"});
            EXPECT_EQ(still.status, 200U);
        }
        co_await server->close(Deadline::in(5s));
    });
}

TEST(HttpServer, OneWhoSendsByteByByteIsNotWaitedForForEver) {
    on_a_loop([]() -> Task<> {
        const auto name = next_name();
        auto options = options_with(name);
        options.request_timeout = 150ms;
        const auto server = co_await Server::start(std::move(options));
        auto raw = co_await Raw::dial(server.get());
        const auto begun = std::chrono::steady_clock::now();
        TaskScope scope;
        const auto drip = [](Raw* to) -> Task<> {
            for (const char letter : std::string(1000, 'a')) {
                to->write({&letter, 1});
                co_await sleep_for(5ms);
            }
        };
        scope.spawn(drip(&raw));
        EXPECT_TRUE((co_await raw.rest()).starts_with("HTTP/1.1 408 "));
        EXPECT_LT(std::chrono::steady_clock::now() - begun, 3s);
        co_await scope.close();
        co_await server->close(Deadline::in(5s));
        EXPECT_EQ(refused(name, "http.too_slow"), 1U);
    });
}

TEST(HttpServer, OneWhoTakesNoAnswerIsLeft) {
    on_a_loop([]() -> Task<> {
        const auto name = next_name();
        auto options = options_with(name);
        options.write_timeout = 100ms;
        options.routes.add(Method::get, "/large", [](Request) -> Task<Response> {
            co_return Response::text(200, std::string(64U << 20U, 'x'));
        });
        const auto server = co_await Server::start(std::move(options));
        const auto raw = co_await Raw::dial(server.get());
        raw.write("GET /large HTTP/1.1\r\n\r\n");
        while (refused(name, "http.reader_too_slow") == 0) co_await sleep_for(5ms);
        while (server->connections() > 0) co_await yield();
        co_await server->close(Deadline::in(5s));
    });
}

TEST(HttpServer, AnIdleConnectionIsClosedAfterAWhile) {
    on_a_loop([]() -> Task<> {
        auto options = options_with(next_name());
        options.idle_timeout = 50ms;
        const auto server = co_await Server::start(std::move(options));
        auto raw = co_await Raw::dial(server.get());
        EXPECT_EQ(co_await raw.rest(), "");
        co_await server->close(Deadline::in(5s));
    });
}

Task<> open_many(const Server* server, std::vector<Raw>* into, std::size_t count) {
    while (into->size() < count) into->push_back(co_await Raw::dial(server));
}

TEST(HttpServer, ManyIdleConnectionsKeepNobodyOut) {
    // Dialled in several processes' stead: both ends of each are here.
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const std::size_t many = limit.rlim_max >= 25'000 ? 10'000 : limit.rlim_max / 3;
    on_a_loop([many](this auto) -> Task<> {
        auto options = options_with(next_name());
        options.max_connections = 100;
        const auto server = co_await Server::start(std::move(options));
        std::vector<Raw> idle;
        co_await open_many(server.get(), &idle, many / 2);
        for (auto& raw : idle) raw.write("GET /");  // half of them begin a request
        co_await open_many(server.get(), &idle, many);
        const auto begun = std::chrono::steady_clock::now();
        const auto response = co_await fetch(server->address(), {.target = "/echo"});
        EXPECT_EQ(response.status, 200U);
        EXPECT_LT(std::chrono::steady_clock::now() - begun, 1s);
        EXPECT_LE(server->connections(), 101U);
        co_await server->close(Deadline::in(5s));
    });
}

TEST(HttpServer, AtTheLimitTheOneThatWaitedLongestGoesAndTheBusyStay) {
    on_a_loop([]() -> Task<> {
        auto options = options_with(next_name());
        options.max_connections = 2;
        Event release;
        int held = 0;
        options.routes.add(Method::get, "/held", [&](Request) {
            ++held;
            return [](Event* until) -> Task<Response> {
                co_await until->wait();
                co_return Response::text(200, "held");
            }(&release);
        });
        const auto server = co_await Server::start(std::move(options));
        auto first = co_await Raw::dial(server.get());
        first.write("GET /held HTTP/1.1\r\nConnection: close\r\n\r\n");
        while (held < 1) co_await yield();
        auto second = co_await Client::connect(server->address());
        (void)co_await second.send({.target = "/echo"});
        auto third = co_await Client::connect(server->address());
        EXPECT_EQ((co_await third.send({.target = "/echo"})).status, 200U);
        const auto gone = co_await as_result(second.send({.target = "/echo"}));
        EXPECT_FALSE(gone);
        auto fourth = co_await Raw::dial(server.get());
        fourth.write("GET /held HTTP/1.1\r\nConnection: close\r\n\r\n");
        // Once both are busy, who comes next finds no room.
        while (held < 2 || server->connections() > 2) co_await yield();
        auto fifth = co_await Raw::dial(server.get());
        EXPECT_EQ(co_await fifth.rest(), "");
        release.set();
        EXPECT_TRUE((co_await first.rest()).ends_with("held"));
        EXPECT_TRUE((co_await fourth.rest()).ends_with("held"));
        co_await server->close(Deadline::in(5s));
    });
}

TEST(HttpServer, ClosingAnswersWhatIsInHand) {
    on_a_loop([]() -> Task<> {
        auto options = options_with(next_name());
        int in_hand = 0;
        options.routes.add(Method::get, "/slow", [&](Request) {
            ++in_hand;
            return []() -> Task<Response> {
                co_await sleep_for(50ms);
                co_return Response::text(200, "slow");
            }();
        });
        options.routes.add(Method::get, "/stuck", [&](Request request) {
            ++in_hand;
            return endless(std::move(request));
        });
        const auto server = co_await Server::start(std::move(options));
        auto busy = co_await Raw::dial(server.get());
        busy.write("GET /slow HTTP/1.1\r\n\r\n");
        auto idle = co_await Raw::dial(server.get());
        auto stuck = co_await Raw::dial(server.get());
        stuck.write("GET /stuck HTTP/1.1\r\n\r\n");
        while (in_hand < 2 || server->connections() < 3) co_await yield();
        co_await server->close(Deadline::in(300ms));
        EXPECT_TRUE((co_await busy.rest()).ends_with("slow"));
        EXPECT_EQ(co_await idle.rest(), "");
        EXPECT_EQ(co_await stuck.rest(), "");
        const auto refusal = co_await as_result(Client::connect(server->address()));
        EXPECT_FALSE(refusal);
    });
}

TEST(HttpServer, CancellingItsParentEndsEverything) {
    on_a_loop([]() -> Task<> {
        auto options = options_with(next_name());
        options.parent = CancellationToken::make();
        const auto parent = options.parent;
        const auto server = co_await Server::start(std::move(options));
        auto stuck = co_await Raw::dial(server.get());
        stuck.write("GET /endless HTTP/1.1\r\n\r\n");
        co_await sleep_for(10ms);
        parent.cancel();
        EXPECT_EQ(co_await stuck.rest(), "");
        co_await server->close(Deadline::in(5s));
    });
}

}  // namespace
}  // namespace stator::http
