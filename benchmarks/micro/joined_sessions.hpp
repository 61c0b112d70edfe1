// Two multiplexed sessions joined by memcpy, for what measures them without sockets.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "stator/transport/mux_session.hpp"

namespace bench {

using namespace stator;
using namespace stator::transport;

/// Takes everything at once and counts.
class Taker final : public MuxHandler {
public:
    void on_ready(const mux::Hello&) override {}
    void* on_open(StreamId stream, const CallHead&, const Bytes* first, bool) override {
        if (answers) {
            session->accept(stream);
            session->consumed(stream, first->size());
            session->send_copy(stream, first->span(), true);
            session->release(stream);
        } else {
            opened = stream;
            if (first != nullptr) session->consumed(stream, first->size());
        }
        return this;
    }
    void on_stop(StreamId, void*, CancelReason) override {}
    void on_kill(StreamId, void*, CancelReason) override {}
    void on_reset(StreamId, void*, const Error&) override {}
    void on_accept(StreamId, void*) override {}
    void on_error(StreamId, void*, const Error&, CallFate) override { std::abort(); }
    void on_message(StreamId stream, void*, Bytes message, bool end) override {
        ++messages;
        bytes += message.size();
        session->consumed(stream, message.size());
        if (end) session->release(stream);
    }
    void on_end(StreamId, void*) override {}
    void on_writable(StreamId, void*) override { writable = true; }
    void on_drain(InstanceId, std::string_view) override {}
    void on_suspect() override {}
    void on_healthy() override {}
    void on_closed(const Error& error) override { throw error; }

    MuxSession* session = nullptr;
    bool answers = false;
    bool writable = true;
    StreamId opened = 0;
    std::size_t messages = 0;
    std::size_t bytes = 0;
};

/// Two sessions joined by memcpy, as recv and send would copy.
struct Joined {
    explicit Joined(bool answers) {
        worker.answers = answers;
        caller.session = dialler.get();
        worker.session = acceptor.get();
        exchange();
    }
    static bool move(MuxSession& from, MuxSession& to) {
        if (!from.has_output()) return false;
        std::array<iovec, 64> out{};
        const auto count = from.gather(out);
        std::size_t total = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const auto* at = static_cast<const std::byte*>(out[i].iov_base);
            for (auto left = out[i].iov_len; left > 0;) {
                std::array<iovec, 2> in{};
                const auto spaces = to.receive_space(in);
                std::size_t taken = 0;
                for (std::size_t k = 0; k < spaces && left > 0; ++k) {
                    const auto part = std::min(left, in[k].iov_len);
                    std::memcpy(in[k].iov_base, at, part);
                    at += part;
                    left -= part;
                    taken += part;
                }
                to.received(taken, TimePoint{});
                total += taken;
            }
        }
        from.written(total, TimePoint{});
        return total > 0;
    }
    void exchange() {
        while (move(*dialler, *acceptor) || move(*acceptor, *dialler)) {
        }
    }
    StreamId open(CallShape shape, const Bytes& request) {
        CallHead head;
        head.path = "demo/backend/generate";
        head.request = RequestId{1, 2};
        head.remaining = std::chrono::seconds{5};
        head.shape = shape;
        head.codec = 1;
        const bool one = one_request(shape);
        return dialler->open(head, one ? &request : nullptr, one, &caller, TimePoint{}).value();
    }

    Taker caller;
    Taker worker;
    std::unique_ptr<MuxSession> dialler =
        std::make_unique<MuxSession>(MuxRole::dialler, MuxConfig{}, caller, TimePoint{});
    std::unique_ptr<MuxSession> acceptor =
        std::make_unique<MuxSession>(MuxRole::acceptor, MuxConfig{}, worker, TimePoint{});
};

}  // namespace bench
