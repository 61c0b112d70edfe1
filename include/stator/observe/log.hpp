// Log lines: checked at compile time, formatted only if somebody wants them, written by a thread of
// their own.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"
#include "stator/base/sink.hpp"
#include "stator/observe/log_filter.hpp"

namespace stator::observe::log {

/// How lines are written.
struct Options {
    LogFilter filter{};
    bool jsonl = false;       ///< one JSON object per line: time, level, target, message
    bool ansi = true;         ///< colours, if the descriptor is a terminal
    bool local_time = false;  ///< instead of UTC
    int descriptor = 2;       ///< where to; must stay open
};

/// Starts the writing thread, or changes how it writes. Before the first call lines of `warn` and
/// above go straight to stderr. Thread-safe. Throws Error{internal} if no thread can be made.
void start(Options options);

/// Waits until everything logged before is written, at most `bound`; false if that was not enough.
/// Blocks.
bool flush(Duration bound) noexcept;

/// Lines that were dropped because the descriptor did not take them fast enough (4096 wait at most,
/// the oldest go).
std::uint64_t dropped() noexcept;

namespace detail {
extern std::atomic<int> threshold;
bool allows(Severity severity, std::string_view target) noexcept;
void write(
    Severity severity, std::string_view target, fmt::string_view format, fmt::format_args args
) noexcept;
}  // namespace detail

/// One relaxed load if nobody wants the severity, then a look at the filter.
inline bool enabled(Severity severity, std::string_view target) noexcept {
    if (static_cast<int>(severity) < detail::threshold.load(std::memory_order_relaxed))
        return false;
    return detail::allows(severity, target);
}

// `target` is the part that speaks, such as "stator::transport". Never throw, never block on the
// descriptor.

template <class... Args>
void write(
    Severity severity, std::string_view target, fmt::format_string<Args...> format, Args&&... args
) noexcept {
    if (enabled(severity, target))
        detail::write(severity, target, format, fmt::make_format_args(args...));
}
template <class... Args>
void trace(std::string_view target, fmt::format_string<Args...> format, Args&&... args) noexcept {
    write<Args...>(Severity::trace, target, format, std::forward<Args>(args)...);
}
template <class... Args>
void debug(std::string_view target, fmt::format_string<Args...> format, Args&&... args) noexcept {
    write<Args...>(Severity::debug, target, format, std::forward<Args>(args)...);
}
template <class... Args>
void info(std::string_view target, fmt::format_string<Args...> format, Args&&... args) noexcept {
    write<Args...>(Severity::info, target, format, std::forward<Args>(args)...);
}
template <class... Args>
void warn(std::string_view target, fmt::format_string<Args...> format, Args&&... args) noexcept {
    write<Args...>(Severity::warn, target, format, std::forward<Args>(args)...);
}
template <class... Args>
void error(std::string_view target, fmt::format_string<Args...> format, Args&&... args) noexcept {
    write<Args...>(Severity::error, target, format, std::forward<Args>(args)...);
}

/// Lets one line through per interval, for what may happen very often. Thread-safe.
///     static constinit log::Every every{std::chrono::seconds{10}};
///     if (const auto before = every.due()) log::warn(target, "no room ({} more before)", *before);
class Every {
public:
    explicit constexpr Every(Duration interval) noexcept : interval_{interval.count()} {}

    /// If a line is due: how many were held back since the last. By this thread's clock.
    std::optional<std::uint64_t> due() noexcept;

private:
    Duration::rep interval_;
    std::atomic<Duration::rep> next_{0};
    std::atomic<std::uint64_t> held_back_{0};
};

}  // namespace stator::observe::log

namespace stator {
namespace log = observe::log;  // NOLINT(misc-unused-alias-decls): for users
}
