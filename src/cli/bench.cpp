#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cli/bench_report.hpp"
#include "cli/commands.hpp"
#include "cli/frame.hpp"
#include "cli/instances.hpp"
#include "cli/line_writer.hpp"
#include "cli/worker_process.hpp"
#include "stator/component/router.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::cli {

using namespace std::chrono_literals;

namespace {

// A caller whose request failed waits so long: refusals cost nothing, and would fill the loop.
constexpr Duration pause_after_failure = 1ms;

struct Requests {
    BenchRequest usual;
    BenchRequest slow;
};

/// One run, shared by its callers. Lives in the frame of `measure`.
struct BenchRun {
    BenchRun(const BenchArguments& arguments_, Requests requests_, Client client, std::size_t loops)
        : arguments{arguments_},
          load{arguments_.load},
          requests{std::move(requests_)},
          core{std::move(client), arguments_.mode},
          schedule{load, Clock::steady().now()},
          last_end{Deadline::at(schedule.closes() + load.grace())},
          tallies(loops) {}

    const BenchArguments& arguments;
    const BenchLoad load;
    const Requests requests;
    const RouteCore core;
    const BenchSchedule schedule;
    const Deadline last_end;          // of all requests
    std::vector<BenchTally> tallies;  // by loop
    std::atomic<std::uint64_t> next{0};
};

/// One request: when it should have been sent, and whether it is slow on purpose.
struct Ticket {
    TimePoint due;
    bool slow = false;
};

CallOptions options_of(const BenchRun& run) {
    CallOptions options;
    options.deadline = earliest(Deadline::in(run.arguments.timeout), run.last_end);
    options.instance = run.arguments.instance;
    options.plane = run.arguments.plane;
    return options;
}

void count_item(const BenchRun& run, BenchTally& tally, TimePoint due, TimePoint now, Bytes item) {
    if (!run.schedule.in_window(now)) return;
    ++tally.items;
    tally.bytes_received += item.size();
    if (run.load.workload == BenchWorkload::paced) tally.added_delay.record(now - due);
}

Task<std::uint64_t> receive_items(
    BenchRun* run, BenchTally* tally, const BenchRequest* request, TimePoint issued
) {
    auto items = run->core.generate(Context{}, request->body, options_of(*run));
    std::uint64_t received = 0;
    while (auto item = co_await items.next()) {
        ++received;
        const auto due = issued + run->load.pace * static_cast<Duration::rep>(received);
        count_item(*run, *tally, due, Clock::steady().now(), std::move(*item));
    }
    co_return received;
}

/// Throws what the call throws, and `internal` when the answer is not the one asked for.
Task<> make_request(BenchRun* run, BenchTally* tally, Ticket ticket) {
    const auto& request = ticket.slow ? run->requests.slow : run->requests.usual;
    std::uint64_t received = 1;
    if (request.unary()) {
        auto item = co_await run->core.ask(Context{}, request.body, options_of(*run));
        count_item(*run, *tally, ticket.due, Clock::steady().now(), std::move(item));
    } else {
        received = co_await receive_items(run, tally, &request, ticket.due);
    }
    const auto now = Clock::steady().now();
    if (received != request.items) {
        throw Error{
            ErrorCode::internal,
            "bench.answer",
            fmt::format("the answer had {} items, not {}", received, request.items)
        };
    }
    if (run->schedule.in_window(now)) {
        ++tally->requests;
        tally->bytes_sent += request.body.size();
    }
    // An open loop counts what should have been sent in the window, however late it ended: to leave
    // out the late ones would leave out what is to be seen.
    if (!run->schedule.in_window(run->load.open_loop() ? ticket.due : now)) co_return;
    (ticket.slow ? tally->tail_latency : tally->latency).record(now - ticket.due);
}

/// An open loop fell so far behind that a request was not sent before the window closed: its
/// latency is at least the time that it has waited by then.
void count_unstarted(const BenchRun& run, BenchTally& tally, Ticket ticket) {
    if (!run.schedule.in_window(ticket.due)) return;
    ++tally.unstarted;
    (ticket.slow ? tally.tail_latency : tally.latency).record(run.schedule.closes() - ticket.due);
}

/// The next request; its time has come when this returns. Nothing: the window has closed.
Task<std::optional<Ticket>> next_ticket(BenchRun* run, BenchTally* tally) {
    while (true) {
        const auto number = run->next.fetch_add(1, std::memory_order_relaxed);
        Ticket ticket{.due = Clock::steady().now(), .slow = run->schedule.slow(number)};
        const bool closed = ticket.due >= run->schedule.closes();
        if (!run->load.open_loop()) {
            if (closed) co_return std::nullopt;
            co_return ticket;
        }
        ticket.due = run->schedule.due(number);
        if (ticket.due >= run->schedule.closes()) co_return std::nullopt;
        if (!closed) {
            co_await sleep_until(Deadline::at(ticket.due));
            co_return ticket;
        }
        count_unstarted(*run, *tally, ticket);
    }
}

Task<> make_requests(BenchRun* run, BenchTally* tally) {
    while (true) {
        const auto ticket = co_await next_ticket(run, tally);
        if (!ticket) co_return;
        const auto ended = co_await as_result(make_request(run, tally, *ticket));
        if (ended) continue;
        tally->fail(ended.error(), Clock::steady().now());
        co_await sleep_for(pause_after_failure);
    }
}

/// The workers that may be called, with the processes that can be found.
std::vector<BenchWorker> find_workers(const Client& client, const BenchArguments& arguments) {
    std::vector<BenchWorker> workers;
    std::map<std::string, std::optional<int>> processes;  // by address: looking is slow
    for (const auto& instance : client.instances()->routable) {
        if (arguments.mode == RouterMode::direct && instance->id != arguments.instance) continue;
        BenchWorker worker{.instance = instance->id};
        if (instance->mux) {
            const auto& address = instance->mux->address;
            const auto [at, fresh] = processes.try_emplace(address);
            if (fresh) at->second = listening_process(address);
            worker.pid = at->second;
        }
        workers.push_back(worker);
    }
    return workers;
}

/// Of all processes, each once. Nothing unless it is known of each worker.
std::optional<Duration> cpu_of(const std::vector<BenchWorker>& workers) {
    std::map<int, Duration> by_process;
    for (const auto& worker : workers) {
        if (!worker.pid) return std::nullopt;
        const auto used = cpu_time_of(*worker.pid);
        if (!used) return std::nullopt;
        by_process[*worker.pid] = *used;
    }
    Duration all{};
    for (const auto& [pid, used] : by_process) all += used;
    return by_process.empty() ? std::nullopt : std::optional{all};
}

Task<> wait_until(TimePoint when) { co_await sleep_until(Deadline::at(when)); }

/// Waits for the window and looks at the clocks at both of its ends. A cancellation ends it early
/// and is thrown, once the report has its figures.
Task<> watch_window(const BenchRun* run, BenchReport* report) {
    co_await sleep_until(Deadline::at(run->schedule.opens()));
    const auto opened = Clock::steady().now();
    const auto client_before = own_cpu_time();
    const auto workers_before = cpu_of(report->workers);
    const auto ended = co_await as_result(wait_until(run->schedule.closes()));
    const auto workers_after = cpu_of(report->workers);
    report->elapsed = std::min(Clock::steady().now(), run->schedule.closes()) - opened;
    report->client_cpu = own_cpu_time() - client_before;
    if (workers_before && workers_after) report->worker_cpu = *workers_after - *workers_before;
    if (!ended) throw ended.error();
}

Task<> run_callers(BenchRun* run, Runtime runtime, BenchReport* report) {
    TaskScope calling{co_await current_token()};
    const auto primary = runtime.primary();
    for (std::uint32_t i = 0; i < run->load.concurrency; ++i) {
        const auto index = i % primary.size();
        calling.spawn_on(primary.loop(index), make_requests(run, &run->tallies[index]));
    }
    const auto watched = co_await as_result(watch_window(run, report));
    // Every request ends by `last_end`; a cancellation reaches each of them by itself.
    co_await shielded(calling.join());
    for (const auto& tally : run->tallies) report->tally.merge(tally);
    if (!watched) throw watched.error();
}

/// What the command ends with: the first failure, if any, or nothing measured.
std::optional<Failure> verdict(const BenchReport& report) {
    if (report.tally.first_failure) return Failure::of(*report.tally.first_failure);
    const auto operations = report.load.counts_items() ? report.tally.items : report.tally.requests;
    if (operations > 0) return std::nullopt;
    return Failure::of(Error{
        ErrorCode::deadline_exceeded, "bench.nothing", "nothing was answered in the measured time"
    });
}

Task<std::optional<Failure>> measure(
    DistributedRuntime cluster, BenchArguments arguments, Requests requests
) {
    const auto client = co_await client_with_instances(
        cluster, arguments.endpoint, Deadline::in(arguments.timeout)
    );
    const auto runtime = cluster.runtime();
    BenchReport report{.endpoint = arguments.endpoint.to_string(), .load = arguments.load};
    report.workers =
        co_await offload(runtime.blocking(), [&] { return find_workers(client, arguments); });
    BenchRun run{arguments, std::move(requests), client, runtime.primary().size()};
    const auto ended = co_await as_result(run_callers(&run, runtime, &report));
    if (auto printed = print(arguments.json ? report.json() : report.table()); !printed) {
        co_return Failure{status_failed, printed.error()};
    }
    if (!ended) co_return Failure::of(ended.error());
    co_return verdict(report);
}

}  // namespace

int bench(const BenchArguments& arguments) {
    auto usual = bench_request(arguments.load, false);
    if (!usual) return report(Failure::of(usual.error()));
    auto slow = bench_request(arguments.load, true);
    if (!slow) return report(Failure::of(slow.error()));
    const Requests requests{std::move(*usual), std::move(*slow)};
    return run_in_cluster({}, [&](DistributedRuntime cluster) {
        return measure(std::move(cluster), arguments, requests);
    });
}

}  // namespace stator::cli
