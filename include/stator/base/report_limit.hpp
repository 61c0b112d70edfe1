// ReportLimit: what others can cause as often as they like must not fill our log.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "stator/base/deadline.hpp"

namespace stator::inline base {

/// Lets one report through per interval and counts those it holds back. Thread-safe.
class ReportLimit {
public:
    explicit ReportLimit(Duration interval) noexcept : interval_{interval} {}
    /// Whether to report now, and how many were held back since the last one; nothing: hold it
    /// back.
    std::optional<std::uint64_t> admit(TimePoint now) noexcept;

private:
    const Duration interval_;
    std::mutex lock_;
    std::optional<TimePoint> last_;
    std::uint64_t held_back_ = 0;
};

/// The end of a report after `count` were held back, e.g. " (and 3 more like it)".
std::string and_unreported(std::uint64_t count);

}  // namespace stator::inline base
