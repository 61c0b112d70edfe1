#include "net/interfaces.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace stator::net {

namespace {

template <class Address>
std::string text_of(const sockaddr* address, auto Address::* field) {
    Address typed{};
    std::memcpy(&typed, address, sizeof typed);
    std::array<char, INET6_ADDRSTRLEN> text{};
    return ::inet_ntop(address->sa_family, &(typed.*field), text.data(), text.size());
}

std::string text_of(const sockaddr* address) {
    if (address == nullptr) return {};
    if (address->sa_family == AF_INET) return text_of(address, &sockaddr_in::sin_addr);
    if (address->sa_family == AF_INET6) return text_of(address, &sockaddr_in6::sin6_addr);
    return {};
}

enum class Worth { best, good, poor, none };

/// An IPv6 address of a link alone means nothing without that link: nobody could be told of it.
Worth worth_of(std::string_view address) {
    if (address.empty() || address.starts_with("fe80:")) return Worth::none;
    if (address.contains(':')) return Worth::good;
    return address.starts_with("169.254.") ? Worth::poor : Worth::best;
}

}  // namespace

std::vector<InterfaceAddress> interface_addresses() {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) return {};
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner{list, &::freeifaddrs};
    std::vector<InterfaceAddress> all;
    for (const auto* entry = list; entry != nullptr; entry = entry->ifa_next) {
        const bool up = (entry->ifa_flags & IFF_UP) != 0;
        all.push_back({entry->ifa_name, text_of(entry->ifa_addr), up});
    }
    return all;
}

Result<std::string> address_of_interface(
    std::string_view name, std::span<const InterfaceAddress> all
) {
    const InterfaceAddress* best = nullptr;
    bool known = false;
    bool up = false;
    for (const auto& one : all) {
        if (one.name != name) continue;
        known = true;
        up = up || one.up;
        if (worth_of(one.address) == Worth::none) continue;
        if (best == nullptr || worth_of(one.address) < worth_of(best->address)) best = &one;
    }
    if (!known) {
        return fail(
            ErrorCode::not_found, "net.interface", fmt::format("no network interface is {}", name)
        );
    }
    if (up && best != nullptr) return best->address;
    return fail(
        ErrorCode::invalid_request,
        "net.interface",
        fmt::format("network interface {} {}", name, up ? "has no address of its own" : "is down")
    );
}

std::string interface_names(std::span<const InterfaceAddress> all) {
    std::set<std::string_view> names;
    for (const auto& one : all) names.insert(one.name);
    return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace stator::net
