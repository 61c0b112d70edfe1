// A peer that knows nothing of stator: libzmq itself.
#pragma once

#include <zmq.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace stator::test {

/// A socket with a context of its own; blocks its thread.
class ZmqPeer {
public:
    explicit ZmqPeer(int type) : context_{zmq_ctx_new()}, socket_{zmq_socket(context_, type)} {
        const int none = 0;
        zmq_setsockopt(socket_, ZMQ_LINGER, &none, sizeof(none));
        const int most = 10'000;  // ms
        zmq_setsockopt(socket_, ZMQ_RCVTIMEO, &most, sizeof(most));
    }
    ZmqPeer(const ZmqPeer&) = delete;
    ZmqPeer& operator=(const ZmqPeer&) = delete;
    ~ZmqPeer() {
        zmq_close(socket_);
        zmq_ctx_term(context_);
    }

    std::string bind() {
        check(zmq_bind(socket_, "tcp://127.0.0.1:*"));
        std::array<char, 128> endpoint{};
        std::size_t size = endpoint.size();
        check(zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, endpoint.data(), &size));
        return endpoint.data();
    }
    void connect(const std::string& endpoint, const std::string& topic) {
        check(zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, topic.data(), topic.size()));
        check(zmq_connect(socket_, endpoint.c_str()));
    }
    void send(const std::vector<std::string>& parts) {
        for (std::size_t i = 0; i < parts.size(); ++i) {
            const int more = i + 1 < parts.size() ? ZMQ_SNDMORE : 0;
            check(zmq_send(socket_, parts[i].data(), parts[i].size(), more));
        }
    }
    std::vector<std::string> receive() {
        std::vector<std::string> parts;
        bool more = true;
        while (more) {
            zmq_msg_t part;
            zmq_msg_init(&part);
            check(zmq_msg_recv(&part, socket_, 0));
            parts.emplace_back(static_cast<const char*>(zmq_msg_data(&part)), zmq_msg_size(&part));
            more = zmq_msg_more(&part) != 0;
            zmq_msg_close(&part);
        }
        return parts;
    }

private:
    static void check(int result) {
        if (result < 0) throw std::runtime_error{zmq_strerror(zmq_errno())};
    }
    void* context_;
    void* socket_;
};

}  // namespace stator::test
