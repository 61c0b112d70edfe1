// What the tests on real sockets share: a loop with a bound, a pair of connected streams.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "stator/net/listener.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::transport::test {

using namespace std::chrono_literals;

inline Task<> guarded(
    Loop* loop, std::function<Task<>()>* body, Duration bound, std::optional<Error>* failure
) {
    auto ended = co_await as_result(with_deadline(Deadline::in(bound), (*body)()));
    if (!ended) *failure = ended.error();
    loop->stop();
}

/// Runs `body` on a loop of its own, bounded.
inline void on_a_loop(std::function<Task<>()> body, Duration bound = 20s) {
    Loop loop;
    std::optional<Error> failure;
    {
        TaskScope scope;
        loop.post([&] { scope.spawn(guarded(&loop, &body, bound, &failure)); });
        loop.run();
        EXPECT_EQ(scope.size(), 0U);
    }
    if (failure) ADD_FAILURE() << failure->what();
}

/// The value without which the test cannot go on.
template <class T>
T must(std::optional<T> value) {
    if (!value) throw Error{ErrorCode::internal, "the test expects a value here"};
    return std::move(*value);
}

/// Two ends of one connection.
struct StreamPair {
    std::unique_ptr<net::Stream> near;
    std::unique_ptr<net::Stream> far;
};

inline Task<StreamPair> stream_pair() {
    const auto listener = co_await net::Listener::bind({"127.0.0.1", 0});
    StreamPair pair;
    pair.near = net::start_dial(listener->address()).value();
    pair.far = must(co_await listener->accept()).attach();
    co_return pair;
}

/// At least one byte, at most `most`; empty at the end.
inline Task<std::string> read_some(net::Stream* stream, std::size_t most = 64U << 10U) {
    std::string text(most, '\0');
    const iovec part{text.data(), most};
    text.resize(co_await stream->read_some({&part, 1}));
    co_return text;
}

/// Exactly `size` bytes, fewer at the end of the stream.
inline Task<std::string> read_exactly(net::Stream* stream, std::size_t size) {
    std::string text;
    while (text.size() < size) {
        auto part = co_await read_some(stream, size - text.size());
        if (part.empty()) break;
        text += part;
    }
    co_return text;
}

inline Task<std::string> read_all(net::Stream* stream) {
    std::string text;
    for (;;) {
        auto part = co_await read_some(stream);
        if (part.empty()) co_return text;
        text += part;
    }
}

inline Task<> write_all(net::Stream* stream, std::string text) {
    for (std::size_t done = 0; done < text.size();) {
        const iovec part{text.data() + done, text.size() - done};
        const auto written = stream->try_write({&part, 1});
        if (!written) throw written.error();
        done += *written;
        if (*written == 0) co_await stream->writable();
    }
}

/// Waits, turn by turn, until `done` is true; false after 10 s.
inline Task<bool> until(std::function<bool()> done) {
    const auto deadline = Deadline::in(10s);
    while (!done()) {
        if (deadline.passed()) co_return false;
        co_await sleep_for(1ms);
    }
    co_return true;
}

}  // namespace stator::transport::test
