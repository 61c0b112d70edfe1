// Counters, gauges and histograms: found once, then a few nanoseconds per update.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stator/base/error.hpp"

namespace stator::observe {

/// Name and value pairs; their order does not matter.
using Labels = std::vector<std::pair<std::string, std::string>>;

namespace detail {

/// Threads write to different cache lines; readers add them up.
inline constexpr std::size_t shard_count = 8;
struct alignas(64) Shard {
    std::atomic<std::uint64_t> value{0};
};
using Shards = std::array<Shard, shard_count>;

/// The shard of this thread.
std::size_t this_shard() noexcept;

inline constexpr std::size_t max_bounds = 30;
struct alignas(64) HistogramShard {
    std::array<std::atomic<std::uint64_t>, max_bounds + 1> counts{
    };  // the one after the last bound is +Inf
    std::atomic<double> sum{0.0};
};
struct HistogramCells {
    std::vector<double> bounds;
    std::array<HistogramShard, shard_count> shards;
};

}  // namespace detail

/// Only grows. Handles are cheap values that keep their cell alive; default ones count nothing.
/// Thread-safe.
class Counter {
public:
    Counter() noexcept = default;
    void add(std::uint64_t by = 1) const noexcept {
        if (cells_) (*cells_)[detail::this_shard()].value.fetch_add(by, std::memory_order_relaxed);
    }
    std::uint64_t value() const noexcept;

private:
    friend class Registry;
    explicit Counter(std::shared_ptr<detail::Shards> cells) noexcept : cells_{std::move(cells)} {}
    std::shared_ptr<detail::Shards> cells_;
};

/// Goes up and down by whole steps, from any thread at the cost of a counter: requests in flight,
/// open streams.
class UpDownCounter {
public:
    UpDownCounter() noexcept = default;
    void add(std::int64_t by = 1) const noexcept {
        if (cells_)
            (*cells_)[detail::this_shard()].value.fetch_add(
                static_cast<std::uint64_t>(by), std::memory_order_relaxed
            );
    }
    void subtract(std::int64_t by = 1) const noexcept { add(-by); }
    std::int64_t value() const noexcept;

private:
    friend class Registry;
    explicit UpDownCounter(std::shared_ptr<detail::Shards> cells) noexcept
        : cells_{std::move(cells)} {}
    std::shared_ptr<detail::Shards> cells_;
};

/// A number that is set.
class Gauge {
public:
    Gauge() noexcept = default;
    void set(double value) const noexcept {
        if (cell_) cell_->store(value, std::memory_order_relaxed);
    }
    double value() const noexcept { return cell_ ? cell_->load(std::memory_order_relaxed) : 0.0; }

private:
    friend class Registry;
    explicit Gauge(std::shared_ptr<std::atomic<double>> cell) noexcept : cell_{std::move(cell)} {}
    std::shared_ptr<std::atomic<double>> cell_;
};

/// Counts values by size, such as durations in seconds.
class Histogram {
public:
    struct Snapshot {
        std::vector<std::uint64_t> counts;  ///< per bucket, not cumulative; the last one is +Inf
        double sum = 0.0;
        std::uint64_t count() const noexcept;
    };

    Histogram() noexcept = default;
    void observe(double value) const noexcept;
    Snapshot snapshot() const;

private:
    friend class Registry;
    explicit Histogram(std::shared_ptr<detail::HistogramCells> cells) noexcept
        : cells_{std::move(cells)} {}
    std::shared_ptr<detail::HistogramCells> cells_;
};

/// Bounds for request durations in seconds: 100 us to 60 s.
std::span<const double> duration_buckets() noexcept;

/// Ends a collector when it dies. Movable.
class Collector {
public:
    Collector() noexcept = default;
    Collector(Collector&& other) noexcept = default;
    Collector& operator=(Collector&& other) noexcept {
        std::swap(entry_, other.entry_);
        return *this;
    }
    ~Collector();

private:
    friend class Registry;
    struct Entry;
    explicit Collector(std::shared_ptr<Entry> entry) noexcept : entry_{std::move(entry)} {}
    std::shared_ptr<Entry> entry_;
};

/// What is measured only when somebody looks: values for one text.
class Samples {
public:
    /// Throws as Registry does. For a series that is there
    /// already: the same error.
    void gauge(std::string_view name, std::string_view help, const Labels& labels, double value);
    void counter(std::string_view name, std::string_view help, const Labels& labels, double value);

    struct State;
    explicit Samples(State& state) noexcept : state_{state} {}

private:
    State& state_;
};

/// The metrics of a process. Asking again for a name with the same labels gives the same cell; one
/// name may have several label sets, with different label names too. Thread-safe; finding takes a
/// lock, so keep the handle.
///
/// Throws Error{invalid_request, "metrics.invalid"}: a name that is not [a-zA-Z_:][a-zA-Z0-9_:]*, a
/// label name that is not [a-zA-Z_][a-zA-Z0-9_]*, starts with __ or comes twice, a name that has
/// another type already, more than 30 bounds, or bounds that do not grow or differ from those the
/// histogram has. Label values may be anything; what is not UTF-8 is replaced.
class Registry {
public:
    Registry();
    ~Registry();
    Registry(const Registry&) = delete;
    Registry& operator=(const Registry&) = delete;

    Counter counter(std::string_view name, std::string_view help, const Labels& labels = {}) {
        return counter_of(name, help, labels, false);
    }
    UpDownCounter up_down_counter(
        std::string_view name, std::string_view help, const Labels& labels = {}
    ) {
        return up_down_counter_of(name, help, labels, false);
    }
    Gauge gauge(std::string_view name, std::string_view help, const Labels& labels = {}) {
        return gauge_of(name, help, labels, false);
    }
    Histogram histogram(
        std::string_view name,
        std::string_view help,
        std::span<const double> bounds,
        const Labels& labels = {}
    ) {
        return histogram_of(name, help, bounds, labels, false);
    }

    /// Forgets one metric, for labels that name what is gone. Handles that are left still work,
    /// unseen.
    void remove(std::string_view name, const Labels& labels);

    /// Calls `collect` for each text, on the thread that asks for it, until the collector dies,
    /// which waits for a call that runs. What it throws is reported and costs its own values only.
    [[nodiscard]] Collector add_collector(std::function<void(Samples&)> collect);

    /// All of it in the Prometheus text format; with labels: the series that have all of these.
    std::string text(const Labels& having = {}) const;
    void write(std::ostream& out, const Labels& having = {}) const;

private:
    friend class MetricScope;
    struct State;
    // `kept`: until whoever asks lets it go; else for ever.
    Counter counter_of(
        std::string_view name, std::string_view help, const Labels& labels, bool kept
    );
    UpDownCounter up_down_counter_of(
        std::string_view name, std::string_view help, const Labels& labels, bool kept
    );
    Gauge gauge_of(std::string_view name, std::string_view help, const Labels& labels, bool kept);
    Histogram histogram_of(
        std::string_view name,
        std::string_view help,
        std::span<const double> bounds,
        const Labels& labels,
        bool kept
    );
    std::shared_ptr<State> state_;
};

/// The process's registry; never destroyed.
Registry& metrics();

}  // namespace stator::observe
