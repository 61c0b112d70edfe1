// Connections that spare the certificates because their peers know each other already, and those
// that must not.
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "net/tls_context.hpp"
#include "net/tls_tickets.hpp"
#include "stator/base/sink.hpp"
#include "stator/net/listener.hpp"
#include "stator/net/security.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/on_a_loop.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines): the fixture outlives every task
namespace stator::net {
namespace {

using namespace std::chrono_literals;
using settings::TlsSettings;
using testing::Authority;
using testing::Certificates;

Security loaded(const TlsSettings& settings) { return Security::load(settings).value(); }

/// What came of one connection, by the two that made it; nothing: all went well.
struct Outcome {
    std::optional<Error> dialler;
    std::optional<Error> listener;
    bool good() const { return !dialler && !listener; }
    std::string why() const {
        return std::string{dialler ? dialler->what() : "good"} + "; " +
               (listener ? listener->what() : "good");
    }
};

class TlsResumption : public ::testing::Test, Sink {
protected:
    TlsResumption() { set_sink(this); }
    ~TlsResumption() override { set_sink(nullptr); }

    void run(std::function<Task<>()> body) {
        testing::on_a_loop([&]() -> Task<> {
            const auto ended = co_await as_result(body());
            listener_.reset();  // while its loop is there
            if (!ended) throw ended.error();
        });
    }
    /// The same port each time, whoever listens there.
    Task<> listen(Security security) {
        const auto port = listener_ ? listener_->address().port : std::uint16_t{0};
        listener_.reset();
        listener_ = co_await Listener::bind({"127.0.0.1", port});
        server_ = std::move(security);
    }
    /// Connects, and sends a word each way.
    Task<Outcome> talk(Security client) {
        Outcome outcome;
        TaskScope scope{co_await current_token()};
        scope.spawn(answer(&outcome));
        const auto ended = co_await as_result(ask(client));
        if (!ended) outcome.dialler = ended.error();
        co_await scope.join();
        co_return outcome;
    }
    Certificates made;
    std::atomic<int> dialled_again = 0;
    std::atomic<int> accepted_again = 0;

private:
    static Task<> say(Stream* stream, std::string text) {
        const iovec part{text.data(), text.size()};
        while (true) {
            const auto written = stream->try_write({&part, 1});
            if (!written) throw written.error();
            if (*written == text.size()) co_return;
            co_await stream->writable();
        }
    }
    static Task<std::string> hear(Stream* stream) {
        std::string text(16, '\0');
        const iovec part{text.data(), text.size()};
        text.resize(co_await stream->read_some({&part, 1}));
        co_return text;
    }
    Task<> ask(Security client) {
        const auto stream = co_await client.dial(listener_->address());
        co_await say(stream.get(), "ping");
        EXPECT_EQ(co_await hear(stream.get()), "pong");
    }
    Task<> answer(Outcome* outcome) {
        const auto ended = co_await as_result(answer_one());
        if (!ended) outcome->listener = ended.error();
    }
    Task<> answer_one() {
        auto accepted = co_await listener_->accept();
        const auto stream = co_await server_.accept(std::move(*accepted));
        EXPECT_EQ(co_await hear(stream.get()), "ping");
        co_await say(stream.get(), "pong");
        (void)co_await as_result(hear(stream.get()));  // its end
    }

    void report(
        Severity, std::string_view, std::string_view, std::source_location
    ) noexcept override {}
    void gauge(std::string_view, double) noexcept override {}
    void count(std::string_view name, std::uint64_t by) noexcept override {
        if (name == "net_tls_dialled_again_total") dialled_again += static_cast<int>(by);
        if (name == "net_tls_accepted_again_total") accepted_again += static_cast<int>(by);
    }

