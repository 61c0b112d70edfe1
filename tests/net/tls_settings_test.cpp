// What is refused before anything listens.
#include <gtest/gtest.h>

#include "stator/net/security.hpp"
#include "tests/support/certificates.hpp"

namespace stator::net {
namespace {

using settings::TlsSettings;
using testing::Certificates;

class TlsSettingsTest : public ::testing::Test {
protected:
    void expect_refused(const TlsSettings& settings, std::vector<std::string> words) {
        const auto loaded = Security::load(settings);
        ASSERT_FALSE(loaded.has_value());
        EXPECT_EQ(loaded.error().code(), ErrorCode::invalid_request);
        EXPECT_EQ(loaded.error().detail(), "net.tls_settings");
        for (const auto& word : words)
            EXPECT_NE(loaded.error().message().find(word), std::string::npos)
                << word << " in: " << loaded.error().message();
    }
    Certificates made_;
};

TEST_F(TlsSettingsTest, SidesAreSetApart) {
    const auto neither = Security::load({}).value();
    EXPECT_FALSE(neither.serves_tls() || neither.dials_tls());
    const auto server = Security::load(made_.server()).value();
    EXPECT_TRUE(server.serves_tls() && !server.dials_tls());
    const auto client = Security::load(made_.client()).value();
    EXPECT_TRUE(!client.serves_tls() && client.dials_tls());
    const auto mutual = Security::load(made_.mutual()).value();
    EXPECT_TRUE(mutual.serves_tls() && mutual.dials_tls());
    TlsSettings insecure;
    insecure.insecure = true;
    EXPECT_TRUE(Security::load(insecure).value().dials_tls());
}

TEST_F(TlsSettingsTest, HalvesAreRefusedByName) {
    auto settings = made_.server();
    settings.key_path.clear();
    expect_refused(settings, {"DYN_TCP_TLS_CERT_PATH", settings.cert_path, "DYN_TCP_TLS_KEY_PATH"});
    settings = made_.server();
    settings.cert_path.clear();
    expect_refused(settings, {"DYN_TCP_TLS_KEY_PATH", settings.key_path, "DYN_TCP_TLS_CERT_PATH"});
    settings = made_.client();
    settings.client_ca_cert_path = made_.authority().file();
    expect_refused(settings, {"DYN_TCP_TLS_CLIENT_CA_CERT_PATH", "DYN_TCP_TLS_CERT_PATH"});
    settings = made_.mutual();
    settings.client_key_path.clear();
    expect_refused(settings, {"DYN_TCP_TLS_CLIENT_CERT_PATH", "DYN_TCP_TLS_CLIENT_KEY_PATH"});
    settings = made_.mutual();
    settings.client_cert_path.clear();
    expect_refused(settings, {"DYN_TCP_TLS_CLIENT_KEY_PATH", "DYN_TCP_TLS_CLIENT_CERT_PATH"});
    settings = made_.mutual();
    settings.ca_cert_path.clear();
    expect_refused(settings, {"DYN_TCP_TLS_CLIENT_CERT_PATH", "DYN_TCP_TLS_CA_CERT_PATH"});
    settings = made_.server();
    settings.server_name = "w.example";
    expect_refused(settings, {"DYN_TCP_TLS_SERVER_NAME", "DYN_TCP_TLS_CA_CERT_PATH"});
}

TEST_F(TlsSettingsTest, FilesThatAreOfNoUseAreRefusedByName) {
    const auto garbage = made_.folder().write("garbage.pem", "no PEM\n");
    const auto broken = made_.folder().write(
        "broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    );
    const auto absent = made_.folder().file("absent.pem");
    const auto folder = made_.folder().file("");
    struct Setting {
        std::string TlsSettings::* field;
        const char* name;
    };
    for (const auto& [field, name] : {
             Setting{&TlsSettings::cert_path, "DYN_TCP_TLS_CERT_PATH"},
             Setting{&TlsSettings::key_path, "DYN_TCP_TLS_KEY_PATH"},
             Setting{&TlsSettings::client_ca_cert_path, "DYN_TCP_TLS_CLIENT_CA_CERT_PATH"},
             Setting{&TlsSettings::ca_cert_path, "DYN_TCP_TLS_CA_CERT_PATH"},
             Setting{&TlsSettings::client_cert_path, "DYN_TCP_TLS_CLIENT_CERT_PATH"},
             Setting{&TlsSettings::client_key_path, "DYN_TCP_TLS_CLIENT_KEY_PATH"},
         }) {
        for (const auto& file : {garbage, broken, absent, folder}) {
            auto settings = made_.mutual();
            settings.*field = file;
            expect_refused(settings, {name, file});
        }
    }
}

TEST_F(TlsSettingsTest, AKeyMustFitItsCertificateAndNeedNoPassword) {
    const auto other = made_.authority().issue("other");
    auto settings = made_.server();
    settings.key_path = other.key;
    expect_refused(
        settings, {"DYN_TCP_TLS_KEY_PATH", other.key, settings.cert_path, "not the key"}
    );
    settings = made_.mutual();
    settings.client_key_path = other.key;
    expect_refused(settings, {"DYN_TCP_TLS_CLIENT_KEY_PATH", other.key, "not the key"});

    const auto locked = made_.folder().file("locked.key");
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    std::FILE* const file = std::fopen(locked.c_str(), "w");
    const unsigned char word[] = "word";
    PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), word, 4, nullptr, nullptr);
    (void)std::fclose(file);
    EVP_PKEY_free(key);
    settings = made_.server();
    settings.key_path = locked;
    expect_refused(settings, {"DYN_TCP_TLS_KEY_PATH", locked, "password"});
}

}  // namespace
}  // namespace stator::net
