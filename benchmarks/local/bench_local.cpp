// Local operations of the runtime on one loop, and the way to a loop from another thread.
//
// Prints one JSON line per operation, in the form of the tokio peer (benchmarks/peers/tokio), whose
// rounds these are: what is spawned and woken stays on the loop that runs it, but for `remote_*`.
// Those of pipelines have no counterpart there.

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "benchmarks/local/pipeline_operations.hpp"
#include "stator/runtime/channel.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/token_wait.hpp"

namespace {

using namespace stator;
using SteadyTime = std::chrono::steady_clock;

constexpr std::size_t batch = 100;
constexpr std::size_t spawns = 50'000;
constexpr std::size_t yields = 100'000;
constexpr std::size_t messages = 100'000;
constexpr std::size_t channel_capacity = 64;
constexpr std::size_t children = 100'000;
constexpr std::size_t remote_spawns = 50'000;
constexpr std::size_t parked_spawns = 500;

double ns_per(SteadyTime::time_point started, std::size_t operations) {
    const std::chrono::duration<double, std::nano> taken = SteadyTime::now() - started;
    return taken.count() / static_cast<double>(operations);
}

using Samples = std::vector<double>;

/// What `operation` measured, `repetitions` times on one loop of this thread, after a first time
/// that fills its free lists.
Samples on_loop(std::size_t repetitions, Task<double> (*operation)()) {
    Loop loop;
    TaskScope scope;
    Samples samples;
    auto body = [&](this auto) -> Task<> {
        co_await operation();
        for (std::size_t i = 0; i < repetitions; ++i) samples.push_back(co_await operation());
        loop.stop();
    };
    scope.spawn_on(loop, body());
    loop.run();
    return samples;
}

Samples repeated(std::size_t repetitions, double (*operation)()) {
    operation();
    Samples samples;
    for (std::size_t i = 0; i < repetitions; ++i) samples.push_back(operation());
    return samples;
}

Task<> finish(std::size_t* finished) {
    ++*finished;
    co_return;
}

Task<double> spawn() {
    TaskScope scope;
    const auto started = SteadyTime::now();
    for (std::size_t round = 0; round < spawns / batch; ++round) {
        std::size_t finished = 0;
        for (std::size_t i = 0; i < batch; ++i) scope.spawn(finish(&finished));
        while (finished < batch) co_await yield();
    }
    const auto ns = ns_per(started, spawns);
    co_await scope.join();
    co_return ns;
}

Task<> take_turns(std::size_t turns, std::size_t* finished) {
    for (std::size_t i = 0; i < turns; ++i) co_await yield();
    ++*finished;
}

Task<double> yield_in_turns() {
    TaskScope scope;
    std::size_t finished = 0;
    const auto started = SteadyTime::now();
    for (std::size_t i = 0; i < batch; ++i) scope.spawn(take_turns(yields / batch, &finished));
    while (finished < batch) co_await yield();
    const auto ns = ns_per(started, yields);
    co_await scope.join();
    co_return ns;
}

Task<> produce(Channel<std::uint64_t>* channel) {
    for (std::uint64_t message = 0; message < messages; ++message) co_await channel->send(message);
    channel->close();
}

Task<double> send_and_receive() {
    Channel<std::uint64_t> channel{channel_capacity};
    TaskScope scope;
    std::uint64_t sum = 0;
    const auto started = SteadyTime::now();
    scope.spawn(produce(&channel));
    while (auto message = co_await channel.receive()) sum += *message;
    const auto ns = ns_per(started, messages);
    co_await scope.join();
    if (sum != messages * (messages - 1) / 2)
        throw Error{ErrorCode::internal, "messages were lost"};
    co_return ns;
}

Task<double> cancel_per_child() {
    const auto root = CancellationToken::make();
    std::vector<CancellationToken> tokens;
    for (std::size_t i = 0; i < children; ++i) tokens.push_back(root.child_token());
    const auto started = SteadyTime::now();
    root.cancel();
    const auto ns = ns_per(started, children);
    if (!std::ranges::all_of(tokens, &CancellationToken::cancelled))
        throw Error{ErrorCode::internal, "a child was not cancelled"};
    co_return ns;
}

Task<> wait_for(CancellationToken token, std::size_t* waiting, std::size_t* finished) {
    ++*waiting;
    co_await token.wait();
    ++*finished;
}

Task<double> wake() {
    const auto root = CancellationToken::make();
    TaskScope scope;
    std::size_t waiting = 0;
    std::size_t finished = 0;
    for (std::size_t i = 0; i < children; ++i)
        scope.spawn(wait_for(root.child_token(), &waiting, &finished));
    while (waiting < children) co_await yield();
    const auto started = SteadyTime::now();
    root.cancel();
    while (finished < children) co_await yield();
    const auto ns = ns_per(started, children);
    co_await scope.join();
    co_return ns;
}

Task<> finish_elsewhere(std::atomic<std::size_t>* finished) {
    finished->fetch_add(1, std::memory_order_relaxed);
    co_return;
}

Task<> spin(std::atomic<bool>* over) {
    while (!over->load(std::memory_order_relaxed)) co_await yield();
}

/// From a thread that is no loop to a loop that is running: until all have run.
double remote_spawn() {
    LoopPool pool{1, "busy"};
    std::atomic<bool> over{false};
    std::atomic<std::size_t> finished{0};
    TaskScope scope;
    scope.spawn_on(pool[0], spin(&over));
    const auto started = SteadyTime::now();
    for (std::size_t i = 0; i < remote_spawns; ++i)
        scope.spawn_on(pool[0], finish_elsewhere(&finished));
    while (finished.load(std::memory_order_relaxed) < remote_spawns) continue;
    const auto ns = ns_per(started, remote_spawns);
    over = true;
    while (scope.size() != 0) std::this_thread::yield();
    return ns;
}

/// To a loop that waits in the kernel: until the task has run.
double remote_spawn_parked() {
    LoopPool pool{1, "parked"};
    std::atomic<std::size_t> finished{0};
    TaskScope scope;
    SteadyTime::duration taken{};
    for (std::size_t i = 0; i < parked_spawns; ++i) {
        // Long enough for the loop to be back in the kernel.
        const auto pause = SteadyTime::now() + std::chrono::microseconds{100};
        while (SteadyTime::now() < pause) continue;
        const auto started = SteadyTime::now();
        scope.spawn_on(pool[0], finish_elsewhere(&finished));
        while (finished.load(std::memory_order_relaxed) <= i) continue;
        taken += SteadyTime::now() - started;
    }
    while (scope.size() != 0) std::this_thread::yield();
    return std::chrono::duration<double, std::nano>{taken}.count() / parked_spawns;
}

void report(const char* operation, Samples samples) {
    std::ranges::sort(samples);
    std::printf(
        "{\"peer\":\"stator\",\"runtime\":\"one_loop\",\"operation\":\"%s\",\"ns\":%.2f,"
        "\"min_ns\":%.2f,\"max_ns\":%.2f,\"repetitions\":%zu}\n",
        operation,
        samples[samples.size() / 2],
        samples.front(),
        samples.back(),
        samples.size()
    );
    std::fflush(stdout);
}

/// `--repetitions N` (an odd number keeps the median a sample); 0 for anything else.
std::size_t repetitions_from(int count, char** arguments) {
    if (count == 1) return 11;
    if (count != 3 || std::string_view{arguments[1]} != "--repetitions") return 0;
    const std::string_view text{arguments[2]};
    std::size_t repetitions = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), repetitions);
    return code == std::errc{} && end == text.data() + text.size() ? repetitions : 0;
}

}  // namespace

