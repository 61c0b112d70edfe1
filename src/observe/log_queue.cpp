#include "stator/observe/log_queue.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace stator::observe {

void LogQueue::push(
    Severity severity, std::string_view target, std::string_view message, const Span* span
) {
    const bool traced = span != nullptr && span->trace;
    LogRecord record{
        .time = std::chrono::system_clock::now(),
        .severity = severity,
        .target = std::string{target},
        .message = std::string{message},
        .trace_id = traced ? span->trace->trace_id_text() : std::string{},
        .span_id = traced ? span->trace->span_id_text() : std::string{},
    };
    const std::lock_guard guard{mutex_};
    if (records_.size() >= limit_) {
        records_.pop_front();
        dropped_.fetch_add(1, std::memory_order_relaxed);
    }
    records_.push_back(std::move(record));
}

std::vector<LogRecord> LogQueue::take(std::size_t count) {
    const std::lock_guard guard{mutex_};
    const auto end =
        records_.begin() + static_cast<std::ptrdiff_t>(std::min(count, records_.size()));
    std::vector<LogRecord> taken{
        std::make_move_iterator(records_.begin()), std::make_move_iterator(end)
    };
    records_.erase(records_.begin(), end);
    return taken;
}

std::size_t LogQueue::size() const {
    const std::lock_guard guard{mutex_};
    return records_.size();
}

}  // namespace stator::observe
