// What the control group of this process lets it use: a container has fewer cores and less memory
// than its machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>

namespace stator::inline base {

/// Empty: not limited.
struct ResourceLimits {
    std::optional<double> cpus;           ///< cores' worth of time, by quota
    std::optional<std::uint64_t> memory;  ///< bytes
    friend bool operator==(const ResourceLimits&, const ResourceLimits&) = default;
};

/// The lowest limits of the process's group and those above it, of version 2 (cpu.max, memory.max)
/// and 1 (cpu.cfs_quota_us, memory.limit_in_bytes) of control groups. What cannot be read or makes
/// no sense is no limit. `root` is where proc and sys are. Reads files: not for a loop.
ResourceLimits resource_limits(const std::filesystem::path& root = "/");

/// How many threads can run at a time: the cores that the process may run on, and no more than its
/// quota fills; at least 1.
std::size_t usable_cores(const ResourceLimits& limits);

}  // namespace stator::inline base
