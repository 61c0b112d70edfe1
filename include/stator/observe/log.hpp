// Log lines: checked at compile time, formatted only if somebody wants them, written by a thread of
// their own.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/core.h>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"
#include "stator/base/sink.hpp"
#include "stator/observe/log_filter.hpp"
#include "stator/observe/log_queue.hpp"
#include "stator/observe/span.hpp"

namespace stator::observe::log {

/// How lines are written.
struct Options {
    LogFilter filter{};
    bool jsonl = false;       ///< one JSON object per line, as docs/schemas/log-line.json says
    bool ansi = true;         ///< colours, if the descriptor is a terminal
    bool local_time = false;  ///< instead of UTC
    /// Two lines more for each request that is served, when it begins and when it has ended.
    bool span_events = false;
    int descriptor = 2;  ///< where to; must stay open
};

/// Starts the writing thread, or changes how it writes. Before the first call lines of `warn` and
/// above go straight to stderr. Thread-safe. Throws Error{internal} if no thread can be made.
void start(Options options);

/// Changes what is written, and nothing else; before `start` without effect. Thread-safe. Fails
/// with overloaded, detail "log.changes", once that was done 1000 times: no filter is ever freed,
/// since readers take no lock.
[[nodiscard]] Result<void> set_filter(LogFilter filter);

/// Waits until everything logged before is written, at most `bound`; false if that was not enough.
/// Blocks.
bool flush(Duration bound) noexcept;

/// A copy of every line that passes the filter goes there, too, from now on, as long as somebody
/// holds the queue; one at a time. Thread-safe.
void copy_to(const std::shared_ptr<LogQueue>& queue);

/// Lines that were dropped because the descriptor did not take them fast enough (4096 wait at most,
/// the oldest go).
std::uint64_t dropped() noexcept;

namespace detail {

extern std::atomic<int> threshold;
extern std::atomic<bool> span_events;
bool allows(Severity severity, std::string_view target) noexcept;

/// A line that is wanted.
struct Line {
    Severity severity = Severity::info;
    std::string_view target;
    std::source_location where;
    const Span* span = nullptr;  // of the request that it belongs to, if to one
};
void write(const Line& line, fmt::string_view format, fmt::format_args args) noexcept;

}  // namespace detail

/// A format string, checked, and where it was written down.
template <class... Args>
struct FormatHere {
    template <class Text>
        requires std::constructible_from<fmt::format_string<Args...>, const Text&>
    // NOLINTNEXTLINE(google-explicit-constructor): it is written as a text
    consteval FormatHere(
        const Text& text, std::source_location from = std::source_location::current()
    )
        : format{text}, where{from} {}

    fmt::format_string<Args...> format;
    std::source_location where;
};
template <class... Args>
using Format = FormatHere<std::type_identity_t<Args>...>;

/// Whether requests have lines of their own.
inline bool span_events() noexcept { return detail::span_events.load(std::memory_order_relaxed); }

/// One relaxed load if nobody wants the severity, then a look at the filter.
inline bool enabled(Severity severity, std::string_view target) noexcept {
    if (static_cast<int>(severity) < detail::threshold.load(std::memory_order_relaxed))
        return false;
    return detail::allows(severity, target);
}

// `target` is the part that speaks, such as "stator::transport"; `of` is what the line belongs to,
// a request's Context. Never throw, never block on the descriptor.

/// A line written on behalf of another place in the source.
inline void write_for(
    std::source_location where, Severity severity, std::string_view target, std::string_view message
) noexcept {
    if (enabled(severity, target))
        detail::write({severity, target, where}, "{}", fmt::make_format_args(message));
}

template <class... Args>
void write(
    Severity severity, std::string_view target, Format<Args...> format, Args&&... args
) noexcept {
    if (enabled(severity, target))
        detail::write(
            {severity, target, format.where}, format.format, fmt::make_format_args(args...)
        );
}
template <HasSpan Of, class... Args>
void write(
    Severity severity, const Of& of, std::string_view target, Format<Args...> format, Args&&... args
) noexcept {
    if (!enabled(severity, target)) return;
    const Span span = of.span();
    detail::write(
        {severity, target, format.where, &span}, format.format, fmt::make_format_args(args...)
    );
}
template <class... Args>
void trace(std::string_view target, Format<Args...> format, Args&&... args) noexcept {
    write<Args...>(Severity::trace, target, format, std::forward<Args>(args)...);
}
template <HasSpan Of, class... Args>
void trace(const Of& of, std::string_view target, Format<Args...> format, Args&&... args) noexcept {
    write<Of, Args...>(Severity::trace, of, target, format, std::forward<Args>(args)...);
}
template <class... Args>
void debug(std::string_view target, Format<Args...> format, Args&&... args) noexcept {
    write<Args...>(Severity::debug, target, format, std::forward<Args>(args)...);
}
template <HasSpan Of, class... Args>
void debug(const Of& of, std::string_view target, Format<Args...> format, Args&&... args) noexcept {
    write<Of, Args...>(Severity::debug, of, target, format, std::forward<Args>(args)...);
}
template <class... Args>
void info(std::string_view target, Format<Args...> format, Args&&... args) noexcept {
    write<Args...>(Severity::info, target, format, std::forward<Args>(args)...);
}
template <HasSpan Of, class... Args>
void info(const Of& of, std::string_view target, Format<Args...> format, Args&&... args) noexcept {
    write<Of, Args...>(Severity::info, of, target, format, std::forward<Args>(args)...);
}
template <class... Args>
void warn(std::string_view target, Format<Args...> format, Args&&... args) noexcept {
    write<Args...>(Severity::warn, target, format, std::forward<Args>(args)...);
}
template <HasSpan Of, class... Args>
void warn(const Of& of, std::string_view target, Format<Args...> format, Args&&... args) noexcept {
    write<Of, Args...>(Severity::warn, of, target, format, std::forward<Args>(args)...);
}
template <class... Args>
void error(std::string_view target, Format<Args...> format, Args&&... args) noexcept {
    write<Args...>(Severity::error, target, format, std::forward<Args>(args)...);
}
template <HasSpan Of, class... Args>
void error(const Of& of, std::string_view target, Format<Args...> format, Args&&... args) noexcept {
    write<Of, Args...>(Severity::error, of, target, format, std::forward<Args>(args)...);
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
