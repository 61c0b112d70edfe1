#include "cli/bench_options.hpp"

#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "stator/base/text.hpp"

namespace stator::cli {

using namespace std::chrono_literals;

namespace {

constexpr std::int64_t most_concurrency = 1'000'000;
constexpr std::int64_t most_items = 1'000'000'000;
constexpr std::int64_t largest_size = 1 << 30;
constexpr std::int64_t longest_wait_ms = 600'000;
constexpr double longest_run = 24.0 * 3600;  // seconds
constexpr double highest_rate = 1e9;

std::unexpected<Error> usage(std::string message) {
    return fail(ErrorCode::invalid_request, "cli.usage", std::move(message));
}

Result<void> check(
    std::string_view option, std::int64_t value, std::int64_t least, std::int64_t most
) {
    if (least <= value && value <= most) return {};
    return usage(fmt::format("{} must be from {} to {}, not {}", option, least, most, value));
}

/// `least` itself is allowed where `or_least` says so. NaN is never allowed.
Result<void> check(
    std::string_view option, double value, double least, double most, bool or_least
) {
    if ((value > least || (or_least && value == least)) && value <= most) return {};
    return usage(fmt::format(
        "{} must be {} {} and at most {}, not {}",
        option,
        or_least ? "at least" : "above",
        least,
        most,
        value
    ));
}

Duration seconds(double value) {
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>{value});
}

Result<void> refuse_meaningless(const RawBenchOptions& raw, BenchWorkload workload) {
    const auto refuse = [&](std::string_view option, std::string_view where) {
        return usage(fmt::format("{} goes with {}, not {}", option, where, to_string(workload)));
    };
    const bool streams = workload == BenchWorkload::stream || workload == BenchWorkload::paced;
    if (raw.items && !streams && workload != BenchWorkload::bulk) {
        return refuse("--items", "--workload stream, paced or bulk");
    }
    if (raw.pace_ms && workload != BenchWorkload::paced) {
        return refuse("--pace-ms", "--workload paced");
    }
    const bool slow = raw.tail_ms || raw.tail_hold_ms || workload == BenchWorkload::tail;
    if (raw.tail_percent && !slow) {
        return usage("--tail-percent needs --tail-ms or --tail-hold-ms");
    }
    return {};
}

Result<void> check_numbers(const RawBenchOptions& raw) {
    if (auto good = check("--duration", raw.duration, 0, longest_run, false); !good) return good;
    if (auto good = check("--warmup", raw.warmup, 0, longest_run, true); !good) return good;
    if (raw.rate) {
        if (auto good = check("--rate", *raw.rate, 0, highest_rate, false); !good) return good;
    }
    if (raw.tail_percent) {
        if (auto good = check("--tail-percent", *raw.tail_percent, 0, 100, true); !good)
            return good;
    }
    struct Whole {
        std::string_view option;
        std::optional<std::int64_t> value;
        std::int64_t least;
        std::int64_t most;
    };
    for (const auto& [option, value, least, most] : {
             Whole{"--concurrency", raw.concurrency, 1, most_concurrency},
             Whole{"--items", raw.items, 0, most_items},
             Whole{"--size", raw.size, 0, largest_size},
             Whole{"--pace-ms", raw.pace_ms, 1, longest_wait_ms},
             Whole{"--tail-ms", raw.tail_ms, 1, longest_wait_ms},
             Whole{"--tail-hold-ms", raw.tail_hold_ms, 1, longest_wait_ms},
         }) {
        if (!value) continue;
        if (auto good = check(option, *value, least, most); !good) return good;
    }
    return {};
}

/// Items and size where the command line says nothing.
struct Shape {
    std::int64_t items;
    std::int64_t size;
};

Shape usual_shape(BenchWorkload workload) {
    switch (workload) {
        case BenchWorkload::stream:
            return {100, 64};
        case BenchWorkload::paced:
            return {40, 64};
        case BenchWorkload::bulk:
            return {0, 64 << 10};
        case BenchWorkload::unary:
        case BenchWorkload::tail:
            break;
    }
    return {1, 64};
}

void set_tail(BenchLoad& load, const RawBenchOptions& raw) {
    load.tail_delay = std::chrono::milliseconds{raw.tail_ms.value_or(0)};
    load.tail_hold = std::chrono::milliseconds{raw.tail_hold_ms.value_or(0)};
    const bool given = raw.tail_ms || raw.tail_hold_ms;
    if (load.workload == BenchWorkload::tail && !given) load.tail_delay = 5ms;
    if (given || load.workload == BenchWorkload::tail) {
        load.tail_percent = raw.tail_percent.value_or(1);
    }
}

}  // namespace

void add_bench_options(CLI::App& app, RawBenchOptions& raw) {
    app.add_option("--workload", raw.workload, "unary (default), stream, paced, bulk or tail");
    app.add_option(
        "--concurrency", raw.concurrency, "Requests in flight, at most (16; with --rate 1024)"
    );
    app.add_option("--duration", raw.duration, "Seconds measured (5)");
    app.add_option("--warmup", raw.warmup, "Seconds before that (1)");
    app.add_option("--rate", raw.rate, "Requests a second by the clock, not by the answers");
    app.add_option("--items", raw.items, "Items of an answer (stream 100, paced 40, bulk 0)");
    app.add_option("--size", raw.size, "Bytes of an item (64), or of a bulk request (65536)");
    app.add_option("--pace-ms", raw.pace_ms, "Paced: milliseconds from item to item (20)");
    app.add_option("--tail-percent", raw.tail_percent, "The share of slow requests (1)");
    app.add_option("--tail-ms", raw.tail_ms, "A slow request waits that long at the worker");
    app.add_option("--tail-hold-ms", raw.tail_hold_ms, "A slow request keeps a loop busy so long");
}

Result<BenchLoad> bench_load_of(const RawBenchOptions& raw) {
    const auto workload = bench_workload_from_name(raw.workload);
    if (!workload) {
        return usage(fmt::format(
            "no workload is called {}; there are unary, stream, paced, bulk and tail",
            quoted_text(raw.workload)
        ));
    }
    if (auto good = check_numbers(raw); !good) return std::unexpected{std::move(good).error()};
    if (auto good = refuse_meaningless(raw, *workload); !good) {
        return std::unexpected{std::move(good).error()};
    }
    const auto usual = usual_shape(*workload);
    BenchLoad load;
    load.workload = *workload;
    load.concurrency = static_cast<std::uint32_t>(raw.concurrency.value_or(raw.rate ? 1024 : 16));
    load.duration = seconds(raw.duration);
    load.warmup = seconds(raw.warmup);
    load.rate = raw.rate.value_or(0);
    load.items = static_cast<std::uint64_t>(raw.items.value_or(usual.items));
    load.size = static_cast<std::uint64_t>(raw.size.value_or(usual.size));
    if (*workload == BenchWorkload::paced) {
        load.pace = std::chrono::milliseconds{raw.pace_ms.value_or(20)};
    }
    if (load.counts_items() && load.items == 0) return usage("--items must be at least 1");
    set_tail(load, raw);
    return load;
}

}  // namespace stator::cli
