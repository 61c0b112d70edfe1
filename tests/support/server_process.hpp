// A server program of somebody else's for tests: in a folder of its own, killed with the test.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace stator::testing {

inline sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

/// A socket, connected to that port of this machine or not.
class ConnectedSocket {
public:
    explicit ConnectedSocket(std::uint16_t port)
        : descriptor_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
        const auto address = loopback(port);
        connected_ =
            ::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
            0;
    }
    ConnectedSocket(const ConnectedSocket&) = delete;
    ConnectedSocket& operator=(const ConnectedSocket&) = delete;
    ~ConnectedSocket() { ::close(descriptor_); }
    bool connected() const { return connected_; }
    int descriptor() const { return descriptor_; }

private:
    int descriptor_;
    bool connected_ = false;
};

/// Ports that are free now: all are bound before any is given back. Of those that the kernel gives
/// to nobody who connects or asks for any port, so that a server that is started again finds its
/// own still free.
inline std::vector<std::uint16_t> free_ports(std::size_t count) {
    std::uint16_t chosen_by_kernel = 0;
    std::ifstream{"/proc/sys/net/ipv4/ip_local_port_range"} >> chosen_by_kernel;
    if (chosen_by_kernel < 2) std::abort();
    std::random_device random;
    std::uniform_int_distribution<int> any(chosen_by_kernel / 2, chosen_by_kernel - 1);
    std::vector<std::uint16_t> ports;
    std::vector<int> sockets;
    while (ports.size() < count) {
        const auto port = static_cast<std::uint16_t>(any(random));
        const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const auto address = loopback(port);
        sockets.push_back(made);
        if (::bind(made, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
            ports.push_back(port);
    }
    for (const int made : sockets) ::close(made);
    return ports;
}

/// Runs a program found in PATH that dies with this process; `log` gets what it prints.
inline pid_t spawn_program(std::vector<std::string> arguments, const std::string& log) {
    arguments.insert(arguments.begin(), {"setpriv", "--pdeathsig", "KILL", "--"});
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(
        &actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600
    );
    ::posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    pid_t pid = 0;
    if (::posix_spawnp(&pid, "setpriv", &actions, nullptr, argv.data(), environ) != 0) std::abort();
    ::posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/// One server. Its folder, which holds its `log` too, ends with it.
class ServerProcess {
public:
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;

    const std::filesystem::path& folder() const { return folder_; }
    std::uint16_t port() const { return port_; }

    void wait_until_it_listens() const {
        for (int attempt = 0; attempt < 2000; ++attempt) {
            if (ConnectedSocket{port_}.connected()) return;
            ::usleep(10'000);
        }
    }
    void kill() {
        if (pid_ == 0) return;
        ::kill(pid_, SIGKILL);
        int status = 0;
        ::waitpid(std::exchange(pid_, 0), &status, 0);
    }
    /// None of its threads runs any more when this returns.
    void pause() const {
        ::kill(pid_, SIGSTOP);
        int status = 0;
        ::waitpid(pid_, &status, WUNTRACED);
    }
    void resume() const { ::kill(pid_, SIGCONT); }

protected:
    /// Its folder lies in `parent`, with `name` in its name.
    ServerProcess(const std::filesystem::path& parent, const std::string& name) {
        auto text = (parent / ("stator-" + name + "-XXXXXX")).string();
        if (::mkdtemp(text.data()) == nullptr) std::abort();
        folder_ = text;
    }
    ~ServerProcess() {
        kill();
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    void run(std::vector<std::string> arguments) {
        pid_ = spawn_program(std::move(arguments), (folder_ / "log").string());
    }
    void set_port(std::uint16_t port) { port_ = port; }

private:
    std::filesystem::path folder_;
    std::uint16_t port_ = 0;
    pid_t pid_ = 0;
};

}  // namespace stator::testing
