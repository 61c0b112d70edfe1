// A relay between clients and a server that can keep what the server says to itself.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/server_process.hpp"

namespace stator::testing {

/// On a port of this machine, with a thread of its own.
class Relay {
public:
    explicit Relay(std::uint16_t to) : to_{to} {
        auto address = loopback(0);
        socklen_t size = sizeof address;
        auto* const any = reinterpret_cast<sockaddr*>(&address);
        if (::bind(listener_, any, size) != 0 || ::getsockname(listener_, any, &size) != 0 ||
            ::listen(listener_, 16) != 0)
            std::abort();
        port_ = ntohs(address.sin_port);
        thread_ = std::jthread{[this](const std::stop_token& stop) { run(stop); }};
    }
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;
    ~Relay() {
        thread_ = {};
        ::close(listener_);
    }

    std::uint16_t port() const { return port_; }
    /// From now on what the server says is lost; between two answers, or the stream is broken.
    void swallow(bool answers) { swallowing_ = answers; }
    /// The same from the moment on in which a client has sent `word`. Before there are clients.
    void swallow_after(std::string word) { word_ = std::move(word); }

private:
    struct Pair {
        explicit Pair(int accepted, std::uint16_t to) : client{accepted}, server{to} {}
        Pair(const Pair&) = delete;
        Pair& operator=(const Pair&) = delete;
        ~Pair() { ::close(client); }
        int client;
        ConnectedSocket server;
    };

    void run(const std::stop_token& stop) {
        std::vector<std::unique_ptr<Pair>> pairs;
        while (!stop.stop_requested()) {
            std::vector<pollfd> waiting{{listener_, POLLIN, 0}};
            for (const auto& pair : pairs) {
                waiting.push_back({pair->client, POLLIN, 0});
                waiting.push_back({pair->server.descriptor(), POLLIN, 0});
            }
            (void)::poll(waiting.data(), waiting.size(), 20);
            for (std::size_t i = pairs.size(); i-- > 0;) {
                const auto& client = waiting[1 + 2 * i];
                const auto& server = waiting[2 + 2 * i];
                const bool open = (client.revents == 0 || pass(client.fd, server.fd, false)) &&
                                  (server.revents == 0 || pass(server.fd, client.fd, true));
                if (!open) pairs.erase(pairs.begin() + static_cast<std::ptrdiff_t>(i));
            }
            if (waiting[0].revents != 0)
                pairs.push_back(std::make_unique<Pair>(
                    ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC), to_
                ));
        }
    }
    bool pass(int from, int to, bool answers) {
        std::array<char, 65536> block{};
        const auto size = ::recv(from, block.data(), block.size(), 0);
        if (size <= 0) return false;
        if (answers && swallowing_) return true;
        const std::string_view text{block.data(), static_cast<std::size_t>(size)};
        if (!answers && !word_.empty() && text.contains(word_)) {
            word_.clear();
            swallowing_ = true;
        }
        return ::send(to, block.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) == size;
    }

    const std::uint16_t to_;
    const int listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    std::uint16_t port_ = 0;
    std::string word_;  // of the thread, once it has accepted a client
    std::atomic<bool> swallowing_{false};
    std::jthread thread_;
};

}  // namespace stator::testing
