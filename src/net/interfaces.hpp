// The network interfaces of this machine, and which address stands for one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/error.hpp"

namespace stator::net {

/// One address of an interface; one without is listed with an empty one.
struct InterfaceAddress {
    std::string name;
    std::string address;
    bool up = true;
};

/// Of this machine; empty if they cannot be listed.
std::vector<InterfaceAddress> interface_addresses();

/// Errors: as host_of_setting; `not_found` for a name that none has.
Result<std::string> address_of_interface(
    std::string_view name, std::span<const InterfaceAddress> all
);

/// "eth0, lo"
std::string interface_names(std::span<const InterfaceAddress> all);

}  // namespace stator::net
