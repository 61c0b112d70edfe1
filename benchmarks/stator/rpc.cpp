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
#include "stator/runtime/event.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/worker/worker.hpp"

namespace {

using namespace std::chrono_literals;
using bench::Mode;
using bench::Options;
using bench::Tally;
using bench::Window;
using stator::Bytes;
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
constexpr auto bulk_path = "bench.peer.bulk";
constexpr auto hold_path = "bench.peer.hold";
constexpr auto call_limit = 60s;
constexpr auto drain_limit = 5s;

// --- server

Task<std::string> echo(Context, std::string body) { co_return body; }

Task<std::string> take(Context, Bytes) { co_return std::string(bench::bulk_reply_size, 'x'); }

/// One item, then nothing until the caller has gone.
Stream<std::string> hold(Context, std::string item) {
    co_yield item;
    co_await stator::sleep_until(Deadline::never());
}

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

/// `limit`: of held streams; 0: none.
Task<> serve(Runtime runtime, std::uint32_t limit) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    std::vector<stator::ServedEndpoint> served;
    served.push_back(co_await cluster.endpoint(unary_path).start(echo));
    served.push_back(co_await cluster.endpoint(stream_path).start(items));
    served.push_back(co_await cluster.endpoint(bulk_path).start(take));
    served.push_back(co_await cluster.endpoint(hold_path).start(hold, {.max_inflight = limit}));
    bench::announce(1);
    co_await stator::as_result(stator::sleep_for(1h, runtime.primary_token()));
    for (const auto& one : served)
        co_await stator::shielded(one.shutdown(runtime.shutdown_deadline()));
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
    Router<Bytes, std::string> bulk;
    Router<std::string, std::string> held;
};

CallOptions limits(const Options& options) {
    CallOptions limits{.deadline = Deadline::in(call_limit)};
    if (options.dynamo_plane) limits.plane = stator::Plane::dynamo;
    return limits;
}

void count_reply(Load* load, std::size_t size, bench::TimePoint issued) {
    if (size != load->options.reply_size()) ++load->tally.errors;
    if (!load->window.recording()) return;
    ++load->tally.requests;
    load->tally.latency.record(bench::Clock::now() - issued);
}

Task<> call_unary(const Callers* callers, Load* load, std::string body) {
    const auto issued = bench::Clock::now();
    const auto reply = co_await callers->unary.ask(std::move(body), limits(load->options));
    count_reply(load, reply.size(), issued);
}

/// A body that exists already, as a file or a tensor does: the codec `raw` takes it as it is.
Task<> call_bulk(const Callers* callers, Load* load, Bytes body) {
    const auto issued = bench::Clock::now();
    auto options = limits(load->options);
    options.codec = stator::PayloadCodec::raw;
    const auto reply = co_await callers->bulk.ask(std::move(body), std::move(options));
    count_reply(load, reply.size(), issued);
}

Task<> call_stream(const Callers* callers, Load* load) {
    const auto& options = load->options;
    const auto issued = bench::Clock::now();
    auto reply =
        callers->streams.generate({options.items, options.size, options.pace_us}, limits(options));
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

/// Counts by whether the answer had begun when the call failed.
Task<> call_and_count_failure(const Callers* callers, Load* load, std::string body) {
    bool accepted = false;
    auto options = limits(load->options);
    options.on_accepted = [&accepted](stator::InstanceId) { accepted = true; };
    const auto ended =
        co_await stator::as_result(callers->unary.ask(std::move(body), std::move(options)));
    if (ended) {
        if (load->window.recording()) ++load->tally.requests;
    } else if (accepted) {
        ++load->tally.failed_accepted;
    } else {
        ++load->tally.failed_unaccepted;
        std::fprintf(stderr, "failed before its answer began: %s\n", ended.error().what());
    }
}

Task<> caller(const Callers* callers, Load* load, std::uint32_t slot) {
    ++load->running;
    if (load->options.spread) co_await stator::sleep_for(load->options.start_delay(slot));
    const std::string body(load->options.size, 'x');
    const auto bulk = Bytes::copy_of(body);
    while (!load->window.stopped()) {
        const auto mode = load->options.mode;
        auto call = mode == Mode::unary      ? call_unary(callers, load, body)
                    : mode == Mode::bulk     ? call_bulk(callers, load, bulk)
                    : mode == Mode::failover ? call_and_count_failure(callers, load, body)
                                             : call_stream(callers, load);
        if (auto ended = co_await stator::as_result(std::move(call)); !ended) {
            if (load->tally.errors++ == 0)
                std::fprintf(stderr, "first error: %s\n", ended.error().what());
        }
    }
    --load->running;
}

Task<> sleep_seconds(double seconds) {
    co_await stator::sleep_for(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds))
    );
}

