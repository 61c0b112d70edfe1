// The options of `stator bench`, and what they mean together.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/bench_load.hpp"

namespace CLI {
class App;
}

namespace stator::cli {

/// What the parser of the command line leaves behind, before it is understood.
struct RawBenchOptions {
    std::string workload = "unary";
    std::optional<std::int64_t> concurrency;
    double duration = 5;
    double warmup = 1;
    std::optional<double> rate;
    std::optional<std::int64_t> items;
    std::optional<std::int64_t> size;
    std::optional<std::int64_t> pace_ms;
    std::optional<double> tail_percent;
    std::optional<std::int64_t> tail_ms;
    std::optional<std::int64_t> tail_hold_ms;
};

/// `raw` must live as long as `app`.
void add_bench_options(CLI::App& app, RawBenchOptions& raw);

/// Errors: invalid_request "cli.usage" naming the option, also one that has no meaning for the
/// workload.
Result<BenchLoad> bench_load_of(const RawBenchOptions& raw);

}  // namespace stator::cli
