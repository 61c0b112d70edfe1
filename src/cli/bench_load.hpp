// What `stator bench` sends, and when: values and arithmetic. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "stator/base/bytes.hpp"
#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"

namespace stator::cli {

enum class BenchWorkload : std::uint8_t {
    unary,   ///< one item a request
    stream,  ///< many items, as fast as they can be taken
    paced,   ///< many items, one each `pace`, as token decoding does
    bulk,    ///< large requests
    tail,    ///< unary, and a share of the requests is slow on purpose
};

std::string_view to_string(BenchWorkload workload) noexcept;
std::optional<BenchWorkload> bench_workload_from_name(std::string_view name) noexcept;

struct BenchLoad {
    BenchWorkload workload = BenchWorkload::unary;
    std::uint32_t concurrency = 16;  ///< requests in flight, at most
    Duration warmup = std::chrono::seconds{1};
    Duration duration = std::chrono::seconds{5};
    double rate = 0;  ///< requests/s, started by the clock; 0: each answer starts the next request
    std::uint64_t items = 1;  ///< of an answer
    std::uint64_t size = 64;  ///< bytes: of an item, or of a bulk request
    Duration pace{};          ///< paced: from item to item
    double tail_percent = 0;  ///< the share of requests that ask for one of the following
    Duration tail_delay{};    ///< the handler waits that long before each item
    Duration tail_hold{};     ///< the handler keeps its loop busy for that long

    bool open_loop() const noexcept { return rate > 0; }
    /// Whether an item is what the load is about, and not a request.
    bool counts_items() const noexcept {
        return workload == BenchWorkload::stream || workload == BenchWorkload::paced;
    }
    /// How long after the window requests may take to end.
    Duration grace() const noexcept;
};

/// A request as it travels, and how many items its answer must have.
struct BenchRequest {
    Bytes body;
    std::uint64_t items = 1;

    bool unary() const noexcept { return items == 1; }
};

/// `slow`: of the tail. Errors: those of encode_msgpack.
Result<BenchRequest> bench_request(const BenchLoad& load, bool slow);

/// When requests are due, and which of them are slow, by their number from 0.
class BenchSchedule {
public:
    BenchSchedule(const BenchLoad& load, TimePoint start) noexcept;

    TimePoint opens() const noexcept { return start_ + warmup_; }
    TimePoint closes() const noexcept { return opens() + duration_; }
    bool in_window(TimePoint when) const noexcept { return opens() <= when && when < closes(); }
    /// Open loop only: request `number` is due so much after the start, whatever became of others.
    TimePoint due(std::uint64_t number) const noexcept;
    /// Evenly spread: of any run of 100 requests `tail_percent` are slow.
    bool slow(std::uint64_t number) const noexcept;

private:
    TimePoint start_;
    Duration warmup_;
    Duration duration_;
    double rate_;
    double slow_share_;
};

}  // namespace stator::cli
