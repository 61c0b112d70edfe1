// Takes one large stream slowly, beside short calls on the same connection, and prints what that
// cost: {"bytes","alone_p99_us","beside_p99_us","grown_kib"}.
//
//   slow_consumer <endpoint> <item size> <items> <MiB per second>
//
// The endpoint is one of `stator serve`. With one loop there is one connection, which all share.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
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

constexpr std::size_t callers = 8;
constexpr auto call_period = 2ms;
constexpr auto alone_for = 2s;
constexpr auto window_length = 250ms;

struct Load {
    std::string endpoint;
    std::size_t item_size = 0;
    std::size_t items = 0;
    double mib_per_second = 0;
};

/// A line of /proc/self/status, in KiB.
std::size_t memory(std::string_view name) {
    std::ifstream status{"/proc/self/status"};
    std::string word;
    while (status >> word) {
        if (word != name) continue;
        std::size_t kib = 0;
        status >> kib;
        return kib;
    }
    throw Error{ErrorCode::internal, fmt::format("no {} in /proc/self/status", name)};
}

/// From here on, VmHWM counts anew.
void forget_peak() {
    std::ofstream refs{"/proc/self/clear_refs"};
    if (!(refs << "5" << std::flush)) throw Error{ErrorCode::internal, "cannot reset VmHWM"};
}

/// In microseconds.
double p99_of(std::vector<Duration>& taken) {
    const auto at = taken.begin() + static_cast<std::ptrdiff_t>(taken.size() * 99 / 100);
    std::ranges::nth_element(taken, at);
    return std::chrono::duration<double, std::micro>{*at}.count();
}

struct ShortCalls {
    bool over = false;
    TimePoint begun = Clock::current().now();
    std::vector<std::vector<Duration>> windows{};

    Task<> repeat(const RouteCore* core) {
        auto due = Clock::current().now();
        const auto request = Bytes::copy_of(R"({"items":3})");
        while (!over) {
            due += call_period;
            co_await sleep_until(Deadline::at(due));
            const auto asked = Clock::current().now();
            auto items = core->generate(
                {}, request, {.deadline = Deadline::in(10s), .codec = PayloadCodec::json}
            );
            while (co_await items.next()) continue;
            const auto window = static_cast<std::size_t>((asked - begun) / window_length);
            if (windows.size() <= window) windows.resize(window + 1);
            windows[window].push_back(Clock::current().now() - asked);
        }
    }

    /// The median of the windows: whatever else the machine does now and then is left out.
    double p99() {
        std::erase_if(windows, [](const auto& window) { return window.size() < 100; });
        std::vector<double> each;
        for (auto& window : windows) each.push_back(p99_of(window));
        const auto middle = each.begin() + static_cast<std::ptrdiff_t>(each.size() / 2);
        std::ranges::nth_element(each, middle);
        return *middle;
    }
};

/// p99 of the short calls while `work` runs.
Task<double> p99_during(const RouteCore* core, Task<> work) {
    ShortCalls calls;
    TaskScope scope{co_await current_token()};
    for (std::size_t i = 0; i < callers; ++i) scope.spawn(calls.repeat(core));
    co_await std::move(work);
    calls.over = true;
    co_await scope.join();
    co_return calls.p99();
}

Task<> pause(Duration duration) { co_await sleep_for(duration); }

Task<> take_slowly(const RouteCore* core, const Load* load, std::size_t* bytes) {
    const auto request = fmt::format(R"({{"items":{},"size":{}}})", load->items, load->item_size);
    const std::chrono::duration<double> each{
        static_cast<double>(load->item_size) / (load->mib_per_second * 1024 * 1024)
    };
    auto items = core->generate({}, Bytes::copy_of(request), {.codec = PayloadCodec::json});
    const auto begun = Clock::current().now();
    for (std::size_t i = 0; auto item = co_await items.next(); ++i) {
        *bytes += item->size();
        item.reset();
        const auto due = std::chrono::duration_cast<Duration>(each * static_cast<double>(i + 1));
        co_await sleep_until(Deadline::at(begun + due));
    }
}

Task<> measure(Runtime runtime, Load load) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    auto client = co_await cluster.endpoint(load.endpoint).client();
    co_await client.wait_for_instances(Deadline::in(10s));
    const RouteCore core{client, RouterMode::round_robin};
    (void)co_await p99_during(&core, pause(500ms));
    const auto alone = co_await p99_during(&core, pause(alone_for));
    forget_peak();
    const auto before = memory("VmRSS:");
    std::size_t bytes = 0;
    const auto beside = co_await p99_during(&core, take_slowly(&core, &load, &bytes));
    const auto peak = memory("VmHWM:");
    std::printf(
        "{\"bytes\":%zu,\"alone_p99_us\":%.0f,\"beside_p99_us\":%.0f,\"grown_kib\":%zu}\n",
        bytes,
        alone,
        beside,
        peak - std::min(before, peak)
    );
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) {
        std::fputs(
            "usage: slow_consumer <endpoint> <item size> <items> <MiB per second>\n", stderr
        );
        return 2;
    }
    const Load load{
        arguments[1],
        std::strtoul(arguments[2], nullptr, 10),
        std::strtoul(arguments[3], nullptr, 10),
        std::strtod(arguments[4], nullptr)
    };
    return Worker::from_settings().execute([&load](Runtime runtime) {
        return measure(std::move(runtime), load);
    });
}
