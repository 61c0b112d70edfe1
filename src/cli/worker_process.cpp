#include "cli/worker_process.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include "stator/net/address.hpp"

namespace stator::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view listening_state = "0A";

/// An address as its bytes: 4 or 16 of them.
struct Host {
    std::array<unsigned char, 16> bytes{};
    std::size_t size = 0;

    static std::optional<Host> parse(std::string_view text) {
        const std::string terminated{text};
        Host host;
        if (::inet_pton(AF_INET, terminated.c_str(), host.bytes.data()) == 1) {
            host.size = 4;
        } else if (::inet_pton(AF_INET6, terminated.c_str(), host.bytes.data()) == 1) {
            host.size = 16;
        } else {
            return std::nullopt;
        }
        return host;
    }
    /// As the kernel prints it: words of 32 bits in the machine's byte order.
    std::string in_table() const {
        std::string text;
        for (std::size_t at = 0; at < size; at += 4) {
            std::uint32_t word = 0;
            std::memcpy(&word, &bytes[at], sizeof word);
            text += fmt::format("{:08X}", word);
        }
        return text;
    }
    bool is(std::span<const unsigned char> other) const {
        return other.size() == size && std::memcmp(other.data(), bytes.data(), size) == 0;
    }
};

template <class Address>
std::span<const unsigned char> bytes_of(const Address& address) {
    return {reinterpret_cast<const unsigned char*>(&address), sizeof address};
}

bool is_of_this_machine(const Host& host) {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) return false;
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner{list, &::freeifaddrs};
    for (const auto* entry = list; entry != nullptr; entry = entry->ifa_next) {
        if (entry->ifa_addr == nullptr) continue;
        if (entry->ifa_addr->sa_family == AF_INET) {
            sockaddr_in address{};
            std::memcpy(&address, entry->ifa_addr, sizeof address);
            if (host.is(bytes_of(address.sin_addr))) return true;
            // All of 127/8 is this machine's.
            if (host.size == 4 && host.bytes[0] == 127) return true;
        } else if (entry->ifa_addr->sa_family == AF_INET6) {
            sockaddr_in6 address{};
            std::memcpy(&address, entry->ifa_addr, sizeof address);
            if (host.is(bytes_of(address.sin6_addr))) return true;
        }
    }
    return false;
}

std::string content_of(const char* path) {
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
}

bool has_socket(const fs::path& descriptors, const std::string& socket) {
    std::error_code failure;
    auto entry = fs::directory_iterator{descriptors, failure};
    for (; !failure && entry != fs::directory_iterator{}; entry.increment(failure)) {
        std::error_code gone;
        if (fs::read_symlink(entry->path(), gone) == socket) return true;
    }
    return false;
}

std::optional<int> owner_of(std::uint64_t inode) {
    const auto socket = fmt::format("socket:[{}]", inode);
    std::error_code failure;
    auto entry = fs::directory_iterator{"/proc", failure};
    for (; !failure && entry != fs::directory_iterator{}; entry.increment(failure)) {
        const auto name = entry->path().filename().string();
        int pid = 0;
        const auto* last = name.data() + name.size();
        const auto parsed = std::from_chars(name.data(), last, pid);
        if (parsed.ec != std::errc{} || parsed.ptr != last) continue;
        if (has_socket(entry->path() / "fd", socket)) return pid;
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> listening_inode(
    std::string_view table, std::string_view host, std::uint16_t port
) {
    const auto parsed = Host::parse(host);
    if (!parsed) return std::nullopt;
    const auto wanted = parsed->in_table();
    std::optional<std::uint64_t> of_all_addresses;
    std::istringstream lines{std::string{table}};
    std::string line;
    while (std::getline(lines, line)) {
        // sl local remote state queues timer retransmits uid timeout inode
        std::istringstream fields{line};
        std::string skipped;
        std::string local;
        std::string state;
        std::uint64_t inode = 0;
        fields >> skipped >> local >> skipped >> state;
        for (int i = 0; i < 5; ++i) fields >> skipped;
        if (!(fields >> inode) || state != listening_state) continue;
        const auto colon = local.find(':');
        if (colon == std::string::npos || local.substr(colon + 1) != fmt::format("{:04X}", port)) {
            continue;
        }
        const auto bound = local.substr(0, colon);
        if (bound == wanted) return inode;
        if (bound.find_first_not_of('0') == std::string::npos) of_all_addresses = inode;
    }
    return of_all_addresses;
}

std::optional<int> listening_process(std::string_view address) {
    const auto parsed = net::Address::parse(address);
    if (!parsed) return std::nullopt;
    const auto host = Host::parse(parsed->host);
    if (!host || !is_of_this_machine(*host)) return std::nullopt;
    for (const auto* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        if (const auto inode = listening_inode(content_of(path), parsed->host, parsed->port)) {
            return owner_of(*inode);
        }
    }
    return std::nullopt;
}

std::optional<Duration> cpu_time_of(int pid) noexcept {
    clockid_t clock{};
    timespec now{};
    if (::clock_getcpuclockid(pid, &clock) != 0) return std::nullopt;
    if (::clock_gettime(clock, &now) != 0) return std::nullopt;
    return std::chrono::seconds{now.tv_sec} + Duration{now.tv_nsec};
}

Duration own_cpu_time() noexcept {
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) != 0) return {};
    const auto of = [](const timeval& time) {
        return std::chrono::seconds{time.tv_sec} + std::chrono::microseconds{time.tv_usec};
    };
    return of(usage.ru_utime) + of(usage.ru_stime);
}

}  // namespace stator::cli
