// LatencyHistogram: durations in buckets, with bounded memory and bounded error. Needs nothing else
// of stator, so that the programs we are measured against count in the same way.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace stator::inline base {

/// Log-linear buckets: the relative error of a percentile is below 1 %, the maximum is exact.
/// 35 KiB, whatever it counts. A plain value: one thread at a time.
class LatencyHistogram {
public:
    /// Negative durations count as zero; more than 18 minutes are told apart by `max_us` only.
    void record(std::chrono::nanoseconds value) noexcept { record(value, 1); }
    void record(std::chrono::nanoseconds value, std::uint64_t times) noexcept {
        if (times == 0) return;
        const auto ns = value.count() < 0 ? 0 : static_cast<std::uint64_t>(value.count());
        counts_[bucket_of(std::min(ns, largest))] += times;
        count_ += times;
        max_ = std::max(max_, ns);
    }
    void merge(const LatencyHistogram& other) noexcept {
        for (std::size_t i = 0; i < buckets; ++i) counts_[i] += other.counts_[i];
        count_ += other.count_;
        max_ = std::max(max_, other.max_);
    }

    std::uint64_t count() const noexcept { return count_; }
    /// The value, in microseconds, that a share `quantile` (0 to 1) of the samples does not exceed;
    /// nothing without samples.
    std::optional<double> percentile_us(double quantile) const noexcept {
        if (count_ == 0) return std::nullopt;
        const auto rank = std::ceil(quantile * static_cast<double>(count_));
        std::uint64_t seen = 0;
        std::size_t bucket = 0;
        if (rank >= static_cast<double>(count_)) return max_us();
        for (; bucket + 1 < buckets; ++bucket) {
            seen += counts_[bucket];
            if (seen != 0 && static_cast<double>(seen) >= rank) break;
        }
        return std::min(middle_of(bucket), static_cast<double>(max_)) / 1000;
    }
    /// The greatest sample, in microseconds; nothing without samples.
    std::optional<double> max_us() const noexcept {
        if (count_ == 0) return std::nullopt;
        return static_cast<double>(max_) / 1000;
    }

private:
    static constexpr unsigned sub_bits = 7;
    static constexpr unsigned max_bits = 40;
    static constexpr std::size_t buckets = std::size_t{max_bits - sub_bits + 1} << sub_bits;
    static constexpr std::uint64_t largest = (std::uint64_t{1} << max_bits) - 1;

    static std::size_t bucket_of(std::uint64_t value) noexcept {
        const auto width = static_cast<unsigned>(std::bit_width(value));
        if (width <= sub_bits) return value;
        const unsigned shift = width - sub_bits - 1;
        // The top bit is implied by the group, so each group adds 2^sub_bits buckets of equal
        // width.
        const auto group = std::size_t{shift + 1} << sub_bits;
        return group + ((value >> shift) & ((1U << sub_bits) - 1));
    }
    static double middle_of(std::size_t bucket) noexcept {
        const auto group = bucket >> sub_bits;
        const auto offset = bucket & ((1U << sub_bits) - 1);
        if (group == 0) return static_cast<double>(offset);
        const auto width = std::uint64_t{1} << (group - 1);
        const auto low = ((std::uint64_t{1} << sub_bits) + offset) * width;
        return static_cast<double>(low) + static_cast<double>(width) / 2;
    }

    std::array<std::uint64_t, buckets> counts_{};
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace stator::inline base