    std::unique_ptr<Listener> listener_;
    Security server_;
};

TEST_F(TlsResumption, ASecondConnectionToTheSameListenerResumes) {
    run([this]() -> Task<> {
        for (const auto& [server, client] : {
                 std::pair{made.server(), made.client()},
                 std::pair{made.mutual(), made.mutual()},
             }) {
            dialled_again = accepted_again = 0;
            const auto security = loaded(client);
            co_await listen(loaded(server));
            for (int i = 0; i < 20; ++i) {
                const auto outcome = co_await talk(security);
                EXPECT_TRUE(outcome.good()) << outcome.why();
            }
            EXPECT_EQ(dialled_again, 19);
            EXPECT_EQ(accepted_again, 19);
        }
    });
}

TEST_F(TlsResumption, AnotherListenerOnThatPortIsVerified) {
    run([this]() -> Task<> {
        const auto security = loaded(made.client());
        co_await listen(loaded(made.server()));
        EXPECT_TRUE((co_await talk(security)).good());
        // Started again: it cannot read the ticket, and shows its certificate.
        co_await listen(loaded(made.server()));
        EXPECT_TRUE((co_await talk(security)).good());
        EXPECT_EQ(dialled_again, 0);
        // Somebody else.
        const Authority other{made.folder(), "other"};
        const auto files = other.issue("impostor");
        TlsSettings impostor;
        impostor.cert_path = files.certificate;
        impostor.key_path = files.key;
        co_await listen(loaded(impostor));
        const auto outcome = co_await talk(security);
        EXPECT_EQ(outcome.dialler.value().detail(), "net.tls_untrusted");
        EXPECT_EQ(dialled_again, 0);
    });
}

TEST_F(TlsResumption, AClientIsVerifiedByEachListenerAnew) {
    run([this]() -> Task<> {
        const auto security = loaded(made.mutual());
        co_await listen(loaded(made.mutual()));
        EXPECT_TRUE((co_await talk(security)).good());
        EXPECT_TRUE((co_await talk(security)).good());
        EXPECT_EQ(accepted_again, 1);
        // The same certificate, but now clients need one of another authority.
        const Authority other{made.folder(), "other"};
        auto stricter = made.mutual();
        stricter.client_ca_cert_path = other.file();
        co_await listen(loaded(stricter));
        for (int i = 0; i < 3; ++i) {
            const auto outcome = co_await talk(security);
            EXPECT_EQ(outcome.listener.value().detail(), "net.tls_untrusted") << outcome.why();
            EXPECT_TRUE(outcome.dialler.has_value());
        }
        EXPECT_EQ(accepted_again, 1);
    });
}

TEST_F(TlsResumption, AnotherAuthorityMeansNoTickets) {
    run([this]() -> Task<> {
        co_await listen(loaded(made.server()));
        EXPECT_TRUE((co_await talk(loaded(made.client()))).good());
        const Authority other{made.folder(), "other"};
        auto distrusting = made.client();
        distrusting.ca_cert_path = other.file();
        const auto outcome = co_await talk(loaded(distrusting));
        EXPECT_EQ(outcome.dialler.value().detail(), "net.tls_untrusted");
        EXPECT_EQ(dialled_again, 0);
    });
}

TEST_F(TlsResumption, AConnectionThatWasCutDoesNotSpoilItsTicket) {
    run([this]() -> Task<> {
        const auto security = loaded(made.client());
        co_await listen(loaded(made.server()));
        for (int i = 0; i < 6; ++i) EXPECT_TRUE((co_await talk(security)).good());
        EXPECT_EQ(dialled_again, 5) << "none of them says farewell";
    });
}

TEST_F(TlsResumption, ACertificateThatExpiresEndsItsTickets) {
    run([this]() -> Task<> {
        constexpr long lifetime = 3;
        for (const bool of_server : {true, false}) {
            dialled_again = accepted_again = 0;
            const auto brief = made.authority().issue_for("brief", lifetime);
            const auto expired = std::chrono::steady_clock::now() + std::chrono::seconds{lifetime};
            auto server = made.mutual();
            auto client = made.mutual();
            (of_server ? server.cert_path : client.client_cert_path) = brief.certificate;
            (of_server ? server.key_path : client.client_key_path) = brief.key;
            const auto security = loaded(client);
            co_await listen(loaded(server));
            const auto first = co_await talk(security);
            const auto second = co_await talk(security);
            if (std::chrono::steady_clock::now() >= expired) co_return;  // a very slow machine
            EXPECT_TRUE(first.good()) << first.why();
            EXPECT_TRUE(second.good()) << second.why();
            EXPECT_EQ(dialled_again, 1);
            co_await sleep_for(expired + 1100ms - std::chrono::steady_clock::now());
            const auto third = co_await talk(security);
            const auto& seen = of_server ? third.dialler : third.listener;
            EXPECT_EQ(seen.value().detail(), "net.tls_expired") << third.why();
            EXPECT_EQ(dialled_again, 1);
        }
    });
}

TlsTicket fresh_ticket() {
    TlsTicket ticket{SSL_SESSION_new()};
    const unsigned char id = 1;
    SSL_SESSION_set1_id(ticket.get(), &id, 1);
    SSL_SESSION_set_time(ticket.get(), static_cast<long>(std::time(nullptr)));
    SSL_SESSION_set_timeout(ticket.get(), 100);
    return ticket;
}

TEST(TlsTicketsTest, EachIsUsedOnceWhileThereAreOthers) {
    TlsTickets tickets;
    EXPECT_EQ(tickets.take("a"), nullptr);
    std::vector<SSL_SESSION*> kept;
    for (int i = 0; i < 3; ++i) {
        auto ticket = fresh_ticket();
        kept.push_back(ticket.get());
        tickets.keep("a", std::move(ticket));
    }
    EXPECT_EQ(tickets.take("b"), nullptr);
    EXPECT_EQ(tickets.take("a").get(), kept[2]);
    EXPECT_EQ(tickets.take("a").get(), kept[1]);
    // The last one is lent: as a copy, since OpenSSL spoils what it has used.
    for (int i = 0; i < 3; ++i) {
        const auto copy = tickets.take("a");
        ASSERT_NE(copy, nullptr);
        EXPECT_NE(copy.get(), kept[0]);
    }
}

TEST(TlsTicketsTest, OldOnesAreNotUsed) {
    TlsTickets tickets;
    for (const long age : {100L, 1L, 100L}) {
        auto ticket = fresh_ticket();
        SSL_SESSION_set_time(ticket.get(), static_cast<long>(std::time(nullptr)) - age);
        tickets.keep("a", std::move(ticket));
    }
    EXPECT_NE(tickets.take("a"), nullptr);
    EXPECT_EQ(tickets.take("a"), nullptr) << "what is left is too old";
}

TEST(TlsTicketsTest, AreBounded) {
    TlsTickets tickets;
    for (std::size_t i = 0; i < TlsTickets::most_peers + 10; ++i)
        tickets.keep(std::to_string(i), fresh_ticket());
    EXPECT_EQ(tickets.peers(), TlsTickets::most_peers);
    EXPECT_EQ(tickets.take("9"), nullptr);
    EXPECT_NE(tickets.take("10"), nullptr);
    std::set<SSL_SESSION*> kept;
    std::vector<TlsTicket> alive;  // so that no address is used twice
    for (std::size_t i = 0; i < 100; ++i) {
        auto ticket = fresh_ticket();
        SSL_SESSION_up_ref(ticket.get());
        alive.emplace_back(ticket.get());
        kept.insert(ticket.get());
        tickets.keep("10", std::move(ticket));
    }
    std::size_t first_uses = 0;
    for (std::size_t i = 0; i < 100; ++i) first_uses += kept.count(tickets.take("10").get());
    EXPECT_EQ(first_uses, TlsTickets::most_per_peer - 1) << "one is left";
}

}  // namespace
}  // namespace stator::net
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines)
