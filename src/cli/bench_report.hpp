// What a run of `stator bench` counted, and how that is shown. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench_load.hpp"
#include "stator/base/instance_id.hpp"
#include "stator/base/latency_histogram.hpp"

namespace stator::cli {

/// What the callers of one loop counted; merged at the end. One thread at a time.
struct BenchTally {
    LatencyHistogram latency;                     ///< of requests that are not slow on purpose
    LatencyHistogram tail_latency;                ///< of those that are
    LatencyHistogram added_delay;                 ///< of paced items
    std::uint64_t requests = 0;                   ///< that succeeded, in the window
    std::uint64_t items = 0;                      ///< that arrived, in the window
    std::uint64_t bytes_sent = 0;                 ///< of those requests
    std::uint64_t bytes_received = 0;             ///< of those items
    std::uint64_t unstarted = 0;                  ///< open loop: due in the window, never sent
    std::map<ErrorCode, std::uint64_t> errors{};  ///< over the whole run
    std::optional<Error> first_failure{};
    TimePoint first_failure_at{};

    void fail(const Error& error, TimePoint when);
    void merge(const BenchTally& other);
};

/// A worker that was called.
struct BenchWorker {
    InstanceId instance;
    std::optional<int> pid{};  ///< only of a process of this machine that can be looked at
};

struct BenchReport {
    std::string endpoint;
    BenchLoad load;
    Duration elapsed{};  ///< the true length of the window
    BenchTally tally{};
    Duration client_cpu{};                 ///< of this process, in the window
    std::optional<Duration> worker_cpu{};  ///< of all workers together, if it is known of each
    std::vector<BenchWorker> workers{};

    /// Lines for people, each with its end.
    std::string table() const;
    /// One object on one line, with its end. What there is no figure for is null.
    std::string json() const;

private:
    double per_second(std::uint64_t count) const;
    std::optional<double> us_per_operation(std::optional<Duration> cpu) const;
};

}  // namespace stator::cli
