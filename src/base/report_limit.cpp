#include "stator/base/report_limit.hpp"

#include <utility>

#include <fmt/format.h>

namespace stator::inline base {

std::optional<std::uint64_t> ReportLimit::admit(TimePoint now) noexcept {
    const std::lock_guard guard{lock_};
    if (last_ && now - *last_ < interval_) {
        ++held_back_;
        return std::nullopt;
    }
    last_ = now;
    return std::exchange(held_back_, 0);
}

std::string and_unreported(std::uint64_t count) {
    return count == 0 ? std::string{} : fmt::format(" (and {} more like it)", count);
}

}  // namespace stator::inline base
