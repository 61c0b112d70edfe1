// Two sessions that are joined without a network, for tests of their flow control.
#pragma once

#include "tests/transport/mux_support.hpp"

namespace stator::transport::test {

inline MuxConfig windows() {
    auto config = config_with_epoch(3);
    config.window = 1 << 20;
    config.memory_limit = 4 << 20;
    config.large_budget = 3 << 20;
    config.max_message = 2 << 20;
    config.least_window = 16 << 10;
    config.most_window = 64 << 10;
    config.request_credit = 64 << 10;
    return config;
}

/// Two sessions back to back.
struct Pair {
    explicit Pair(const MuxConfig& config = windows())
        : dialler{MuxRole::dialler, config, caller, TimePoint{}},
          acceptor{MuxRole::acceptor, config, worker, TimePoint{}} {
        exchange();
        caller.events();
        worker.events();
    }
    /// Moves what both have written until nothing moves.
    void exchange() {
        while (dialler.has_output() || acceptor.has_output()) {
            const auto there = take_output(dialler);
            const auto back = take_output(acceptor);
            if (there.empty() && back.empty()) return;
            acceptor.feed(bytes_of(there), TimePoint{});
            dialler.feed(bytes_of(back), TimePoint{});
        }
    }
    StreamId open(CallShape shape) {
        CallHead head;
        head.path = "a/b/c";
        head.shape = shape;
        const auto first = Bytes::copy_of("q");
        const bool one = one_request(shape);
        const auto id = dialler.open(head, one ? &first : nullptr, one, nullptr, TimePoint{});
        EXPECT_TRUE(id);
        exchange();
        if (one) acceptor.consumed(*id, 1);
        return *id;
    }
    Recorder caller;
    Recorder worker;
    MuxSession dialler;
    MuxSession acceptor;
};

inline Bytes item(std::size_t size, char letter = 'i') {
    return Bytes::copy_of(std::string(size, letter));
}

/// Sends until the session says wait; the number of messages taken.
inline int send_until_wait(MuxSession& session, StreamId id, std::size_t size) {
    for (int sent = 1;; ++sent) {
        const auto status = session.send(id, item(size), false);
        if (status == SendStatus::wait) return sent;
        if (status != SendStatus::more || sent > 1'000'000) return -1;
    }
}

}  // namespace stator::transport::test
