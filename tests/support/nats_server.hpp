// A real nats-server for tests: on a free port of this machine; ends with the test.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "tests/support/server_process.hpp"

namespace stator::testing {

class NatsServer : public ServerProcess {
public:
    struct Options {
        std::string configuration;  ///< of its file, beside address and port
        bool tls = false;
        bool jetstream = false;
    };
    NatsServer() : NatsServer{Options{}} {}
    explicit NatsServer(Options options)
        : ServerProcess{std::filesystem::temp_directory_path(), "nats"},
          options_{std::move(options)} {
        set_port(free_ports(1)[0]);
        std::ofstream file{folder() / "conf"};
        file << "listen: 127.0.0.1:" << port() << "\npid_file: \"" << (folder() / "pid").string()
             << "\"\n";
        if (options_.jetstream)
            file << "jetstream { store_dir: \"" << (folder() / "store").string() << "\" }\n";
        file << options_.configuration << "\n";
        file.close();
        start();
    }

    std::string url() const {
        return (options_.tls ? "tls://127.0.0.1:" : "nats://127.0.0.1:") + std::to_string(port());
    }
    std::string log() const {
        std::ifstream file{folder() / "log"};
        return {std::istreambuf_iterator<char>{file}, {}};
    }

    /// Returns when it listens.
    void start() {
        run({"nats-server", "-c", (folder() / "conf").string()});
        wait_until_it_listens();
    }
    /// Of one that was killed: it has never held anything.
    void wipe() const {
        std::error_code ignored;
        std::filesystem::remove_all(folder() / "store", ignored);
    }

private:
    Options options_;
};

/// With room for the largest value of a bucket and its headers.
inline NatsServer::Options with_jetstream() {
    return {.configuration = "max_payload: 2097152", .jetstream = true};
}

}  // namespace stator::testing
