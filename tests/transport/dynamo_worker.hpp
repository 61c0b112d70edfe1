// A worker of Dynamo's TCP planes that does what a script says, on real loopback sockets.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stator/net/listener.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "tests/transport/dynamo_support.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_item.hpp"
#include "transport/dynamo_reader.hpp"
#include "transport/dynamo_stream.hpp"

namespace stator::transport::dynamo::test {

/// The bytes that `put` writes.
template <class Put>
std::string frame_of(Put put) {
    Output out;
    put(out);
    return drain(out);
}

inline std::string handshake(std::string_view subject, StreamType type = StreamType::response) {
    return frame_of([&](Output& out) { put_handshake(out, subject, type); });
}
inline std::string header_frame(std::string_view text) {
    return frame_of([&](Output& out) { put_message(out, text, {}); });
}
inline std::string body_frame(std::string_view text) {
    return frame_of([&](Output& out) { put_message(out, {}, Bytes::copy_of(text)); });
}
inline std::string prologue() { return header_frame(R"({"error":null})"); }
inline std::string item(std::string_view json) {
    return body_frame(fmt::format(R"({{"data":{{"data":{}}},"complete_final":false}})", json));
}
inline std::string final_frame() { return body_frame(R"({"complete_final":true})"); }
inline std::string sentinel() { return header_frame("\"sentinel\""); }

/// One socket of the worker. Loop-affine.
class Peer {
public:
    explicit Peer(std::unique_ptr<net::Stream> stream) : stream_{std::move(stream)} {}

    /// Byte by byte, each in a segment of its own, if asked to.
    Task<> write(std::string bytes, bool in_bytes = false) {
        const std::size_t step = in_bytes ? 1 : bytes.size();
        for (std::size_t done = 0; done < bytes.size();) {
            const iovec part{bytes.data() + done, std::min(step, bytes.size() - done)};
            const auto written = stream_->try_write({&part, 1});
            if (!written) throw written.error();
            done += *written;
            if (*written == 0) co_await stream_->writable();
            if (in_bytes) co_await yield();
        }
    }
    /// The next message of the client; nothing when it has closed, however.
    Task<std::optional<Message>> read() {
        for (;;) {
            auto message = reader_.next();
            if (!message) throw message.error();
            if (*message) co_return std::move(**message);
            std::array<iovec, 2> space{};
            const auto parts = reader_.space(space);
            const auto size = co_await as_result(stream_->read_some({space.data(), parts}));
            if (!size && size.error().code() == ErrorCode::cancelled) throw size.error();
            if (!size || *size == 0) co_return std::nullopt;
            reader_.received(*size);
        }
    }
    /// Its words and values until it closes: a header as it is, a body behind '='.
    Task<std::vector<std::string>> read_all() {
        std::vector<std::string> all;
        while (auto message = co_await read()) {
            all.push_back(
                message->header.empty() ? "=" + message->body.to_string()
                                        : message->header.to_string()
            );
        }
        co_return all;
    }
    void finish_writing() { stream_->shutdown_write(); }
    void close() { stream_->close(); }
    net::Stream& stream() { return *stream_; }

private:
    std::unique_ptr<net::Stream> stream_;
    MessageReader reader_;
};

/// One request that came in, and the connection by which it came.
struct Request {
    std::string path;
    TransportHeaders headers;
    ControlHeader control;
    Bytes body;
    std::shared_ptr<Peer> connection;

    Task<> ack(std::string text = {}) const {
        return connection->write(frame_of([&](Output& out) { put_ack(out, text); }));
    }
    /// Connects to the client and says the handshake.
    Task<std::shared_ptr<Peer>> call_home(bool in_bytes = false) const {
        return call(control.connection, in_bytes);
    }
    Task<std::shared_ptr<Peer>> call_home_for_input() const {
        return call(*control.request_stream, false);
    }

private:
    static Task<std::shared_ptr<Peer>> call(ConnectionInfo info, bool in_bytes) {
        const auto address = net::Address::parse(info.address);
        auto peer = std::make_shared<Peer>(co_await net::dial(*address));
        co_await peer->write(handshake(info.subject, info.stream_type), in_bytes);
        co_return peer;
    }
};

/// Loop-affine. `close` before it dies.
class Worker {
public:
    using Script = std::function<Task<>(Request)>;
    explicit Worker(Script script) : script_{std::move(script)} {}

    Task<> start() {
        listener_ = co_await net::Listener::bind({"127.0.0.1", 0});
        scope_.spawn(accept());
    }
    std::string address() const { return listener_->address().to_string(); }
    Task<> close() {
        co_await scope_.close();
        listener_.reset();
    }
    int connections = 0;
    int requests = 0;

private:
    Task<> accept() {
        while (auto accepted = co_await listener_->accept()) {
            ++connections;
            scope_.spawn(serve(std::make_shared<Peer>(std::move(*accepted).attach())));
        }
    }
    Task<> serve(std::shared_ptr<Peer> peer) {
        RequestReader reader;
        for (;;) {
            auto frame = reader.next();
            if (!frame) co_return;
            if (*frame) {
                ++requests;
                scope_.spawn(run(read(**frame, peer)));
                continue;
            }
            std::array<iovec, 2> space{};
            const auto parts = reader.space(space);
            const auto size = co_await as_result(peer->stream().read_some({space.data(), parts}));
            if (!size || *size == 0) co_return;
            reader.received(*size);
        }
    }
    static Request read(const RequestFrame& frame, std::shared_ptr<Peer> peer) {
        const auto message = split_message(frame.payload).value();
        return Request{
            std::string{frame.path},
            read_headers(frame.headers).value(),
            read_control(message.header).value(),
            message.body,
            std::move(peer),
        };
    }
    /// What fails because the client has gone is as it should be.
    Task<> run(Request request) { (void)co_await as_result(script_(std::move(request))); }

    Script script_;
    std::unique_ptr<net::Listener> listener_;
    TaskScope scope_;
};

}  // namespace stator::transport::dynamo::test
