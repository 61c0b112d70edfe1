// TLS on loopback: who is let in, and that bytes, ends and failures are those of a stream.
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stator/net/listener.hpp"
#include "stator/net/security.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/on_a_loop.hpp"

namespace stator::net {
namespace {

using namespace std::chrono_literals;
using settings::TlsSettings;
using testing::Authority;
using testing::Certificates;
using testing::on_a_loop;

const Certificates& made() {
    static const Certificates certificates;
    return certificates;
}

Security loaded(const TlsSettings& settings) { return Security::load(settings).value(); }

using Streamed = Result<std::unique_ptr<Stream>>;

Task<> accept_one(const Security security, Listener* listener, Streamed* to) {
    auto accepted = co_await listener->accept();
    *to = co_await as_result(security.accept(std::move(*accepted)));
}

struct Pair {
    Streamed client = nullptr;
    Streamed server = nullptr;
};

/// Both ends of one connection, or why there is none.
Task<Pair> connect(Security client, Security server) {
    Pair pair;
    const auto listener = co_await Listener::bind({"127.0.0.1", 0});
    TaskScope scope{co_await current_token()};
    scope.spawn(accept_one(server, listener.get(), &pair.server));
    pair.client = co_await as_result(client.dial(listener->address(), "test"));
    co_await scope.join();
    co_return pair;
}

Task<Pair> connect() { return connect(loaded(made().client()), loaded(made().server())); }

Task<std::string> read(Stream* stream, std::size_t most) {
    std::string text(most, '\0');
    const iovec part{text.data(), most};
    text.resize(co_await stream->read_some({&part, 1}));
    co_return text;
}

Task<std::string> read_all(Stream* stream, std::size_t size) {
    std::string text;
    while (text.size() < size) {
        auto more = co_await read(stream, 100'000);
        if (more.empty()) break;
        text += more;
    }
    co_return text;
}

/// In pieces of several sizes, some empty.
Task<> write_all(Stream* stream, std::string text) {
    for (std::size_t done = 0; done < text.size();) {
        std::array<iovec, 4> parts{};
        std::size_t at = done;
        for (std::size_t i = 0; i < parts.size(); ++i) {
            const std::array<std::size_t, 4> sizes{9, 0, 70'000, 1};
            const auto size = std::min(sizes[i], text.size() - at);
            parts[i] = {text.data() + at, size};
            at += size;
        }
        const auto written = stream->try_write(parts);
        if (!written) throw written.error();
        done += *written;
        if (*written < at - (done - *written)) co_await stream->writable();
    }
}

std::string noise(std::size_t size, unsigned seed) {
    std::string text(size, '\0');
    for (auto& letter : text)
        letter = static_cast<char>((seed = seed * 1664525U + 1013904223U) >> 24U);
    return text;
}

TEST(Tls, BytesGoBothWaysAndTheEndIsSeen) {
    on_a_loop([]() -> Task<> {
        auto [client, server] = co_await connect();
        EXPECT_EQ((*server)->remote(), (*client)->local());
        co_await write_all(client->get(), "ping");
        EXPECT_EQ(co_await read(server->get(), 16), "ping");
        co_await write_all(server->get(), "pong");
        EXPECT_EQ(co_await read(client->get(), 16), "pong");
        (*client)->shutdown_write();
        EXPECT_EQ(co_await read(server->get(), 16), "");
        EXPECT_EQ((*client)->try_write({}).error().code(), ErrorCode::disconnected);
        co_await write_all(server->get(), "still");  // the other direction goes on
        EXPECT_EQ(co_await read(client->get(), 16), "still");
        (*server)->close();
        EXPECT_EQ(co_await read(client->get(), 16), "");
        EXPECT_EQ((*server)->try_write({}).error().code(), ErrorCode::disconnected);
        const auto after = co_await as_result(read(server->get(), 1));
        EXPECT_EQ(after.error().code(), ErrorCode::disconnected);
    });
}

TEST(Tls, ACutIsNoEnd) {
    on_a_loop([]() -> Task<> {
        auto [client, server] = co_await connect();
        co_await write_all(client->get(), "last words");
        client->reset();  // without a farewell
        EXPECT_EQ(co_await read(server->get(), 99), "last words");
        const auto cut = co_await as_result(read(server->get(), 99));
        EXPECT_EQ(cut.error().code(), ErrorCode::disconnected);
        EXPECT_EQ(cut.error().detail(), "net.tls_cut");
        const auto again = co_await (*server)->receive({});
        EXPECT_EQ(again.error().detail(), "net.tls_cut");
    });
}

TEST(Tls, SixteenMebibytesBothWaysAtOnce) {
    on_a_loop([]() -> Task<> {
        auto [client, server] = co_await connect();
        const auto there = noise(16U << 20U, 1);
        const auto back = noise(16U << 20U, 2);
        TaskScope scope{co_await current_token()};
        scope.spawn(write_all(client->get(), there));
        scope.spawn(write_all(server->get(), back));
        std::string arrived;
        scope.spawn([](Stream* from, std::size_t size, std::string* to) -> Task<> {
            *to = co_await read_all(from, size);
        }(client->get(), back.size(), &arrived));
        EXPECT_TRUE(co_await read_all(server->get(), there.size()) == there);
        co_await scope.join();
        EXPECT_TRUE(arrived == back);
    });
}

Task<> forward_singly(Stream* from, Stream* to) {
    for (;;) {
        const auto byte = co_await read(from, 1);
        if (byte.empty()) break;
        const iovec part{const_cast<char*>(byte.data()), 1};
        while (to->try_write({&part, 1}).value() == 0) co_await to->writable();
    }
    to->shutdown_write();
}

TEST(Tls, OneByteAtATime) {
    on_a_loop([]() -> Task<> {
        const auto inner = co_await Listener::bind({"127.0.0.1", 0});
        const auto outer = co_await Listener::bind({"127.0.0.1", 0});
        Streamed server = nullptr;
        TaskScope scope{co_await current_token()};
        scope.spawn(accept_one(loaded(made().mutual()), inner.get(), &server));
        std::unique_ptr<Stream> left;
        std::unique_ptr<Stream> right;
        scope.spawn([](Listener* outer, Address inner, auto* left, auto* right) -> Task<> {
            *left = std::move(*co_await outer->accept()).attach();
            *right = co_await net::dial(inner);
            TaskScope both{co_await current_token()};
            both.spawn(forward_singly(left->get(), right->get()));
            both.spawn(forward_singly(right->get(), left->get()));
            co_await both.join();
        }(outer.get(), inner->address(), &left, &right));
        auto client = co_await loaded(made().mutual()).dial(outer->address());
        const auto text = noise(5'000, 3);
        co_await write_all(client.get(), text);
        client->shutdown_write();
        while (!server.value()) co_await sleep_for(1ms);
        EXPECT_TRUE(co_await read_all(server->get(), text.size()) == text);
        EXPECT_EQ(co_await read(server->get(), 1), "");
        co_await write_all(server->get(), "done");
        (*server)->close();
        EXPECT_EQ(co_await read_all(client.get(), 5), "done");
        co_await scope.join();
    });
}

struct Refusal {
    const char* name;
    std::function<TlsSettings()> client;
    std::function<TlsSettings()> server;
    const char* seen_by_client;
    const char* seen_by_server;
};

TlsSettings server_with(const testing::CertificateFiles& files) {
    auto settings = made().server();
    settings.cert_path = files.certificate;
    settings.key_path = files.key;
    return settings;
}

TlsSettings client_with(const testing::CertificateFiles& files) {
    auto settings = made().mutual();
    settings.client_cert_path = files.certificate;
    settings.client_key_path = files.key;
    return settings;
}

const std::vector<Refusal>& refusals() {
    static const Authority stranger{made().folder(), "stranger"};
    static const std::vector<Refusal> all{
        {"WrongAuthority",
         [] { return made().client(); },
         [] { return server_with(stranger.issue("strange-server")); },
         "net.tls_untrusted",
         "net.tls_refused"},
        {"Expired",
         [] { return made().client(); },
         [] { return server_with(made().authority().issue("old", "IP:127.0.0.1", true)); },
         "net.tls_expired",
         "net.tls_refused"},
        {"WrongAddress",
         [] { return made().client(); },
         [] { return server_with(made().authority().issue("elsewhere", "IP:127.0.0.2")); },
         "net.tls_wrong_name",
         "net.tls_refused"},
        {"NameInsteadOfAddress",
         [] { return made().client(); },
         [] { return server_with(made().authority().issue("127.0.0.1", "DNS:127.0.0.1")); },
         "net.tls_wrong_name",
         "net.tls_refused"},
        {"NoClientCertificate",
         [] { return made().client(); },
         [] { return made().mutual(); },
         "net.tls_refused",
         "net.tls_no_client_certificate"},
        {"ForeignClientCertificate",
         [] { return client_with(stranger.issue("strange-client")); },
         [] { return made().mutual(); },
         "net.tls_refused",
         "net.tls_untrusted"},
        {"ExpiredClientCertificate",
         [] { return client_with(made().authority().issue("old-client", "IP:127.0.0.1", true)); },
         [] { return made().mutual(); },
         "net.tls_refused",
         "net.tls_expired"},
    };
    return all;
}

TEST(Tls, RefusalsAreNamedOnBothEnds) {
    for (const auto& refusal : refusals()) {
        SCOPED_TRACE(refusal.name);
        on_a_loop([&refusal]() -> Task<> {
            auto [client, server] =
                co_await connect(loaded(refusal.client()), loaded(refusal.server()));
            // A dialler of TLS 1.3 is done before its own certificate is looked at.
            if (client) {
                const auto read_of = co_await as_result(read(client->get(), 1));
                EXPECT_FALSE(read_of.has_value());
                if (!read_of) client = std::unexpected{read_of.error()};
            }
            if (client || server) co_return void(ADD_FAILURE() << "connected");
            EXPECT_EQ(client.error().detail(), refusal.seen_by_client) << client.error().what();
            EXPECT_EQ(client.error().code(), ErrorCode::unavailable);
            EXPECT_EQ(server.error().detail(), refusal.seen_by_server) << server.error().what();
            EXPECT_EQ(
                server.error().code(),
                server.error().detail() == "net.tls_refused" ? ErrorCode::protocol
                                                             : ErrorCode::unauthenticated
            );
        });
    }
}

TEST(Tls, NamesAreVerifiedToo) {
    on_a_loop([]() -> Task<> {
        const auto files = made().authority().issue("named", "DNS:w.example");
        auto client = made().client();
        client.server_name = "w.example";
        auto pair = co_await connect(loaded(client), loaded(server_with(files)));
        EXPECT_TRUE(pair.client && pair.server);
        client.server_name = "v.example";
        pair = co_await connect(loaded(client), loaded(server_with(files)));
        EXPECT_EQ(pair.client.error().detail(), "net.tls_wrong_name");
        const auto local = made().authority().issue("local", "DNS:localhost");
        const auto listener = co_await Listener::bind({"localhost", 0});
        Streamed server = nullptr;
        TaskScope scope{co_await current_token()};
        scope.spawn(accept_one(loaded(server_with(local)), listener.get(), &server));
        const auto dialled =
            co_await loaded(made().client()).dial({"localhost", listener->address().port});
        co_await scope.join();
        EXPECT_NE(dialled, nullptr);
    });
}

TEST(Tls, InsecureLooksAtNobody) {
    on_a_loop([]() -> Task<> {
        TlsSettings insecure;
        insecure.insecure = true;
        const auto files = made().authority().issue("any", "DNS:any", true);
        const auto pair = co_await connect(loaded(insecure), loaded(server_with(files)));
        EXPECT_TRUE(pair.client && pair.server);
    });
}

TEST(Tls, PlainAndTlsDoNotMeet) {
    on_a_loop([]() -> Task<> {
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        TaskScope scope{co_await current_token()};
        Streamed server = nullptr;
        scope.spawn(accept_one(loaded(made().server()), listener.get(), &server));
        auto plain = co_await net::dial(listener->address());
        co_await write_all(plain.get(), "GET / HTTP/1.0\r\n\r\n");
        const auto told = co_await as_result(read_all(plain.get(), 1'000));
        co_await scope.join();
        EXPECT_EQ(server.error().detail(), "net.plain_on_tls_port");
        EXPECT_EQ(server.error().code(), ErrorCode::protocol);

        TaskScope second{co_await current_token()};
        std::unique_ptr<Stream> answering;
        second.spawn([](Listener* from, std::unique_ptr<Stream>* to) -> Task<> {
            *to = std::move(*co_await from->accept()).attach();
            co_await write_all(to->get(), "who is there?");
        }(listener.get(), &answering));
        const auto dialled = co_await as_result(loaded(made().client()).dial(listener->address()));
        EXPECT_EQ(dialled.error().detail(), "net.tls_not_spoken");
        EXPECT_EQ(dialled.error().code(), ErrorCode::unavailable);
        co_await second.join();

        TaskScope third{co_await current_token()};
        third.spawn([](Listener* from) -> Task<> {
            (void)co_await from->accept();
        }(listener.get()));
        const auto cut = co_await as_result(loaded(made().client()).dial(listener->address()));
        EXPECT_EQ(cut.error().detail(), "net.tls_handshake_cut");
        EXPECT_EQ(cut.error().code(), ErrorCode::unavailable);
        co_await third.join();
    });
}

TEST(Tls, SilentPeersAreNotWaitedForLong) {
    on_a_loop([]() -> Task<> {
        auto settings = made().both();
        settings.handshake_timeout = 50ms;
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        const auto silent = co_await as_result(loaded(settings).dial(listener->address()));
        EXPECT_EQ(silent.error().detail(), "net.tls_handshake_timeout");
        EXPECT_EQ(silent.error().code(), ErrorCode::unavailable);
        const auto other = co_await Listener::bind({"127.0.0.1", 0});
        Streamed server = nullptr;
        TaskScope scope{co_await current_token()};
        scope.spawn(accept_one(loaded(settings), other.get(), &server));
        const auto slow = co_await net::dial(other->address());
        co_await write_all(slow.get(), "\x16\x03\x01");
        co_await scope.join();
        EXPECT_EQ(server.error().detail(), "net.tls_handshake_timeout");
        EXPECT_EQ(server.error().code(), ErrorCode::protocol);
    });
}

TEST(Tls, CancellingAnyWaitLosesNothing) {
    on_a_loop([]() -> Task<> {
        auto [client, server] = co_await connect();
        const auto nothing =
            co_await as_result(with_deadline(Deadline::in(5ms), read(server->get(), 16)));
        EXPECT_EQ(nothing.error().code(), ErrorCode::deadline_exceeded);
        const std::string block(1U << 20U, 'x');
        const iovec part{const_cast<char*>(block.data()), block.size()};
        std::size_t sent = 0;
        for (std::size_t n = 1; n > 0; sent += n) n = (*client)->try_write({&part, 1}).value();
        const auto full =
            co_await as_result(with_deadline(Deadline::in(5ms), (*client)->writable()));
        EXPECT_EQ(full.error().code(), ErrorCode::deadline_exceeded);
        TaskScope scope{co_await current_token()};
        std::string arrived;
        scope.spawn([](Stream* from, std::size_t size, std::string* to) -> Task<> {
            *to = co_await read_all(from, size);
        }(server->get(), sent + 5, &arrived));
        co_await (*client)->writable();
        co_await write_all(client->get(), "xlast");  // with the byte that was not taken
        co_await scope.join();
        EXPECT_EQ(arrived.size(), sent + 5);
        EXPECT_TRUE(arrived.ends_with("xlast"));
    });
}

TEST(Tls, AHandshakeCanBeCancelledInEveryStep) {
    on_a_loop([]() -> Task<> {
        const auto security = loaded(made().mutual());
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        const auto outer = co_await Listener::bind({"127.0.0.1", 0});
        // The proxy lets so many bytes through, each way, and then waits.
        for (std::size_t let : {0U, 1U, 5U, 100U, 300U, 600U, 900U, 1'500U, 3'000U}) {
            TaskScope scope{co_await current_token()};
            Streamed server = nullptr;
            scope.spawn(accept_one(security, listener.get(), &server));
            std::array<std::unique_ptr<Stream>, 2> ends;
            scope.spawn([](Listener* from, Address to, auto* ends, std::size_t let) -> Task<> {
                (*ends)[0] = std::move(*co_await from->accept()).attach();
                (*ends)[1] = co_await net::dial(to);
                const auto some = [](Stream* in, Stream* out, std::size_t left) -> Task<> {
                    while (left > 0) {
                        const auto bytes = co_await read(in, left);
                        if (bytes.empty()) co_return;
                        left -= bytes.size();
                        co_await write_all(out, bytes);
                    }
                };
                std::vector<Task<>> both;
                both.push_back(some((*ends)[0].get(), (*ends)[1].get(), let));
                both.push_back(some((*ends)[1].get(), (*ends)[0].get(), let));
                co_await when_all(std::move(both));
            }(outer.get(), listener->address(), &ends, let));
            const auto dialled = co_await as_result(
                with_deadline(Deadline::in(20ms), security.dial(outer->address()))
            );
            if (!dialled) {
                EXPECT_EQ(dialled.error().code(), ErrorCode::deadline_exceeded);
            }
            co_await scope.close();
        }
    });
}

TEST(Tls, AConnectionThatIsOnlyBegunShakesHandsWhileItIsUsed) {
    on_a_loop([]() -> Task<> {
        const auto security = loaded(made().mutual());
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        Streamed server = nullptr;
        TaskScope scope{co_await current_token()};
        scope.spawn(accept_one(security, listener.get(), &server));
        auto client = security.start_dial(listener->address()).value();
        std::string answer;
        scope.spawn([](Stream* from, std::string* to) -> Task<> {  // a reader beside the writer
            *to = co_await read(from, 99);
        }(client.get(), &answer));
        const std::string text = "greeting";
        const iovec part{const_cast<char*>(text.data()), text.size()};
        EXPECT_EQ(client->try_write({&part, 1}).value(), 0U);
        co_await client->writable();
        EXPECT_EQ(client->try_write({&part, 1}).value(), text.size());
        while (!server.value()) co_await sleep_for(1ms);
        EXPECT_EQ(co_await read(server->get(), 99), text);
        co_await write_all(server->get(), "welcome");
        co_await scope.join();
        EXPECT_EQ(answer, "welcome");

        const auto gone = listener->address();
        listener->close();
        auto refused = security.start_dial(gone);
        if (!refused) co_return;
        const auto read_of = co_await as_result(read(refused->get(), 1));
        EXPECT_EQ(read_of.error().code(), ErrorCode::unavailable);
        const auto write_of = co_await as_result((*refused)->writable());
        EXPECT_EQ(write_of.error().code(), ErrorCode::unavailable);
    });
}

TEST(Tls, WhatIsReadBeforeAStreamIsMadeOfItIsNotLost) {
    on_a_loop([]() -> Task<> {
        const auto security = loaded(made().both());
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        TaskScope scope{co_await current_token()};
        std::unique_ptr<Stream> client;
        scope.spawn([](Security from, Address to, std::unique_ptr<Stream>* dialled) -> Task<> {
            *dialled = co_await from.dial(to);
            co_await write_all(dialled->get(), "headbody");
        }(security, listener->address(), &client));
        auto accepted = security.secure(std::move(*co_await listener->accept()));
        std::array<std::byte, 4> head{};
        std::optional<std::size_t> size;
        while (!(size = accepted.try_read(head).value())) co_await accepted.readable();
        EXPECT_EQ(*size, 4U);
        const auto stream = std::move(accepted).attach();
        EXPECT_EQ(co_await read(stream.get(), 16), "body");
        co_await scope.join();
    });
}

TEST(Tls, TwoHundredConnections) {
    on_a_loop([]() -> Task<> {
        auto settings = made().mutual();
        settings.handshake_timeout = 20s;  // others may keep the machine busy
        const auto security = loaded(settings);
        const auto listener = co_await Listener::bind({"127.0.0.1", 0});
        TaskScope scope{co_await current_token()};
        scope.spawn([](Security security, Listener* listener) -> Task<> {
            TaskScope all{co_await current_token()};
            for (int i = 0; i < 200; ++i) {
                auto accepted = co_await listener->accept();
                all.spawn([](Security security, Accepted accepted) -> Task<> {
                    const auto stream = co_await security.accept(std::move(accepted));
                    co_await write_all(stream.get(), co_await read(stream.get(), 99));
                    EXPECT_EQ(co_await read(stream.get(), 1), "");
                }(security, std::move(*accepted)));
            }
            co_await all.join();
        }(security, listener.get()));
        for (int i = 0; i < 200; ++i) {
            scope.spawn([](Security security, Address to) -> Task<> {
                const auto stream = co_await security.dial(to);
                co_await write_all(stream.get(), "echo");
                EXPECT_EQ(co_await read(stream.get(), 99), "echo");
                stream->close();
            }(security, listener->address()));
        }
        co_await scope.join();
    });
}

}  // namespace
}  // namespace stator::net
