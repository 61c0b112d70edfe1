// What the tests of the multiplexed plane share: frames built by hand, a recording handler.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "stator/transport/mux_error.hpp"
#include "stator/transport/mux_frame.hpp"
#include "stator/transport/mux_hello.hpp"
#include "stator/transport/mux_session.hpp"

namespace stator::transport::test {

using namespace std::chrono_literals;

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text});
}
inline std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class T>
std::string le(T value) {
    std::string out(sizeof(T), '\0');
    for (std::size_t i = 0; i < sizeof(T); ++i) out[i] = static_cast<char>(value >> (8 * i));
    return out;
}
inline std::string u8(unsigned value) { return le(static_cast<std::uint8_t>(value)); }
inline std::string u16(unsigned value) { return le(static_cast<std::uint16_t>(value)); }
inline std::string u32(std::uint32_t value) { return le(value); }
inline std::string u64(std::uint64_t value) { return le(value); }

enum Type : unsigned {
    hello_frame = 1,
    open_frame,
    accept_frame,
    data_frame,
    end_frame,
    error_frame,
    stop_frame,
    kill_frame,
    reset_frame,
    credit_frame,
    ping_frame,
    pong_frame,
    drain_frame,
    goodbye_frame,
};
enum Flag : unsigned { end_flag = 1, more_flag = 2, message_flag = 4, refused_flag = 8 };

/// A frame, built by hand so that the codec is not tested against itself.
inline std::string frame(unsigned type, unsigned flags, StreamId stream, std::string_view payload) {
    return u32(static_cast<std::uint32_t>(payload.size())) + u8(type) + u8(flags) + u16(0) +
           u32(stream) + std::string{payload};
}

inline std::string preface(unsigned lowest = 1, unsigned highest = 1) {
    return "\xFF\xFFSTATOR" + u16(lowest) + u16(highest) + u32(0);
}

struct HelloValues {
    std::uint64_t epoch = 7;
    std::uint32_t max_frame = 1U << 20U;
    std::uint64_t max_message = 64U << 20U;
    std::uint32_t stream_credit = 256U << 10U;
    std::uint64_t connection_credit = 16U << 20U;
    std::uint32_t max_streams = 1000;
    std::uint32_t max_head = 16384;
};

inline std::string hello(HelloValues values = {}) {
    const auto record = [](unsigned tag, const std::string& value) {
        return u16(tag) + u16(static_cast<unsigned>(value.size())) + value;
    };
    return frame(
        hello_frame,
        0,
        0,
        u16(1) + u16(0) + u64(values.epoch) + record(1, u32(values.max_frame)) +
            record(2, u64(values.max_message)) + record(3, u32(values.stream_credit)) +
            record(4, u64(values.connection_credit)) + record(5, u32(values.max_streams)) +
            record(6, u32(values.max_head))
    );
}

inline std::string head(
    CallShape shape, std::string_view path = "a/b/c", std::uint32_t credit = 65536
) {
    return u16(static_cast<unsigned>(48 + path.size())) + u8(static_cast<unsigned>(shape)) + u8(1) +
           u16(0) + u16(static_cast<unsigned>(path.size())) + u64(0) + u64(0) +
           std::string(16, '\x11') + u32(credit) + u16(0) + u16(0) + std::string{path};
}

inline std::string open(
    StreamId stream,
    CallShape shape,
    std::string_view message,
    unsigned flags = message_flag | end_flag
) {
    return frame(open_frame, flags, stream, head(shape) + std::string{message});
}
inline std::string data(StreamId stream, std::string_view message, unsigned flags = message_flag) {
    return frame(data_frame, flags, stream, message);
}
inline std::string first_fragment(StreamId stream, std::uint64_t total, std::string_view piece) {
    return frame(data_frame, message_flag | more_flag, stream, u64(total) + std::string{piece});
}
inline std::string error_block(unsigned code, std::string_view detail, std::string_view message) {
    return u8(code) + u8(0) + u8(0) + u8(0) + u16(static_cast<unsigned>(detail.size())) +
           u16(static_cast<unsigned>(message.size())) + std::string{detail} + std::string{message};
}

/// A frame as it left a session.
struct SentFrame {
    unsigned type = 0;
    unsigned flags = 0;
    StreamId stream = 0;
    std::string payload;

    std::string detail() const {
        const auto error = mux::decode_error(bytes_of(payload));
        if (!error) return "undecodable";
        return *error ? (*error)->detail() : "none";
    }
};

/// Takes everything that the session has to write, at most `step` bytes at a time.
inline std::string take_output(
    MuxSession& session, TimePoint now = TimePoint{}, std::size_t step = SIZE_MAX
) {
    std::string out;
    std::array<iovec, 8> vectors{};
    while (session.has_output()) {
        const auto count = session.gather(vectors);
        if (count == 0) break;
        std::size_t taken = 0;
        for (std::size_t i = 0; i < count && taken < step; ++i) {
            const auto part = std::min(vectors[i].iov_len, step - taken);
            out.append(static_cast<const char*>(vectors[i].iov_base), part);
            taken += part;
        }
        session.written(taken, now);
    }
    return out;
}

