// What the multiplexed session costs without sockets: items, unary calls, large bodies.
#include <sys/uio.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>

#include "stator/transport/mux_session.hpp"

namespace {

using namespace stator;
using namespace stator::transport;

/// Takes everything at once and counts.
class Taker final : public MuxHandler {
public:
    void on_ready(const mux::Hello&) override {}
    void* on_open(StreamId stream, const OpenHead&, const Bytes* first, bool) override {
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
        OpenHead head;
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

void item(benchmark::State& state) {
    const auto per_turn = state.range(0);
    Joined joined{false};
    const auto stream = joined.open(CallShape::server_streaming, Bytes::of_static("q"));
    joined.exchange();
    const std::string text(64, 'x');
    const auto bytes = std::as_bytes(std::span{text});
    for (auto _ : state) {
        for (int i = 0; i < per_turn; ++i) joined.acceptor->send_copy(stream, bytes, false);
        joined.exchange();
    }
    state.SetItemsProcessed(state.iterations() * per_turn);
    if (joined.caller.messages != static_cast<std::size_t>(state.iterations() * per_turn)) {
        state.SkipWithError("items were lost");
    }
}
BENCHMARK(item)->Arg(1)->Arg(64)->Arg(512);

void items_of_many_streams(benchmark::State& state) {
    Joined joined{false};
    std::vector<StreamId> streams;
    for (int i = 0; i < state.range(0); ++i) {
        streams.push_back(joined.open(CallShape::server_streaming, Bytes::of_static("q")));
        joined.exchange();
    }
    const std::string text(64, 'x');
    const auto bytes = std::as_bytes(std::span{text});
    for (auto _ : state) {
        for (const auto stream : streams) joined.acceptor->send_copy(stream, bytes, false);
        joined.exchange();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(items_of_many_streams)->Arg(64)->Arg(512)->Arg(10'000);

void unary(benchmark::State& state) {
    const auto per_turn = state.range(0);
    Joined joined{true};
    const auto request = Bytes::copy_of(std::string(64, 'r'));
    for (auto _ : state) {
        for (int i = 0; i < per_turn; ++i) joined.open(CallShape::unary, request);
        joined.exchange();
    }
    state.SetItemsProcessed(state.iterations() * per_turn);
    if (joined.caller.messages != static_cast<std::size_t>(state.iterations() * per_turn)) {
        state.SkipWithError("answers were lost");
    }
}
BENCHMARK(unary)->Arg(1)->Arg(64)->Arg(1024);

/// Bodies that go in one direction; the copy of the join is part of what is measured.
void bulk(benchmark::State& state) {
    Joined joined{false};
    const auto size = static_cast<std::size_t>(state.range(0));
    const auto stream = joined.open(CallShape::client_streaming, Bytes{});
    joined.exchange();
    const auto body = Bytes::copy_of(std::string(size, 'b'));
    for (auto _ : state) {
        joined.dialler->send(stream, body, false);
        joined.exchange();
    }
    state.SetBytesProcessed(state.iterations() * state.range(0));
    if (joined.worker.messages != static_cast<std::size_t>(state.iterations())) {
        state.SkipWithError("bodies were lost");
    }
}
BENCHMARK(bulk)->Arg(4 << 10)->Arg(64 << 10)->Arg(1 << 20)->Arg(16 << 20);

}  // namespace
