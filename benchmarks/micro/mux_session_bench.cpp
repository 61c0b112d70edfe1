// What the multiplexed session costs without sockets: items, unary calls, large bodies.
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "benchmarks/micro/joined_sessions.hpp"

namespace {

using namespace bench;

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