inline std::vector<SentFrame> parse_frames(std::string_view bytes) {
    std::vector<SentFrame> frames;
    while (!bytes.empty()) {
        if (bytes.size() < 12) ADD_FAILURE() << "output ends inside a header";
        if (bytes.size() < 12) return frames;
        const auto header = mux::FrameHeader::decode(bytes_of(bytes).data());
        if (bytes.size() < 12 + header.length) ADD_FAILURE() << "output ends inside a frame";
        frames.push_back(
            {header.type, header.flags, header.stream, std::string{bytes.substr(12, header.length)}}
        );
        bytes.remove_prefix(std::min<std::size_t>(bytes.size(), 12 + header.length));
    }
    return frames;
}

inline std::vector<SentFrame> take_frames(MuxSession& session) {
    return parse_frames(take_output(session));
}

/// Writes down every event as one line, and what came on each stream.
class Recorder : public MuxHandler {
public:
    void on_ready(const mux::Hello& peer) override { note("ready epoch {}", peer.epoch); }
    void* on_open(StreamId stream, const CallHead& head, const Bytes* first, bool end) override {
        note(
            "open {} {}{}{}",
            stream,
            head.path,
            first != nullptr ? " message" : "",
            end ? " end" : ""
        );
        if (first != nullptr) messages[stream].push_back(first->to_string());
        if (opened) opened(stream, head, first, end);
        return &messages[stream];
    }
    void on_stop(StreamId stream, void*, CancelReason reason) override {
        note("stop {} {}", stream, static_cast<int>(reason));
    }
    void on_kill(StreamId stream, void*, CancelReason reason) override {
        note("kill {} {}", stream, static_cast<int>(reason));
    }
    void on_reset(StreamId stream, void*, const Error& error) override {
        note("reset {} {} {}", stream, to_string(error.code()), error.detail());
    }
    void on_accept(StreamId stream, void*) override { note("accept {}", stream); }
    void on_error(StreamId stream, void*, const Error& error, CallFate fate) override {
        constexpr std::array names = {"refused", "not_accepted", "accepted"};
        note(
            "error {} {} {} {}",
            stream,
            to_string(error.code()),
            error.detail(),
            names[static_cast<std::size_t>(fate)]
        );
        error_ = error;
    }
    void on_message(StreamId stream, void*, Bytes message, bool end) override {
        note("message {} {}{}", stream, message.size(), end ? " end" : "");
        messages[stream].push_back(message.to_string());
        if (got) got(stream, message, end);
    }
    void on_end(StreamId stream, void*) override { note("end {}", stream); }
    void on_writable(StreamId stream, void*) override {
        note("writable {}", stream);
        if (writable) writable(stream);
    }
    void on_uncongested() override { note("uncongested"); }
    void on_drain(InstanceId instance, std::string_view reason) override {
        note("drain {:x} {}", instance.value(), reason);
    }
    void on_suspect() override { note("suspect"); }
    void on_healthy() override { note("healthy"); }
    void on_replace() override { note("replace"); }
    void on_violation(StreamId stream, std::string_view detail) override {
        note("violation {} {}", stream, detail);
    }
    void on_closed(const Error& error) override {
        note("closed {} {}", to_string(error.code()), error.detail());
        error_ = error;
    }

    template <class... Parts>
    void note(fmt::format_string<Parts...> text, Parts&&... parts) {
        log.push_back(fmt::format(text, std::forward<Parts>(parts)...));
    }
    /// The log since the last call, in one line per event.
    std::vector<std::string> events() { return std::exchange(log, {}); }
    /// The last error that came; a test that asks while there was none fails.
    const Error& last_error() const {
        if (!error_) throw Error{ErrorCode::internal, "test.no_error", "no error was told"};
        return *error_;
    }

    std::vector<std::string> log;
    std::map<StreamId, std::vector<std::string>> messages;
    std::function<void(StreamId, const CallHead&, const Bytes*, bool)> opened;
    std::function<void(StreamId, const Bytes&, bool)> got;
    std::function<void(StreamId)> writable;

private:
    std::optional<Error> error_;
};

using Events = std::vector<std::string>;

inline MuxConfig config_with_epoch(std::uint64_t epoch) {
    MuxConfig config;
    config.epoch = epoch;
    return config;
}

/// An acceptor that has seen preface and HELLO of a hand-written dialler.
struct Acceptor {
    explicit Acceptor(MuxConfig config = config_with_epoch(2), HelloValues values = {})
        : session{MuxRole::acceptor, config, handler, TimePoint{}} {
        session.feed(bytes_of(preface() + hello(values)), TimePoint{});
        take_output(session);
        handler.events();
    }
    Events feed(std::string_view bytes) {
        session.feed(bytes_of(bytes), TimePoint{});
        return handler.events();
    }
    Recorder handler;
    MuxSession session;
};

/// A dialler that has seen HELLO of a hand-written acceptor.
struct Dialler {
    explicit Dialler(MuxConfig config = config_with_epoch(1), HelloValues values = {})
        : session{MuxRole::dialler, config, handler, TimePoint{}} {
        session.feed(bytes_of(hello(values)), TimePoint{});
        take_output(session);
        handler.events();
    }
    Events feed(std::string_view bytes) {
        session.feed(bytes_of(bytes), TimePoint{});
        return handler.events();
    }
    StreamId open(CallShape shape, std::string_view message = "hi") {
        const auto first = Bytes::copy_of(message);
        CallHead call;
        call.path = "a/b/c";
        call.shape = shape;
        const bool one = one_request(shape);
        const auto id = session.open(call, one ? &first : nullptr, one, nullptr, TimePoint{});
        EXPECT_TRUE(id) << id.error().what();
        return id.value_or(0);
    }
    Recorder handler;
    MuxSession session;
};

}  // namespace stator::transport::test
