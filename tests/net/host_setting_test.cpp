// What a setting of a host means here.
#include "stator/net/host_setting.hpp"

#include <array>

#include <gtest/gtest.h>

#include "net/interfaces.hpp"
#include "stator/net/listener.hpp"
#include "stator/runtime/combinators.hpp"
#include "tests/support/on_a_loop.hpp"

namespace stator::net {
namespace {

using testing::on_a_loop;

TEST(HostSetting, AnAddressOfAnInterfaceThatOthersCanBeTold) {
    const std::array<InterfaceAddress, 12> all{{
        {"lo", ""},
        {"lo", "127.0.0.1"},
        {"lo", "::1"},
        {"two", "fe80::1"},
        {"two", "fd00::2"},
        {"two", "169.254.3.4"},
        {"two", "192.0.2.2"},
        {"two", "192.0.2.3"},
        {"six", "fe80::2"},
        {"six", "fd00::6"},
        {"link", "169.254.1.1"},
        {"down", "192.0.2.9", false},
    }};
    EXPECT_EQ(address_of_interface("lo", all), "127.0.0.1");
    EXPECT_EQ(address_of_interface("two", all), "192.0.2.2");
    EXPECT_EQ(address_of_interface("six", all), "fd00::6");
    EXPECT_EQ(address_of_interface("link", all), "169.254.1.1");
    EXPECT_EQ(address_of_interface("down", all).error().code(), ErrorCode::invalid_request);
    EXPECT_EQ(
        address_of_interface("down", all).error().message(), "network interface down is down"
    );
    EXPECT_EQ(address_of_interface("tw", all).error().code(), ErrorCode::not_found);
    EXPECT_EQ(interface_names(all), "down, link, lo, six, two");
}

TEST(HostSetting, AnInterfaceWithoutAnAddressIsAnError) {
    const std::array<InterfaceAddress, 3> all{{{"bare", ""}, {"near", ""}, {"near", "fe80::1"}}};
    for (const auto* name : {"bare", "near"}) {
        const auto found = address_of_interface(name, all);
        ASSERT_FALSE(found);
        EXPECT_EQ(found.error().detail(), "net.interface");
        EXPECT_EQ(
            found.error().message(),
            "network interface " + std::string{name} + " has no address of its own"
        );
    }
}

TEST(HostSetting, AddressesAreThemselvesAndNamesAreKept) {
    for (const auto* host : {"", "192.0.2.7", "::", "0.0.0.0", "fd00::1", "a.example"})
        EXPECT_EQ(host_of_setting(host), host);
    EXPECT_EQ(host_of_setting("[::1]"), "::1");
    EXPECT_EQ(host_of_setting("lo"), "127.0.0.1");
}

TEST(HostSetting, WhatIsBoundIsAlwaysAnAddress) {
    on_a_loop([]() -> Task<> {
        EXPECT_EQ(co_await address_of_setting("lo"), "127.0.0.1");
        EXPECT_EQ(co_await address_of_setting("[::1]"), "::1");
        EXPECT_EQ(co_await address_of_setting("::"), "::");
        const auto local = co_await address_of_setting("localhost");
        EXPECT_TRUE(local == "127.0.0.1" || local == "::1") << local;
        const auto listener = co_await Listener::bind({co_await address_of_setting("lo"), 0});
        EXPECT_EQ(listener->address().host, "127.0.0.1");
    });
}

TEST(HostSetting, WhatIsNothingIsAnErrorThatSaysWhatThereIs) {
    on_a_loop([]() -> Task<> {
        // No name of the DNS has an empty label.
        const auto address = co_await as_result(address_of_setting("no..where"));
        EXPECT_FALSE(address);
        if (address) co_return;
        EXPECT_EQ(address.error().code(), ErrorCode::invalid_request);
        EXPECT_EQ(address.error().detail(), "net.unknown_host");
        EXPECT_TRUE(address.error().message().starts_with(
            "\"no..where\" is no address, no network interface of this machine ("
        )) << address.error().message();
        EXPECT_TRUE(address.error().message().contains("lo")) << address.error().message();
    });
}

}  // namespace
}  // namespace stator::net
