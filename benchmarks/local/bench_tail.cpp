// What a few handlers that block do to all the others.
//
// An open loop hands over handlers at half of what two loops can do: 99 % compute for 50 us, 1 %
// block for 5 ms. Prints one JSON line per case, in the form of the tokio peer (--tail), whose
// arrivals these are: the latency of those that do not block, from hand-over to end. `ideal` is a
// simulation of the same arrivals with one queue in front of two servers, which nothing can beat
// that begins handlers in order and does not interrupt them.

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

#include "stator/runtime/offload.hpp"
#include "stator/runtime/runtime.hpp"

namespace {

using namespace stator;
using namespace std::chrono_literals;
using SteadyTime = std::chrono::steady_clock;

constexpr std::size_t loops = 2;
constexpr auto computes = 50us;
constexpr auto blocks = 5ms;
constexpr double half_load = 0.5;

enum class Case : std::uint8_t { no_tail, held, offloaded };

/// Which handlers block: the same ones in each run and at each peer.
bool is_slow(std::uint64_t number) {
    auto mixed = (number + 1) * 0x9E37'79B9'7F4A'7C15U;
    mixed = (mixed ^ (mixed >> 30U)) * 0xBF58'476D'1CE4'E5B9U;
    return ((mixed ^ (mixed >> 27U)) >> 20U) % 100 == 0;
}

/// Between two arrivals.
std::chrono::nanoseconds interval(bool with_tail) {
    const std::chrono::duration<double, std::nano> fast = computes;
    const std::chrono::duration<double, std::nano> slow = blocks;
    const auto mean = with_tail ? 0.99 * fast + 0.01 * slow : fast;
    return std::chrono::duration_cast<std::chrono::nanoseconds>(mean / (half_load * loops));
}

void compute_for(SteadyTime::duration time) {
    const auto until = SteadyTime::now() + time;
    while (SteadyTime::now() < until) continue;
}

struct Run {
    Case kind;
    Runtime runtime;
    std::vector<double> latencies;  // us; of number i at place i, 0 for those that block
    std::atomic<std::size_t> ended{0};
};

Task<> handle(Run* run, std::size_t number, SteadyTime::time_point handed_over) {
    const bool slow = run->kind != Case::no_tail && is_slow(number);
    if (!slow) {
        compute_for(computes);
        const std::chrono::duration<double, std::micro> taken = SteadyTime::now() - handed_over;
        run->latencies[number] = taken.count();
    } else if (run->kind == Case::held) {
        std::this_thread::sleep_for(blocks);
    } else {
        co_await offload(run->runtime.blocking(), [] { std::this_thread::sleep_for(blocks); });
    }
    run->ended.fetch_add(1, std::memory_order_release);
}

/// One queue, `loops` servers, the same arrivals: the latencies in us.
std::vector<double> simulate(std::size_t count, bool with_tail) {
    std::vector<double> latencies;
    std::vector<double> free_at(loops, 0);
    const std::chrono::duration<double, std::micro> every = interval(with_tail);
    const std::chrono::duration<double, std::micro> fast = computes;
    const std::chrono::duration<double, std::micro> slow_time = blocks;
    for (std::size_t i = 0; i < count; ++i) {
        const double arrival = static_cast<double>(i) * every.count();
        auto server = std::ranges::min_element(free_at);
        const bool slow = with_tail && is_slow(i);
        *server = std::max(*server, arrival) + (slow ? slow_time.count() : fast.count());
        if (!slow) latencies.push_back(*server - arrival);
    }
    return latencies;
}

double percentile(std::vector<double>& sorted, double share) {
    return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

void report(const char* name, std::vector<double> latencies, std::vector<double> ideal) {
    std::erase(latencies, 0.0);
    std::ranges::sort(latencies);
    std::ranges::sort(ideal);
    std::printf(
        "{\"peer\":\"stator\",\"case\":\"%s\",\"p50_us\":%.1f,\"p99_us\":%.1f,"
        "\"ideal_p99_us\":%.1f,\"handlers\":%zu}\n",
        name,
        percentile(latencies, 0.5),
        percentile(latencies, 0.99),
        percentile(ideal, 0.99),
        latencies.size()
    );
    std::fflush(stdout);
}

void measure(const char* name, Case kind, std::chrono::seconds time) {
    const bool with_tail = kind != Case::no_tail;
    const auto every = interval(with_tail);
    const auto count = static_cast<std::size_t>(time / every);
    Run run{
        kind,
        Runtime::create({.primary_threads = loops, .blocking_threads = 64}),
        std::vector<double>(count, 0.0),
        {},
    };
    const auto primary = run.runtime.primary();
    TaskScope scope;
    auto next = SteadyTime::now();
    for (std::size_t i = 0; i < count; ++i) {
        std::this_thread::sleep_until(next);
        primary.spawn(scope, handle(&run, i, SteadyTime::now()));
        next += every;
    }
    while (scope.size() != 0) std::this_thread::sleep_for(1ms);
    report(name, std::move(run.latencies), simulate(count, kind == Case::held));
}

/// `--seconds N`; 0 for anything else.
int seconds_from(int count, char** arguments) {
    if (count == 1) return 5;
    if (count != 3 || std::string_view{arguments[1]} != "--seconds") return 0;
    const std::string_view text{arguments[2]};
    int seconds = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    return code == std::errc{} && end == text.data() + text.size() ? std::max(seconds, 0) : 0;
}

}  // namespace

int main(int count, char** arguments) {
    const int seconds = seconds_from(count, arguments);
    if (seconds == 0) {
        std::fputs("error: usage: stator_bench_tail [--seconds N], N above 0\n", stderr);
        return 2;
    }
    measure("no_tail", Case::no_tail, std::chrono::seconds{seconds});
    measure("held", Case::held, std::chrono::seconds{seconds});
    measure("offloaded", Case::offloaded, std::chrono::seconds{seconds});
    return 0;
}