int main(int count, char** arguments) {
    const auto repetitions = repetitions_from(count, arguments);
    if (repetitions == 0) {
        std::fputs("error: usage: stator_bench_local [--repetitions N], N above 0\n", stderr);
        return 2;
    }
    try {
        report("spawn", on_loop(repetitions, spawn));
        report("yield", on_loop(repetitions, yield_in_turns));
        report("channel", on_loop(repetitions, send_and_receive));
        report("cancel_per_child", on_loop(repetitions, cancel_per_child));
        report("wake", on_loop(repetitions, wake));
        report("pipeline_request_0", on_loop(repetitions, bench::pipeline_request<0>));
        report("pipeline_request_1", on_loop(repetitions, bench::pipeline_request<1>));
        report("pipeline_request_4", on_loop(repetitions, bench::pipeline_request<4>));
        report("pipeline_request_16", on_loop(repetitions, bench::pipeline_request<16>));
        report("pipeline_item_0", on_loop(repetitions, bench::pipeline_item<0>));
        report("pipeline_item_1", on_loop(repetitions, bench::pipeline_item<1>));
        report("pipeline_item_4", on_loop(repetitions, bench::pipeline_item<4>));
        report("pipeline_item_16", on_loop(repetitions, bench::pipeline_item<16>));
        report("operator_request", on_loop(repetitions, bench::operator_request));
        report("operator_item", on_loop(repetitions, bench::operator_item));
        report("mapped_item", on_loop(repetitions, bench::mapped_item));
        report("remote_spawn", repeated(repetitions, remote_spawn));
        report("remote_spawn_parked", repeated(repetitions, remote_spawn_parked));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
    return 0;
}
