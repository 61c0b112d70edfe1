// What a setting of a host means on this machine.
#pragma once

#include <string>

#include "stator/base/error.hpp"
#include "stator/runtime/task.hpp"

namespace stator::net {

/// An address as it is (IPv6 also in brackets), the address of the network interface of that name,
/// or else the text, which is taken for a DNS name. Of an interface's addresses the first of these:
/// IPv4, IPv6, IPv4 of its link only.
/// Errors: `invalid_request` "net.interface" for an interface that is down or has none of them.
Result<std::string> host_of_setting(std::string host);

/// As above, and what a DNS name resolves to: always an address.
/// Errors (thrown): also "net.unknown_host" for what is no name either, naming the interfaces that
/// there are (`invalid_request`). Cancel safety: throws `cancelled`.
Task<std::string> address_of_setting(std::string host);

}  // namespace stator::net
