// Both planes inside TLS on one port, and what is not TLS there.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dynamo_frontend.hpp"
#include "stator/transport/mux_call.hpp"
#include "stator/transport/mux_pool.hpp"
#include "tests/support/certificates.hpp"

namespace stator::transport {
namespace {

using namespace test;
using testing::Certificates;

const Certificates& made() {
    static const Certificates certificates;
    return certificates;
}

net::Security loaded(const settings::TlsSettings& settings) {
    return net::Security::load(settings).value();
}

Task<> echo(ServerCall* call) {
    while (auto item = co_await call->next()) {
        if (!call->can_send()) co_await call->writable();
        if (!call->send(*item, false)) co_return;
    }
    call->end();
}

class TlsPlane : public DynamoServing {
protected:
    TlsPlane() {
        security = loaded(made().mutual());
        dispatcher.serve = echo;
    }

public:
    std::uint64_t refused() { return counts.of("transport_refused_connections_total"); }
};

TEST_F(TlsPlane, DynamoClientsAreServed) {
    run([this]() -> Task<> {
        return [](TlsPlane* self) -> Task<> {
            for (int i = 0; i < 3; ++i) {
                const auto answer = co_await self->client.call({});
                EXPECT_TRUE(answer.clean());
                EXPECT_EQ(answer.items, std::vector<std::string>{R"({"text":"hi"})"});
            }
            RequestOptions large;
            large.body = '"' + std::string(3U << 20U, 'x') + '"';
            const auto answer = co_await self->client.call(large);
            EXPECT_TRUE(answer.clean());
            EXPECT_TRUE(answer.items == std::vector<std::string>{large.body});
        }(this);
    });
}

TEST_F(TlsPlane, MuxPeersAreServedOnTheSamePort) {
    run([this]() -> Task<> {
        return [](TlsPlane* self) -> Task<> {
            MuxPool pool{MuxPool::Options{.security = self->security}};
            const auto outcome = co_await as_result([](MuxPool* pool, std::string to) -> Task<> {
                MuxCall call{co_await pool->connect(to)};
                CallHead head;
                head.path = "a/b/c";
                head.shape = CallShape::unary;
                EXPECT_TRUE(call.open(head, Bytes::copy_of("ping")));
                EXPECT_EQ((co_await call.next()).value().view(), "ping");
            }(&pool, self->server->address().to_string()));
            co_await pool.close();
            if (!outcome) throw outcome.error();
            EXPECT_TRUE((co_await self->client.call({})).clean());
        }(this);
    });
}

/// What a mux peer with those settings is told of the server.
Task<Error> refusal_of(TlsPlane* self, net::Security security) {
    MuxPool pool{MuxPool::Options{.security = std::move(security)}};
    const auto connected = co_await as_result(pool.connect(self->server->address().to_string()));
    co_await pool.close();
    co_return connected ? Error{ErrorCode::internal, "connected"} : connected.error();
}

TEST_F(TlsPlane, WhoIsNotLetInIsTold) {
    run([this]() -> Task<> {
        return [](TlsPlane* self) -> Task<> {
            const auto without = co_await refusal_of(self, loaded(made().client()));
            EXPECT_EQ(without.detail(), "net.tls_refused") << without.what();
            EXPECT_EQ(without.code(), ErrorCode::unavailable);
            EXPECT_TRUE(co_await until([self] {
                return self->counts.reported("shows no certificate (net.tls_no_client_certificate)"
                );
            }));
            const testing::Authority stranger{made().folder(), "stranger"};
            auto foreign = made().client();
            foreign.ca_cert_path = stranger.file();
            const auto untrusted = co_await refusal_of(self, loaded(foreign));
            EXPECT_EQ(untrusted.detail(), "net.tls_untrusted") << untrusted.what();
            const auto plain = co_await refusal_of(self, {});
            EXPECT_EQ(plain.code(), ErrorCode::unavailable) << plain.what();
            EXPECT_TRUE(co_await until([self] { return self->refused() == 3; }));
            EXPECT_TRUE((co_await self->client.call({})).clean());
        }(this);
    });
}

TEST_F(TlsPlane, PlainBytesAreNamedAndOthersGoOn) {
    run([this]() -> Task<> {
        return [](TlsPlane* self) -> Task<> {
            const auto plain = co_await net::dial(self->server->address());
            RequestOptions request;
            co_await write_all(plain.get(), self->client.frame(request));
            EXPECT_EQ(co_await read_exactly(plain.get(), 1), "");
            EXPECT_TRUE(co_await until([self] { return self->refused() == 1; }));
            EXPECT_TRUE(self->counts.reported("net.plain_on_tls_port"));
            EXPECT_TRUE((co_await self->client.call({})).clean());
        }(this);
    });
}

TEST_F(TlsPlane, WhoNeverShakesHandsIsDropped) {
    auto settings = made().mutual();
    settings.handshake_timeout = 50ms;
    security = loaded(settings);
    run([this]() -> Task<> {
        return [](TlsPlane* self) -> Task<> {
            std::vector<std::unique_ptr<net::Stream>> slow;
            for (int i = 0; i < 100; ++i) {
                slow.push_back(co_await net::dial(self->server->address()));
                co_await write_all(slow.back().get(), "\x16\x03\x01");
            }
            for (const auto& stream : slow) EXPECT_EQ(co_await read_exactly(stream.get(), 1), "");
            EXPECT_TRUE(co_await until([self] { return self->refused() >= 100; }));
            EXPECT_TRUE(self->counts.reported("net.tls_handshake_timeout"));
        }(this);
    });
}

TEST_F(TlsPlane, AWorkerThatIsNotLetHomeIsCountedAndItsCallEnds) {
    run([this]() -> Task<> {
        return [](TlsPlane* self) -> Task<> {
            // The listener of the calls home trusts others than the worker's authority.
            const testing::Authority stranger{made().folder(), "home-authority"};
            auto settings = made().mutual();
            settings.client_ca_cert_path = stranger.file();
            co_await self->client.send({});
            EXPECT_EQ(co_await self->client.ack(), "");
            self->client.security = loaded(settings);
            const auto home = co_await as_result(self->client.home());
            EXPECT_FALSE(home.has_value());
            if (!home) EXPECT_EQ(home.error().detail(), "net.tls_untrusted") << home.error().what();
            EXPECT_TRUE(co_await until([self] {
                return self->dispatcher.running == 0 &&
                       self->counts.of("dynamo_call_home_failures_total") == 1;
            }));
        }(this);
    });
}

TEST(PlainPlane, TlsIsNamed) {
    Counts counts;
    on_a_loop([&counts]() -> Task<> {
        RequestServer::Options options;
        options.loops = {Loop::current()};
        const auto server = co_await RequestServer::start(std::move(options));
        const auto dialled = co_await as_result(loaded(made().client()).dial(server->address()));
        EXPECT_EQ(dialled.error().detail(), "net.tls_handshake_cut");
        EXPECT_EQ(dialled.error().code(), ErrorCode::unavailable);
        EXPECT_TRUE(counts.reported("net.tls_on_plain_port"));
        co_await server->close();
    });
}

}  // namespace
}  // namespace stator::transport
