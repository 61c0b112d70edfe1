// LogQueue: log lines on their way to somebody else than stderr.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/sink.hpp"
#include "stator/observe/span.hpp"

namespace stator::observe {

struct LogRecord {
    std::chrono::system_clock::time_point time;
    Severity severity = Severity::info;
    std::string target;
    std::string message;   ///< one line of UTF-8
    std::string trace_id;  ///< in hex, of a line that belongs to a request with a trace
    std::string span_id;
};

/// Bounded: when it is full the oldest line goes, and is counted. Thread-safe; held for as long as
/// it takes to copy a line, by threads that log.
class LogQueue {
public:
    explicit LogQueue(std::size_t limit) : limit_{limit} {}
    LogQueue(const LogQueue&) = delete;
    LogQueue& operator=(const LogQueue&) = delete;

    void push(
        Severity severity,
        std::string_view target,
        std::string_view message,
        const Span* span = nullptr
    );
    /// The oldest lines, at most `count`.
    std::vector<LogRecord> take(std::size_t count);
    std::size_t size() const;
    /// Lines that had to go.
    std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

private:
    const std::size_t limit_;
    mutable std::mutex mutex_;
    std::deque<LogRecord> records_;
    std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace stator::observe
