// A client that asks at an even pace until it is told to end (SIGTERM), and says what it sees, a
// JSON object a line: {"entered"|"left": id, "standing", "at"} for what becomes routable or no
// longer is (at: seconds of CLOCK_MONOTONIC), in the end {"sent","succeeded","failed":{code:
// count},"p99_ms"}.
//
//   chaos_client <endpoint> <instances> <requests per second> <request> <seconds a call may take>
//
// The endpoint is one of `stator serve`. It begins once that many instances are there.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "stator/component/distributed_runtime.hpp"
#include "stator/component/router.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/worker/worker.hpp"

namespace {

using namespace stator;
using namespace std::chrono_literals;

struct Work {
    std::string endpoint;
    std::size_t instances = 0;
    double rate = 0;
    std::string request;
    Duration limit{};
};

struct Outcome {
    std::size_t sent = 0;
    std::size_t succeeded = 0;
    std::map<std::string, std::size_t> failed{};
    std::vector<Duration> taken{};
};

void say(const std::string& line) {
    std::fputs((line + "\n").c_str(), stdout);
    std::fflush(stdout);
}

double seconds_of(Duration time) { return std::chrono::duration<double>{time}.count(); }

void say_change(std::string_view what, InstanceId id, std::string_view standing) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    say(fmt::format(
        R"({{"{}":"{}","standing":"{}","at":{:.6f}}})",
        what,
        id.to_string(),
        standing,
        seconds_of(now)
    ));
}

std::string_view standing_in(const discovery::InstanceSet& set, InstanceId id) {
    const auto* const member = set.find(id);
    return member == nullptr ? "absent" : to_string(member->standing);
}

/// Says what becomes routable and what no longer is.
Task<> follow(std::shared_ptr<discovery::EndpointWatch> watch) {
    std::map<InstanceId, bool> before;
    auto set = watch->instances();
    for (;;) {
        std::map<InstanceId, bool> now;
        for (const auto& instance : set->routable) now.emplace(instance->id, true);
        for (const auto& [id, routable] : before) {
            if (!now.contains(id)) say_change("left", id, standing_in(*set, id));
        }
        for (const auto& [id, routable] : now) {
            if (!before.contains(id)) say_change("entered", id, standing_in(*set, id));
        }
        before = std::move(now);
        set = co_await watch->wait_for_change(set->version);
    }
}

Task<> until_complete(std::shared_ptr<discovery::EndpointWatch> watch, std::size_t instances) {
    auto set = watch->instances();
    while (set->routable.size() < instances) set = co_await watch->wait_for_change(set->version);
}

Task<> drain(Stream<Bytes> items) {
    while (co_await items.next()) continue;
}

Task<> ask(const RouteCore* core, Bytes request, Duration limit, Outcome* outcome) {
    const auto begun = Clock::current().now();
    const auto done = co_await as_result(drain(core->generate(
        {}, std::move(request), {.deadline = Deadline::in(limit), .codec = PayloadCodec::json}
    )));
    outcome->taken.push_back(Clock::current().now() - begun);
    if (done) {
        ++outcome->succeeded;
        co_return;
    }
    if (++outcome->failed[std::string{to_string(done.error().code())}] <= 3)
        std::fprintf(stderr, "failed: %s\n", done.error().what());
}

/// Until the current task is cancelled; whatever has been asked is answered.
Task<> ask_evenly(const RouteCore* core, const Work* work, Outcome* outcome) {
    const auto token = co_await current_token();
    const auto period =
        std::chrono::duration_cast<Duration>(std::chrono::duration<double>{1 / work->rate});
    TaskScope calls;
    const auto request = Bytes::copy_of(work->request);
    auto due = Clock::current().now();
    while (co_await sleep_until(Deadline::at(due), token)) {
        ++outcome->sent;
        calls.spawn(ask(core, request, work->limit, outcome));
        due += period;
    }
    co_await shielded(calls.join());
}

std::string summary(Outcome& outcome) {
    std::string failed;
    for (const auto& [code, count] : outcome.failed)
        failed += fmt::format("{}\"{}\":{}", failed.empty() ? "" : ",", code, count);
    std::ranges::sort(outcome.taken);
    const auto p99 =
        outcome.taken.empty()
            ? Duration::zero()
            : outcome.taken[std::min(outcome.taken.size() * 99 / 100, outcome.taken.size() - 1)];
    return fmt::format(
        R"({{"sent":{},"succeeded":{},"failed":{{{}}},"p99_ms":{:.3f}}})",
        outcome.sent,
        outcome.succeeded,
        failed,
        seconds_of(p99) * 1000
    );
}

Task<> run(Runtime runtime, Work work) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    const auto endpoint = EndpointId::parse(work.endpoint).value();
    auto watch = co_await cluster.discovery().watch(endpoint);
    co_await with_deadline(Deadline::in(60s), until_complete(watch, work.instances));
    TaskScope scope;
    scope.spawn(follow(watch));
    const RouteCore core{co_await cluster.endpoint(endpoint).client(), RouterMode::round_robin};
    Outcome outcome;
    const auto ended = co_await as_result(ask_evenly(&core, &work, &outcome));
    co_await scope.close();
    say(summary(outcome));
    if (!ended) throw ended.error();
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 6) {
        std::fputs(
            "usage: chaos_client <endpoint> <instances> <requests per second> <request> "
            "<seconds>\n",
            stderr
        );
        return 2;
    }
    const Work work{
        arguments[1],
        std::strtoul(arguments[2], nullptr, 10),
        std::strtod(arguments[3], nullptr),
        arguments[4],
        std::chrono::seconds{std::strtol(arguments[5], nullptr, 10)}
    };
    return Worker::from_settings().execute([&work](Runtime runtime) {
        return run(std::move(runtime), work);
    });
}
