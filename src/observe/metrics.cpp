#include "stator/observe/metrics.hpp"

#include <algorithm>
#include <numeric>

namespace stator::observe {

namespace detail {

std::size_t this_shard() noexcept {
    // Threads take turns, so that the few loops of a process do not meet.
    constinit static std::atomic<std::size_t> threads{0};
    constinit static thread_local std::size_t shard = shard_count;
    if (shard == shard_count) [[unlikely]]
        shard = threads.fetch_add(1, std::memory_order_relaxed) % shard_count;
    return shard;
}

}  // namespace detail

namespace {

std::uint64_t total(const detail::Shards* shards) noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; shards != nullptr && i < detail::shard_count; ++i) {
        sum += (*shards)[i].value.load(std::memory_order_relaxed);
    }
    return sum;
}

}  // namespace

std::uint64_t Counter::value() const noexcept { return total(cells_.get()); }

std::int64_t UpDownCounter::value() const noexcept {
    return static_cast<std::int64_t>(total(cells_.get()));
}

void Histogram::observe(double value) const noexcept {
    if (!cells_) return;
    const auto& bounds = cells_->bounds;
    // NaN belongs to no bucket but the last.
    const auto bucket =
        std::ranges::find_if(bounds, [value](double bound) { return value <= bound; }) -
        bounds.begin();
    auto& shard = cells_->shards[detail::this_shard()];
    shard.counts[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
    shard.sum.fetch_add(value, std::memory_order_relaxed);
}

std::uint64_t Histogram::Snapshot::count() const noexcept {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

Histogram::Snapshot Histogram::snapshot() const {
    Snapshot taken;
    if (!cells_) return taken;
    taken.counts.resize(cells_->bounds.size() + 1);
    for (const auto& shard : cells_->shards) {
        for (std::size_t i = 0; i < taken.counts.size(); ++i) {
            taken.counts[i] += shard.counts[i].load(std::memory_order_relaxed);
        }
        taken.sum += shard.sum.load(std::memory_order_relaxed);
    }
    return taken;
}

std::span<const double> duration_buckets() noexcept {
    static constexpr double bounds[] = {
        0.0001,
        0.00025,
        0.0005,
        0.001,
        0.0025,
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1,
        2.5,
        5,
        10,
        30,
        60
    };
    return bounds;
}

}  // namespace stator::observe
