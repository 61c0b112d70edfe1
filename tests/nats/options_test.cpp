#include "stator/nats/options.hpp"

#include <gtest/gtest.h>

namespace stator::nats {
namespace {

/// What is wrong with it, by what the message names; empty: nothing.
std::string fault(const settings::NatsSettings& settings) {
    const auto options = ClientOptions::from_settings(settings);
    return options ? std::string{} : options.error().message();
}

TEST(NatsOptions, AreReadFromTheSettings) {
    settings::NatsSettings settings;
    settings.server = "nats://one:1,nats://two:2";
    settings.auth_token = "secret";
    settings.request_timeout = std::chrono::seconds{3};
    const auto options = ClientOptions::from_settings(settings);
    ASSERT_TRUE(options);
    EXPECT_EQ(options->server, settings.server);
    EXPECT_EQ(options->token, "secret");
    EXPECT_EQ(options->request_timeout, std::chrono::seconds{3});
    EXPECT_FALSE(options->wants_tls());
}

TEST(NatsOptions, ZeroIsTheUsualTimeOfARequest) {
    EXPECT_EQ(ClientOptions::from_settings({})->request_timeout, std::chrono::seconds{10});
}

TEST(NatsOptions, WhatIsHalfIsRefusedByName) {
    settings::NatsSettings settings;
    settings.auth_username = "me";
    EXPECT_NE(fault(settings).find("NATS_AUTH_PASSWORD"), std::string::npos);
    settings = {};
    settings.tls_client_cert_path = "/dev/null";
    EXPECT_NE(fault(settings).find("NATS_TLS_CLIENT_KEY_PATH"), std::string::npos);
    settings = {};
    settings.tls_ca_cert_path = "/nowhere/ca.pem";
    EXPECT_NE(fault(settings).find("NATS_TLS_CA_CERT_PATH"), std::string::npos);
    settings = {};
    settings.auth_credentials_file = "/nowhere/creds";
    EXPECT_NE(fault(settings).find("NATS_AUTH_CREDENTIALS_FILE"), std::string::npos);
    settings = {};
    settings.server = "nats://one,http://two";
    EXPECT_NE(fault(settings).find("NATS_SERVER"), std::string::npos);
}

TEST(NatsOptions, TlsIsWantedByItsSchemeOrItsFiles) {
    ClientOptions options;
    options.server = "tls://one";
    EXPECT_TRUE(options.wants_tls());
    options = {};
    options.tls_insecure = true;
    EXPECT_TRUE(options.wants_tls());
}

}  // namespace
}  // namespace stator::nats
