#include "stator/net/host_setting.hpp"

#include <fmt/format.h>

#include "net/interfaces.hpp"
#include "stator/base/text.hpp"
#include "stator/net/address.hpp"
#include "stator/net/listener.hpp"
#include "stator/runtime/combinators.hpp"

namespace stator::net {

Result<std::string> host_of_setting(std::string host) {
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    const Address address{host, 0};
    if (address.is_numeric() || address.is_wildcard()) return host;
    auto found = address_of_interface(host, interface_addresses());
    if (found || found.error().code() != ErrorCode::not_found) return found;
    return host;
}

Task<std::string> address_of_setting(std::string host) {
    auto known = host_of_setting(std::move(host));
    if (!known) throw known.error();
    if (Address{*known, 0}.is_wildcard()) co_return std::move(*known);
    auto address = co_await as_result(resolve(*known));
    if (address) co_return std::move(*address);
    if (address.error().code() == ErrorCode::cancelled) throw address.error();
    throw Error{
        ErrorCode::invalid_request,
        "net.unknown_host",
        fmt::format(
            "{} is no address, no network interface of this machine ({}), and no name that "
            "resolves: {}",
            quoted_text(*known),
            interface_names(interface_addresses()),
            address.error().message()
        )
    };
}

}  // namespace stator::net
