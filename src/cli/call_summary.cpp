#include "cli/call_summary.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

namespace stator::cli {

void CallTally::add(
    Duration latency, std::uint64_t items, InstanceId worker, const std::optional<Error>& error
) {
    ++requests_;
    items_ += items;
    if (worker) ++workers_[worker];
    if (!error) {
        latencies_.push_back(latency);
        return;
    }
    ++errors_[error->code()];
    if (first_failure_) return;
    first_failure_ = error;
    first_failure_at_ = Clock::current().now();
}

void CallTally::merge(const CallTally& other) {
    requests_ += other.requests_;
    items_ += other.items_;
    for (const auto& [code, count] : other.errors_) errors_[code] += count;
    for (const auto& [worker, count] : other.workers_) workers_[worker] += count;
    latencies_.insert(latencies_.end(), other.latencies_.begin(), other.latencies_.end());
    if (!other.first_failure_) return;
    if (first_failure_ && first_failure_at_ <= other.first_failure_at_) return;
    first_failure_ = other.first_failure_;
    first_failure_at_ = other.first_failure_at_;
}

std::string CallTally::summary(Duration elapsed) const {
    const double seconds = std::chrono::duration<double>(elapsed).count();
    std::string text = fmt::format(
        "requests {} ({} succeeded) in {}, {:.0f}/s\nitems    {}\n",
        requests_,
        latencies_.size(),
        to_text(elapsed),
        seconds > 0 ? static_cast<double>(requests_) / seconds : 0.0,
        items_
    );
    std::string errors;
    for (const auto& [code, count] : errors_) {
        errors += fmt::format("{}{} {}", errors.empty() ? "" : ", ", to_string(code), count);
    }
    text += fmt::format("errors   {}\n", errors.empty() ? "none" : errors);
    if (!latencies_.empty()) {
        auto sorted = latencies_;
        std::ranges::sort(sorted);
        text += fmt::format(
            "latency  p50 {}, p90 {}, p99 {}, p99.9 {}\n",
            to_text(percentile(sorted, 0.5)),
            to_text(percentile(sorted, 0.9)),
            to_text(percentile(sorted, 0.99)),
            to_text(percentile(sorted, 0.999))
        );
    }
    for (const auto& [worker, count] : workers_) {
        const double share = 100.0 * static_cast<double>(count) / static_cast<double>(requests_);
        text += fmt::format("worker   {} {} ({:.1f} %)\n", worker.to_string(), count, share);
    }
    return text;
}

Duration percentile(const std::vector<Duration>& sorted, double quantile) {
    const auto rank = std::ceil(quantile * static_cast<double>(sorted.size()));
    const auto index = static_cast<std::size_t>(std::max(rank, 1.0)) - 1;
    return sorted[std::min(index, sorted.size() - 1)];
}

std::string to_text(Duration duration) {
    struct Unit {
        double size;
        std::string_view name;
    };
    static constexpr Unit units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
    const auto count = static_cast<double>(duration.count());
    for (const auto& unit : units) {
        const double value = count / unit.size;
        // What would be rounded up to 1000 of the smaller unit belongs to this one.
        if (value < 0.9995) continue;
        const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
        return fmt::format("{:.{}f} {}", value, decimals, unit.name);
    }
    return fmt::format("{} ns", duration.count());
}

}  // namespace stator::cli
