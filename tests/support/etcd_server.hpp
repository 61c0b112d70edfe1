// A real etcd for tests: on free ports of this machine, with a folder of its own; ends with the
// test.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/server_process.hpp"

namespace stator::testing {

/// One member. Its folder is in memory where that is possible: only the tests' time depends on it.
class EtcdServer : public ServerProcess {
public:
    struct Options {
        std::string name = "one";
        std::uint16_t client_port = 0;
        std::uint16_t peer_port = 0;
        std::string cluster;  ///< "name=peer-url,..."; empty: this one alone
        bool tls = false;
        std::vector<std::string> more;  ///< arguments
    };
    EtcdServer() : EtcdServer{Options{}} {}
    explicit EtcdServer(Options options)
        : ServerProcess{fast_folder(), "etcd"}, options_{std::move(options)} {
        if (options_.client_port == 0) {
            const auto ports = free_ports(2);
            options_.client_port = ports[0];
            options_.peer_port = ports[1];
        }
        set_port(options_.client_port);
        launch();
        if (!options_.cluster.empty()) return;
        wait_until_it_listens();
        if (!options_.tls) wait_until_it_works();
    }

    std::string url() const {
        return (options_.tls ? "https://127.0.0.1:" : "http://127.0.0.1:") +
               std::to_string(options_.client_port);
    }
    std::string peer_url() const {
        return "http://127.0.0.1:" + std::to_string(options_.peer_port);
    }

    /// Returns when it listens. Of a cluster's member: as soon as there is a leader.
    void start() {
        launch();
        wait_until_it_listens();
    }
    /// Of a member that listens: until there is a leader. One that is killed for the first time
    /// before it has stored who belongs to its cluster never works again.
    void wait_until_it_works() const {
        for (int attempt = 0; attempt < 2000; ++attempt) {
            if (page("/health").find(R"("health":"true")") != std::string::npos) return;
            ::usleep(10'000);
        }
    }
    /// Of one that was killed: it has never held anything.
    void wipe() const {
        std::error_code ignored;
        std::filesystem::remove_all(data(), ignored);
    }

    /// How many watches it has, and how many leases were granted and ended, by its own count.
    std::size_t watches() const { return metric("etcd_debugging_mvcc_watcher_total"); }
    std::size_t leases_granted() const { return metric("etcd_debugging_lease_granted_total"); }
    std::size_t leases_revoked() const { return metric("etcd_debugging_lease_revoked_total"); }
    std::size_t metric(const std::string& metric) const {
        const auto all = page("/metrics");
        const auto name = "\n" + metric + " ";
        const auto at = all.find(name);
        if (at == std::string::npos) std::abort();
        return std::stoul(all.substr(at + name.size()));
    }

    /// Runs etcdctl until it succeeds, 10 s at most.
    bool control(const std::vector<std::string>& arguments) const {
        for (int attempt = 0; attempt < 100; ++attempt) {
            std::vector<std::string> command{
                "env", "ETCDCTL_API=3", "etcdctl", "--endpoints=" + url()
            };
            command.insert(command.end(), arguments.begin(), arguments.end());
            const auto pid = spawn_program(std::move(command), (folder() / "etcdctl.log").string());
            int status = 0;
            ::waitpid(pid, &status, 0);
            if (status == 0) return true;
            ::usleep(100'000);
        }
        return false;
    }

private:
    std::string page(const std::string& path) const {
        const ConnectedSocket server{port()};
        const auto request = "GET " + path + " HTTP/1.0\r\n\r\n";
        if (!server.connected() || ::write(server.descriptor(), request.data(), request.size()) < 0)
            std::abort();
        std::string text;
        char block[4096];
        for (ssize_t n = 0; (n = ::read(server.descriptor(), block, sizeof block)) > 0;)
            text.append(block, static_cast<std::size_t>(n));
        return text;
    }
    void launch() {
        std::vector<std::string> arguments{
            "etcd",
            "--name=" + options_.name,
            "--data-dir=" + data(),
            "--listen-client-urls=" + url(),
            "--advertise-client-urls=" + url(),
            "--listen-peer-urls=" + peer_url(),
            "--initial-advertise-peer-urls=" + peer_url(),
            "--initial-cluster=" +
                (options_.cluster.empty() ? options_.name + "=" + peer_url() : options_.cluster),
            "--heartbeat-interval=50",
            "--election-timeout=500",
            "--log-level=warn",
            "--logger=zap",
        };
        arguments.insert(arguments.end(), options_.more.begin(), options_.more.end());
        run(std::move(arguments));
    }
    std::string data() const { return (folder() / "data").string(); }
    static std::filesystem::path fast_folder() {
        const std::filesystem::path memory = "/dev/shm";
        std::error_code ignored;
        return ::access(memory.c_str(), W_OK) == 0 ? memory
                                                   : std::filesystem::temp_directory_path(ignored);
    }
    Options options_;
};

/// Several members of one cluster.
class EtcdCluster {
public:
    explicit EtcdCluster(std::size_t members) {
        const auto ports = free_ports(2 * members);
        std::string cluster;
        for (std::size_t i = 0; i < members; ++i) {
            cluster += (i == 0 ? "" : ",") + std::string{"m"} + std::to_string(i) +
                       "=http://127.0.0.1:" + std::to_string(ports[2 * i + 1]);
        }
        for (std::size_t i = 0; i < members; ++i) {
            members_.push_back(std::make_unique<EtcdServer>(EtcdServer::Options{
                .name = "m" + std::to_string(i),
                .client_port = ports[2 * i],
                .peer_port = ports[2 * i + 1],
                .cluster = cluster,
                .tls = false,
                .more = {}
            }));
        }
        for (const auto& member : members_) member->wait_until_it_listens();
        for (const auto& member : members_) member->wait_until_it_works();
    }
    EtcdServer& operator[](std::size_t index) { return *members_[index]; }
    std::size_t size() const { return members_.size(); }
    std::vector<std::string> urls() const {
        std::vector<std::string> all;
        for (const auto& member : members_) all.push_back(member->url());
        return all;
    }

private:
    std::vector<std::unique_ptr<EtcdServer>> members_;
};

}  // namespace stator::testing
