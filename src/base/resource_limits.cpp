#include "stator/base/resource_limits.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

namespace stator::inline base {

namespace {

namespace fs = std::filesystem;

// Version 1 says "none" by a number near 2^63, cut to whole pages.
constexpr std::uint64_t no_memory_limit = std::uint64_t{1} << 60U;

std::optional<std::string> first_line(const fs::path& path) {
    std::ifstream file{path};
    std::string line;
    if (!std::getline(file, line)) return std::nullopt;
    return line;
}

/// The number at the beginning of `text`, which is cut off with one separator behind it.
std::optional<std::int64_t> take_number(std::string_view& text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.starts_with(' ')) text.remove_prefix(1);
    return value;
}

std::optional<std::int64_t> number_in(const fs::path& path) {
    const auto line = first_line(path);
    if (!line) return std::nullopt;
    std::string_view text{*line};
    return take_number(text);
}

template <class T>
void lower(std::optional<T>& limit, T other) {
    limit = limit ? std::min(*limit, other) : other;
}

void lower_cpus(
    ResourceLimits& limits, std::optional<std::int64_t> quota, std::optional<std::int64_t> period
) {
    if (!quota || !period || *quota <= 0 || *period <= 0) return;
    lower(limits.cpus, static_cast<double>(*quota) / static_cast<double>(*period));
}

void lower_memory(ResourceLimits& limits, std::optional<std::int64_t> bytes) {
    if (!bytes || *bytes <= 0) return;
    const auto size = static_cast<std::uint64_t>(*bytes);
    if (size < no_memory_limit) lower(limits.memory, size);
}

/// "quota period", or "max period".
void read_v2(const fs::path& group, ResourceLimits& limits) {
    if (const auto line = first_line(group / "cpu.max")) {
        std::string_view text{*line};
        const auto quota = take_number(text);
        lower_cpus(limits, quota, take_number(text));
    }
    lower_memory(limits, number_in(group / "memory.max"));
}

void read_v1_cpu(const fs::path& group, ResourceLimits& limits) {
    lower_cpus(
        limits, number_in(group / "cpu.cfs_quota_us"), number_in(group / "cpu.cfs_period_us")
    );
}

void read_v1_memory(const fs::path& group, ResourceLimits& limits) {
    lower_memory(limits, number_in(group / "memory.limit_in_bytes"));
}

/// `read` for the group `path` below `mount` and all above it. A container may see its own group
/// as the mount while its path is that of the host: what is not there is passed over.
template <class Read>
void for_ancestors(const fs::path& mount, std::string_view path, Read read) {
    while (path.starts_with('/')) path.remove_prefix(1);
    fs::path group{path};
    while (!group.empty()) {
        read(mount / group);
        group = group.parent_path();
    }
    read(mount);
}

/// Whether a list such as "cpu,cpuacct" has `name`.
bool lists(std::string_view controllers, std::string_view name) {
    while (!controllers.empty()) {
        const auto comma = std::min(controllers.find(','), controllers.size());
        if (controllers.substr(0, comma) == name) return true;
        controllers.remove_prefix(std::min(comma + 1, controllers.size()));
    }
    return false;
}

/// A line of /proc/self/cgroup: "hierarchy:controllers:path", without controllers for version 2.
void read_groups_of(std::string_view line, const fs::path& mounts, ResourceLimits& limits) {
    const auto first = line.find(':');
    const auto second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos) return;
    const auto controllers = line.substr(first + 1, second - first - 1);
    const auto path = line.substr(second + 1);
    const auto read = [&](const fs::path& mount, auto reader) {
        for_ancestors(mount, path, [&](const fs::path& group) { reader(group, limits); });
    };
    if (controllers.empty()) {
        read(mounts, read_v2);
        read(mounts / "unified", read_v2);
    }
    if (lists(controllers, "cpu")) read(mounts / "cpu", read_v1_cpu);
    if (lists(controllers, "memory")) read(mounts / "memory", read_v1_memory);
}

}  // namespace

ResourceLimits resource_limits(const fs::path& root) {
    ResourceLimits limits;
    std::ifstream groups{root / "proc/self/cgroup"};
    for (std::string line; std::getline(groups, line);)
        read_groups_of(line, root / "sys/fs/cgroup", limits);
    return limits;
}

std::size_t usable_cores(const ResourceLimits& limits) {
    const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
    if (!limits.cpus || *limits.cpus >= static_cast<double>(cores)) return cores;
    return std::max<std::size_t>(1, static_cast<std::size_t>(std::ceil(*limits.cpus)));
}

}  // namespace stator::inline base
