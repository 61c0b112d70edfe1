// What the session fuzzers of Dynamo's TCP planes share: a loop on a clock that moves when told,
// and sockets whose far ends are in the fuzzer's hands.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "fuzz_support.hpp"
#include "stator/base/bytes.hpp"
#include "stator/base/clock.hpp"
#include "stator/base/sink.hpp"
#include "stator/net/stream.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task_scope.hpp"
#include "transport/mux_output.hpp"

namespace stator::fuzz {

/// The far end of a connection. Never waits; what is written to one that is gone is lost.
class FarEnd {
public:
    explicit FarEnd(int descriptor = -1) noexcept : descriptor_{descriptor} {}
    FarEnd(FarEnd&& other) noexcept : descriptor_{std::exchange(other.descriptor_, -1)} {}
    FarEnd& operator=(FarEnd&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    ~FarEnd() { close(); }

    void write(std::string_view bytes) {
        while (descriptor_ >= 0 && !bytes.empty()) {
            const auto size = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (size <= 0) return;
            bytes.remove_prefix(static_cast<std::size_t>(size));
        }
    }
    std::string read(std::size_t most) {
        static std::array<char, 64U << 10U> space;
        std::string text;
        while (descriptor_ >= 0 && text.size() < most) {
            const auto part = std::min(most - text.size(), space.size());
            const auto size = ::recv(descriptor_, space.data(), part, 0);
            if (size <= 0) break;
            text.append(space.data(), static_cast<std::size_t>(size));
        }
        return text;
    }
    std::string read_all() { return read(std::string::npos); }
    void finish_writing() { ::shutdown(descriptor_, SHUT_WR); }
    void close() {
        if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
    }

private:
    int descriptor_;
};

struct Connected {
    net::Accepted near;
    FarEnd far;
};

inline Connected connected() {
    std::array<int, 2> ends{};
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
    return {net::Accepted{ends[0], net::Address{"127.0.0.1", 1}}, FarEnd{ends[1]}};
}

inline std::string drain(transport::mux::Output& out) {
    std::string text;
    while (!out.empty()) {
        std::array<iovec, 8> vectors{};
        const auto count = out.gather(vectors);
        std::size_t size = 0;
        for (std::size_t i = 0; i < count; ++i) {
            text.append(static_cast<const char*>(vectors[i].iov_base), vectors[i].iov_len);
            size += vectors[i].iov_len;
        }
        out.written(size);
    }
    return text;
}

template <class Put>
std::string bytes_by(Put put) {
    transport::mux::Output out;
    put(out);
    return drain(out);
}

/// Takes what is reported: a fuzzer provokes it all the time.
class Quiet final : public Sink {
public:
    Quiet() { set_sink(this); }
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;
    ~Quiet() override { set_sink(nullptr); }
    void report(
        Severity, std::string_view, std::string_view, std::source_location
    ) noexcept override {}
    void count(std::string_view, std::uint64_t) noexcept override {}
    void gauge(std::string_view, double) noexcept override {}
};

/// Runs only when told.
class TestLoop {
public:
    Loop& loop() { return loop_; }
    void settle() { loop_.run_until_idle(); }
    void advance(Duration by) {
        clock_.advance(by);
        settle();
    }
    /// Until it is done, with as much time as that takes.
    void run(Task<> task) {
        bool done = false;
        TaskScope scope;
        scope.spawn_on(loop_, note(std::move(task), &done));
        settle();
        for (int i = 0; i < 1000 && !done; ++i) advance(std::chrono::milliseconds{100});
        require(done);
        settle();
    }

private:
    static Task<> note(Task<> task, bool* done) {
        co_await std::move(task);
        *done = true;
    }
    ManualClock clock_;
    Loop loop_{Loop::Options{.name = "fuzz", .clock = &clock_}};
};

}  // namespace stator::fuzz
