// Who may connect, and how safely: against real servers.
#include "tests/nats/credentials.hpp"
#include "tests/nats/nats_fixture.hpp"
#include "tests/support/certificates.hpp"

namespace stator::test {
namespace {

/// How an attempt to connect ends: "connected", or the error.
std::string attempt(ClientOptions options, Duration startup_timeout = 5s) {
    Loops loops;
    options.startup_timeout = startup_timeout;
    auto client = loops.run(connect_client(&loops.secondary(), std::move(options)));
    if (!client) {
        return std::string{to_string(client.error().code())} + " " + client.error().detail();
    }
    const auto flushed = loops.run(client->flush(Deadline::in(patience)));
    EXPECT_TRUE(flushed);
    EXPECT_RUNS(loops, client->close(Deadline::in(5s)));
    return "connected";
}

constexpr auto refused = "unauthenticated nats.authentication";
constexpr auto not_trusted = "unavailable nats.tls";

TEST(NatsAccess, UserAndPassword) {
    const NatsServer server{{.configuration = R"(authorization { user: "me", password: "s3cret" })"}
    };
    ClientOptions options{.server = server.url()};
    EXPECT_EQ(attempt(options), refused);  // the user that it is by default
    options.username = "me";
    options.password = "s3cret";
    EXPECT_EQ(attempt(options), "connected");
    options.password = "wrong";
    EXPECT_EQ(attempt(options), refused);
}

TEST(NatsAccess, TheUserThatItIsByDefault) {
    const NatsServer server{{.configuration = R"(authorization { user: "user", password: "user" })"}
    };
    EXPECT_EQ(attempt({.server = server.url()}), "connected");
}

TEST(NatsAccess, Token) {
    const NatsServer server{{.configuration = R"(authorization { token: "t0ken" })"}};
    ClientOptions options{.server = server.url()};
    options.token = "t0ken";
    EXPECT_EQ(attempt(options), "connected");
    options.token = "wrong";
    EXPECT_EQ(attempt(options), refused);
}

// A pair that was made for this test.
constexpr auto seed = "SUAF3OC6RO6M7QEI3W2OPRTITVEV4RYYEKJU5NXUZP735Q2TAZPOLPMOVI";
constexpr auto public_key = "UCAMI2EZJSSUNLERBCWHCQGSSEVDKSPFNUL6557OR672DEE2H46XBJE4";

TEST(NatsAccess, Nkey) {
    const NatsServer server{
        {.configuration =
             std::string{"authorization { users: [ { nkey: \""} + public_key + "\" } ] }"}
    };
    ClientOptions options{.server = server.url()};
    options.nkey = seed;
    EXPECT_EQ(attempt(options), "connected");
    options.nkey[10] = options.nkey[10] == 'A' ? 'B' : 'A';
    EXPECT_EQ(attempt(options), "invalid_request nats.options");
    options.nkey = "";
    EXPECT_EQ(attempt(options), refused);
}

TEST(NatsAccess, CredentialsFile) {
    const TemporaryFolder folder;
    const Accounts ours;
    const NatsServer server{{.configuration = ours.configuration()}};
    ClientOptions options{.server = server.url()};
    EXPECT_EQ(attempt(options), refused);
    options.credentials_file = folder.path() / "ours.creds";
    ours.write_user(options.credentials_file);
    EXPECT_EQ(attempt(options), "connected");
    // Of an account that the server does not know.
    Accounts{}.write_user(options.credentials_file);
    EXPECT_EQ(attempt(options), refused);
}

TEST(NatsAccess, ACredentialsFileThatIsNoneIsNamedAtOnce) {
    const TemporaryFolder folder;
    const Accounts ours;
    const NatsServer server{{.configuration = ours.configuration()}};
    ClientOptions options{.server = server.url()};
    options.credentials_file = folder.path() / "missing.creds";
    EXPECT_EQ(attempt(options), "invalid_request nats.options");
    std::ofstream{folder.path() / "empty.creds"} << "nothing\n";
    options.credentials_file = folder.path() / "empty.creds";
    EXPECT_EQ(attempt(options), "invalid_request nats.options");
}

std::string tls(const testing::CertificateFiles& files, const std::string& client_ca = {}) {
    auto text = "tls { cert_file: \"" + files.certificate + "\", key_file: \"" + files.key + "\"";
    if (!client_ca.empty()) text += ", ca_file: \"" + client_ca + "\", verify: true";
    return text + " }";
}

TEST(NatsAccess, TlsOfAnAuthority) {
    const testing::CertificateFolder folder;
    const testing::Authority ours{folder, "ours"};
    const testing::Authority other{folder, "other"};
    const NatsServer server{{.configuration = tls(ours.issue("server")), .tls = true}};
    ClientOptions options{.server = server.url()};
    options.ca_file = ours.file();
    EXPECT_EQ(attempt(options), "connected");
    options.ca_file = other.file();
    EXPECT_EQ(attempt(options), not_trusted);
    options.ca_file = "";
    EXPECT_EQ(attempt(options), not_trusted);
    options.tls_insecure = true;
    EXPECT_EQ(attempt(options), "connected");
}

TEST(NatsAccess, TlsThatTheServerInsistsOn) {
    const testing::CertificateFolder folder;
    const testing::Authority ours{folder, "ours"};
    const NatsServer server{{.configuration = tls(ours.issue("server"))}};
    // Without a word of TLS: it is asked for, and the authority is none of the system's.
    EXPECT_EQ(attempt({.server = server.url()}), not_trusted);
    ClientOptions options{.server = server.url()};
    options.ca_file = ours.file();
    EXPECT_EQ(attempt(options), "connected");
}

TEST(NatsAccess, TlsWithTheWrongName) {
    const testing::CertificateFolder folder;
    const testing::Authority ours{folder, "ours"};
    const NatsServer server{
        {.configuration = tls(ours.issue("server", "DNS:elsewhere.example")), .tls = true}
    };
    ClientOptions options{.server = server.url()};
    options.ca_file = ours.file();
    EXPECT_EQ(attempt(options), not_trusted);
}

TEST(NatsAccess, TlsWithACertificateOfOurs) {
    const testing::CertificateFolder folder;
    const testing::Authority ours{folder, "ours"};
    const NatsServer server{{.configuration = tls(ours.issue("server"), ours.file()), .tls = true}};
    ClientOptions options{.server = server.url()};
    options.ca_file = ours.file();
    EXPECT_NE(attempt(options, 300ms), "connected");
    const auto client = ours.issue("client");
    options.client_cert_file = client.certificate;
    options.client_key_file = client.key;
    EXPECT_EQ(attempt(options), "connected");
}

}  // namespace
}  // namespace stator::test
