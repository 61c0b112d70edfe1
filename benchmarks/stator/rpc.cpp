// stator as one of the RPC peers: the public typed API with everything on, found through file
// discovery, one loop per process. The protocol is described in benchmarks/README.md.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "common/load.hpp"
#include "stator/component/distributed_runtime.hpp"
#include "stator/component/router.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/worker/worker.hpp"

namespace {

using namespace std::chrono_literals;
using bench::Mode;
using bench::Options;
using bench::Tally;
using bench::Window;
using stator::CallOptions;
using stator::Context;
using stator::Deadline;
using stator::DistributedRuntime;
using stator::Router;
using stator::Runtime;
using stator::Stream;
using stator::Task;

constexpr auto unary_path = "bench.peer.echo";
constexpr auto stream_path = "bench.peer.stream";
constexpr auto call_limit = 60s;
constexpr auto drain_limit = 5s;

// --- server

Task<std::string> echo(Context, std::string body) { co_return body; }

/// The request is {items, size, pace_us}.
Stream<std::string> items(Context, std::vector<std::uint32_t> request) {
    const auto pace = std::chrono::microseconds{request.at(2)};
    const std::string item(request.at(1), 'x');
    auto due = stator::Clock::current().now();
    for (std::uint32_t i = 0; i < request.at(0); ++i) {
        due += pace;
        if (pace > 0us) co_await stator::sleep_until(Deadline::at(due));
        co_yield item;
    }
}

Task<> serve(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    const auto echoing = co_await cluster.endpoint(unary_path).start(echo);
    const auto streaming = co_await cluster.endpoint(stream_path).start(items);
    bench::announce(1);
    co_await stator::as_result(stator::sleep_for(1h, runtime.primary_token()));
    co_await stator::shielded(echoing.shutdown(runtime.shutdown_deadline()));
    co_await stator::shielded(streaming.shutdown(runtime.shutdown_deadline()));
}

// --- client

/// What the callers of one run share; they all run on one loop.
struct Load {
    Options options;
    Window window;
    Tally tally;
    std::size_t running = 0;
};

struct Callers {
    Router<std::string, std::string> unary;
    Router<std::vector<std::uint32_t>, std::string> streams;
};

CallOptions limits() { return CallOptions{.deadline = Deadline::in(call_limit)}; }

Task<> call_unary(const Callers* callers, Load* load, std::string body) {
    const auto issued = bench::Clock::now();
    const auto reply = co_await callers->unary.ask(std::move(body), limits());
    if (reply.size() != load->options.size) ++load->tally.errors;
    if (!load->window.recording()) co_return;
    ++load->tally.requests;
    load->tally.latency.record(bench::Clock::now() - issued);
}

Task<> call_stream(const Callers* callers, Load* load) {
    const auto& options = load->options;
    const auto issued = bench::Clock::now();
    auto reply =
        callers->streams.generate({options.items, options.size, options.pace_us}, limits());
    std::uint32_t received = 0;
    while (auto item = co_await reply.next()) {
        if (item->size() != options.size) ++load->tally.errors;
        if (load->window.recording()) {
            ++load->tally.items;
            if (options.mode == Mode::paced) {
                load->tally.added_delay.record(bench::Clock::now() - options.due(issued, received));
            }
        }
        ++received;
    }
    if (received != options.items) ++load->tally.errors;
    if (!load->window.recording()) co_return;
    ++load->tally.requests;
    load->tally.latency.record(bench::Clock::now() - issued);
}

Task<> caller(const Callers* callers, Load* load, std::uint32_t slot) {
    ++load->running;
    if (load->options.spread) co_await stator::sleep_for(load->options.start_delay(slot));
    const std::string body(load->options.size, 'x');
    while (!load->window.stopped()) {
        auto call = load->options.mode == Mode::unary ? call_unary(callers, load, body)
                                                      : call_stream(callers, load);
        if (auto ended = co_await stator::as_result(std::move(call)); !ended) {
            if (load->tally.errors++ == 0)
                std::fprintf(stderr, "first error: %s\n", ended.error().what());
        }
    }
    --load->running;
}

Task<> measure(Runtime runtime, Options options) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    auto echo_client = co_await cluster.endpoint(unary_path).client();
    auto stream_client = co_await cluster.endpoint(stream_path).client();
    co_await echo_client.wait_for_instances(Deadline::in(5s));
    co_await stream_client.wait_for_instances(Deadline::in(5s));
    const Callers callers{
        Router<std::string, std::string>{echo_client},
        Router<std::vector<std::uint32_t>, std::string>{stream_client}
    };
    Load load{.options = options, .window = {}, .tally = {}};
    stator::TaskScope scope{co_await stator::current_token()};
    for (std::uint32_t slot = 0; slot < options.concurrency; ++slot)
        scope.spawn(caller(&callers, &load, slot));
    co_await stator::sleep_for(std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(options.warmup)
    ));
    load.window.open();
    co_await stator::sleep_for(std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(options.seconds)
    ));
    load.window.close();
    (void)co_await stator::as_result(stator::with_deadline(Deadline::in(drain_limit), scope.join())
    );
    load.tally.errors += load.running;
    co_await scope.close();
    load.window.report("stator", options, load.tally);
}

}  // namespace

int main(int argc, char** argv) {
    setenv("DYN_RUNTIME_NUM_WORKER_THREADS", "1", 1);
    if (argc > 1 && std::strcmp(argv[1], "serve") == 0)
        return stator::Worker::from_settings().execute(serve);
    if (argc > 1 && std::strcmp(argv[1], "client") == 0) {
        const auto options = Options::parse(argc - 2, argv + 2);
        return stator::Worker::from_settings().execute([options](Runtime runtime) {
            return measure(std::move(runtime), options);
        });
    }
    std::fprintf(stderr, "usage: stator_bench_rpc serve | client --mode unary|stream|paced ...\n");
    return 2;
}