Task<stator::Client> client_of(DistributedRuntime cluster, std::string path) {
    auto client = co_await cluster.endpoint(path).client();
    co_await client.wait_for_instances(Deadline::in(5s));
    co_return client;
}

Task<Callers> find_all(DistributedRuntime cluster) {
    auto unary = co_await client_of(cluster, unary_path);
    auto streams = co_await client_of(cluster, stream_path);
    auto bulk = co_await client_of(cluster, bulk_path);
    auto held = co_await client_of(cluster, hold_path);
    co_return Callers{
        Router<std::string, std::string>{std::move(unary)},
        Router<std::vector<std::uint32_t>, std::string>{std::move(streams)},
        Router<Bytes, std::string>{std::move(bulk)},
        Router<std::string, std::string>{std::move(held)}
    };
}

Task<> measure_load(const Callers* callers, Options options) {
    Load load{.options = options, .window = {}, .tally = {}};
    stator::TaskScope scope{co_await stator::current_token()};
    for (std::uint32_t slot = 0; slot < options.concurrency; ++slot)
        scope.spawn(caller(callers, &load, slot));
    co_await sleep_seconds(options.warmup);
    load.window.open();
    co_await sleep_seconds(options.seconds);
    load.window.close();
    (void)co_await stator::as_result(stator::with_deadline(Deadline::in(drain_limit), scope.join())
    );
    load.tally.errors += load.running;
    co_await scope.close();
    load.window.report("stator", options, load.tally);
}

// --- held streams

// More at once are refused: so much output must not wait to be written.
constexpr std::size_t most_opening = 512;

struct Held {
    const Callers* callers;
    Load load;
    std::uint32_t open = 0;
    std::uint32_t failed = 0;
    stator::Semaphore opening{most_opening};
    stator::Event all_open{};  // or failed

    void set_if_all() {
        if (open + failed == load.options.concurrency) all_open.set();
    }
};

/// Until the scope ends it.
Task<> hold_one(Held* held) {
    auto permit = co_await held->opening.acquire();
    const auto issued = bench::Clock::now();
    auto items = held->callers->held.generate(std::string(held->load.options.size, 'x'));
    if (co_await items.next()) {
        ++held->load.tally.requests;
        held->load.tally.latency.record(bench::Clock::now() - issued);
        ++held->open;
        held->set_if_all();
    }
    permit = {};
    if (co_await items.next()) ++held->load.tally.errors;
}

Task<> hold_or_count(Held* held) {
    const auto ended = co_await stator::as_result(hold_one(held));
    if (ended || ended.error().code() == stator::ErrorCode::cancelled) co_return;
    if (held->load.tally.errors++ == 0)
        std::fprintf(stderr, "first error: %s\n", ended.error().what());
    ++held->failed;
    held->set_if_all();
}

Task<> wait_until_open(Held* held) { co_await held->all_open.wait(); }

