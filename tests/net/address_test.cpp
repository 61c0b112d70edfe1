#include "stator/net/address.hpp"

#include <gtest/gtest.h>

namespace stator::net {
namespace {

TEST(Address, ReadsWhatPeersWrite) {
    struct Case {
        const char* text;
        const char* host;
        std::uint16_t port;
        const char* written;
    };
    for (const auto& c : {
             Case{"127.0.0.1:80", "127.0.0.1", 80, "127.0.0.1:80"},
             Case{"[::1]:40409", "::1", 40409, "[::1]:40409"},
             Case{
                 "::1:22912", "::1", 22912, "[::1]:22912"
             },  // without brackets, as older workers write
             Case{"worker-3.svc:0", "worker-3.svc", 0, "worker-3.svc:0"},
             Case{"a:65535", "a", 65535, "a:65535"},
         }) {
        const auto address = Address::parse(c.text);
        ASSERT_TRUE(address) << c.text;
        EXPECT_EQ(address->host, c.host);
        EXPECT_EQ(address->port, c.port);
        EXPECT_EQ(address->to_string(), c.written);
    }
}

TEST(Address, RefusesTheRestByName) {
    for (const auto* text :
         {"", ":", ":80", "host", "host:", "host:x", "host:65536", "host:-1", "host:80x", "host: 80"
         }) {
        const auto address = Address::parse(text);
        ASSERT_FALSE(address) << text;
        EXPECT_EQ(address.error().code(), ErrorCode::invalid_request);
        EXPECT_EQ(address.error().detail(), "net.bad_address");
    }
}

TEST(Address, KnowsItsKind) {
    EXPECT_TRUE((Address{"127.0.0.9", 1}.is_loopback()));
    EXPECT_TRUE((Address{"::1", 1}.is_loopback()));
    EXPECT_FALSE((Address{"10.0.0.1", 1}.is_loopback()));
    EXPECT_TRUE((Address{"10.0.0.1", 1}.is_numeric()));
    EXPECT_TRUE((Address{"fe80::1", 1}.is_numeric()));
    EXPECT_FALSE((Address{"localhost", 1}.is_numeric()));
    EXPECT_TRUE((Address{"0.0.0.0", 1}.is_wildcard()));
    EXPECT_TRUE((Address{"::", 1}.is_wildcard()));
}

}  // namespace
}  // namespace stator::net
