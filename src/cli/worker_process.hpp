// Which process of this machine a worker is, and how much CPU time it has used.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "stator/base/clock.hpp"

namespace stator::cli {

/// The inode of the listening socket that takes connections to `host` (a numeric address) and
/// `port`, in the text of /proc/net/tcp or /proc/net/tcp6. A socket bound to all addresses takes
/// them, too, but one bound to `host` goes before it. Pure.
std::optional<std::uint64_t> listening_inode(
    std::string_view table, std::string_view host, std::uint16_t port
);

/// The process that listens at `address` ("host:port"): nothing when that is not an address of this
/// machine, or the process may not be looked at (another user's, another container's). Reads /proc:
/// blocks.
std::optional<int> listening_process(std::string_view address);

/// User and system time of a process, ended threads included. Nothing when there is no such
/// process.
std::optional<Duration> cpu_time_of(int pid) noexcept;
/// The same of this process.
Duration own_cpu_time() noexcept;

}  // namespace stator::cli