/// What memory and descriptors idle streams take: they are opened between the two marks, then held
/// while run.py looks.
Task<> measure_idle(const Callers* callers, Options options) {
    co_await callers->unary.ask(std::string(options.size, 'x'), limits(options));
    co_await sleep_seconds(options.warmup);
    Held held{.callers = callers, .load = {.options = options, .window = {}, .tally = {}}};
    stator::TaskScope scope{co_await stator::current_token()};
    held.load.window.open();
    for (std::uint32_t i = 0; i < options.concurrency; ++i) scope.spawn(hold_or_count(&held));
    (void)co_await stator::as_result(
        stator::with_deadline(Deadline::in(call_limit), wait_until_open(&held))
    );
    held.load.window.close();
    co_await sleep_seconds(options.seconds);
    held.load.tally.errors += options.concurrency - held.open - held.failed;
    held.load.window.report("stator", options, held.load.tally);
    // The streams end with the process.
    std::_Exit(0);
}

/// How long a request takes that is over the limit, which the held streams have used up.
Task<> measure_refusals(const Callers* callers, Options options) {
    Held held{.callers = callers, .load = {.options = options, .window = {}, .tally = {}}};
    stator::TaskScope scope{co_await stator::current_token()};
    for (std::uint32_t i = 0; i < options.concurrency; ++i) scope.spawn(hold_or_count(&held));
    co_await stator::with_deadline(Deadline::in(call_limit), wait_until_open(&held));
    Load refused{.options = options, .window = {}, .tally = {}};
    const auto began = bench::Clock::now();
    const std::chrono::duration<double> warmup{options.warmup};
    const std::chrono::duration<double> whole{options.warmup + options.seconds};
    bool opened = false;
    for (auto issued = began; issued < began + whole; issued = bench::Clock::now()) {
        if (!opened && issued >= began + warmup) {
            refused.window.open();
            opened = true;
        }
        const auto ended = co_await stator::as_result(
            callers->held.ask(std::string(options.size, 'x'), limits(options))
        );
        if (ended || ended.error().code() != stator::ErrorCode::overloaded) {
            ++refused.tally.errors;
        } else if (refused.window.recording()) {
            ++refused.tally.requests;
            refused.tally.latency.record(bench::Clock::now() - issued);
        }
    }
    refused.window.close();
    refused.tally.errors += held.load.tally.errors;
    co_await scope.close();
    refused.window.report("stator", options, refused.tally);
}

Task<> measure_first(DistributedRuntime cluster, Options options) {
    const auto client = co_await cluster.endpoint(unary_path).client();
    bench::announce_waiting();
    co_await client.wait_for_instances(Deadline::in(call_limit));
    const Router<std::string, std::string> router{client};
    (void)co_await router.ask(std::string(options.size, 'x'), limits(options));
    bench::report_first("stator", bench::Clock::now());
}

Task<> measure(Runtime runtime, Options options) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    if (options.mode == Mode::first) {
        co_await measure_first(cluster, options);
        co_return;
    }
    const auto callers = co_await find_all(cluster);
    if (options.mode == Mode::idle) {
        co_await measure_idle(&callers, options);
    } else if (options.mode == Mode::over_limit) {
        co_await measure_refusals(&callers, options);
    } else {
        co_await measure_load(&callers, options);
    }
}

}  // namespace

int main(int argc, char** argv) {
    setenv("DYN_RUNTIME_NUM_WORKER_THREADS", "1", 1);
    if (argc > 1 && std::strcmp(argv[1], "serve") == 0) {
        const auto limit = bench::ServeOptions::parse(argc - 2, argv + 2).limit;
        return stator::Worker::from_settings().execute([limit](Runtime runtime) {
            return serve(std::move(runtime), limit);
        });
    }
    if (argc > 1 && std::strcmp(argv[1], "client") == 0) {
        const auto options = Options::parse(argc - 2, argv + 2);
        return stator::Worker::from_settings().execute([options](Runtime runtime) {
            return measure(std::move(runtime), options);
        });
    }
    std::fprintf(
        stderr, "usage: stator_bench_rpc serve [--limit N] | client --mode unary|... ...\n"
    );
    return 2;
}
