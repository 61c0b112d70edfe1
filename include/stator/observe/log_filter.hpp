// Which log lines are written.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stator/base/error.hpp"
#include "stator/base/sink.hpp"

namespace stator::observe {

/// A level for everything and levels for targets, as in DYN_LOG:
/// "info,stator::transport=debug,h2=off". Of the targets that are the line's own or enclose it
/// ("stator" encloses "stator::net"), the longest decides. A target without a level means trace. A
/// value.
class LogFilter {
public:
    /// Everything from `info` on.
    LogFilter() = default;

    /// Fails with invalid_request, detail "log.filter", naming the part that is wrong. Levels are
    /// trace, debug, info, warn, error and off, in any case; without a level for everything that is
    /// error.
    static Result<LogFilter> parse(std::string_view text);

    bool allows(Severity severity, std::string_view target) const noexcept;
    /// The lowest severity that any target is written with: below it nothing needs to be asked.
    int threshold() const noexcept;

private:
    // Beyond Severity::error: nothing.
    static constexpr int off = static_cast<int>(Severity::error) + 1;

    int level_for(std::string_view target) const noexcept;

    int everything_ = static_cast<int>(Severity::info);
    std::vector<std::pair<std::string, int>> targets_;  // the longest name first
};

}  // namespace stator::observe
