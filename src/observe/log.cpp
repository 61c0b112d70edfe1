#include "stator/observe/log.hpp"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include <fmt/format.h>
#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>

#include "observe/log_lines.hpp"
#include "stator/observe/span.hpp"

namespace stator::observe::log {

namespace {

constexpr std::size_t queue_size = 4096;
constexpr std::size_t max_filters = 1000;
constexpr std::size_t max_message = std::size_t{32} << 10U;

spdlog::level::level_enum level_of(Severity severity) noexcept {
    static_assert(static_cast<int>(Severity::trace) == SPDLOG_LEVEL_TRACE);
    static_assert(static_cast<int>(Severity::error) == SPDLOG_LEVEL_ERROR);
    return static_cast<spdlog::level::level_enum>(severity);
}

/// Writes all of it, however slowly the descriptor takes it; gives up on a descriptor that is
/// broken.
void write_all(int descriptor, std::string_view text) noexcept {
    while (!text.empty()) {
        const auto written = ::write(descriptor, text.data(), text.size());
        if (written >= 0) {
            text.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno == EAGAIN) {
            pollfd ready{.fd = descriptor, .events = POLLOUT, .revents = 0};
            ::poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return;
        }
    }
}

/// The end of the line: runs on the writing thread, apart from `configure` and `wait_for`.
class Output final : public spdlog::sinks::base_sink<std::mutex> {
public:
    void configure(int descriptor, std::unique_ptr<spdlog::formatter> lines) {
        const std::lock_guard guard{mutex_};
        descriptor_ = descriptor;
        formatter_ = std::move(lines);
    }

    /// Waits until `reached` of what was written holds, which is asked after each line.
    template <class Reached>
    bool wait_until(Reached reached, Duration bound) {
        std::unique_lock lock{written_mutex_};
        ++waiters_;
        const bool in_time =
            written_changed_.wait_for(lock, bound, [&] { return reached(written_); });
        --waiters_;
        return in_time;
    }

private:
    void sink_it_(const spdlog::details::log_msg& line) override {
        spdlog::memory_buf_t text;
        formatter_->format(line, text);
        write_all(descriptor_, {text.data(), text.size()});
        const std::lock_guard guard{written_mutex_};
        ++written_;
        if (waiters_ != 0) written_changed_.notify_all();
    }
    void flush_() override {}

    int descriptor_ = STDERR_FILENO;
    std::mutex written_mutex_;
    std::condition_variable written_changed_;
    std::uint64_t written_ = 0;
    int waiters_ = 0;
};

/// The thread must not take the signals that others wait for, nor die of a closed pipe.
class AllSignalsBlocked {
public:
    AllSignalsBlocked() noexcept {
        sigset_t all;
        sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    AllSignalsBlocked(const AllSignalsBlocked&) = delete;
    AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

private:
    sigset_t before_{};
};

/// Made once and never destroyed: threads that outlive main still log.
class Logger {
public:
    Logger()
        : output_{std::make_shared<Output>()},
          pool_{std::make_shared<spdlog::details::thread_pool>(queue_size, 1)},
          logger_{std::make_shared<spdlog::async_logger>(
              "stator", output_, pool_, spdlog::async_overflow_policy::overrun_oldest
          )} {
        logger_->set_level(spdlog::level::trace);
    }

    void configure(Options options) {
        const bool ansi = options.ansi && ::isatty(options.descriptor) == 1;
        output_->configure(
            options.descriptor,
            options.jsonl ? json_lines(options.local_time)
                          : readable_lines(options.local_time, ansi)
        );
        detail::span_events.store(options.span_events, std::memory_order_relaxed);
        (void)change_filter(std::move(options.filter), std::numeric_limits<std::size_t>::max());
    }

    /// False when there have been `most` already.
    bool change_filter(LogFilter filter, std::size_t most) {
        const std::lock_guard guard{filters_mutex_};
        if (filters_.size() >= most) return false;
        // Filters are few and never freed, so that a reader needs no lock and no count.
        filters_.push_back(std::make_unique<const LogFilter>(std::move(filter)));
        filter_.store(filters_.back().get(), std::memory_order_release);
        detail::threshold.store(filters_.back()->threshold(), std::memory_order_relaxed);
        return true;
    }

    bool allows(Severity severity, std::string_view target) const noexcept {
        return filter_.load(std::memory_order_acquire)->allows(severity, target);
    }

    /// `text`: the message and what line_of adds.
    void post(const detail::Line& from, std::string_view target, std::string_view text) {
        posted_.fetch_add(1, std::memory_order_relaxed);
        const spdlog::details::log_msg line{
            {from.where.file_name(), static_cast<int>(from.where.line()), from.where.function_name()
            },
            {target.data(), target.size()},
            level_of(from.severity),
            {text.data(), text.size()}
        };
        pool_->post_log(
            std::shared_ptr{logger_}, line, spdlog::async_overflow_policy::overrun_oldest
        );
    }

    /// A line that was posted ends up written or dropped.
    bool flush(Duration bound) {
        const auto target = posted_.load(std::memory_order_relaxed);
        return output_->wait_until(
            [&](std::uint64_t written) { return written + dropped() >= target; }, bound
        );
    }

    std::uint64_t dropped() const { return pool_->overrun_counter(); }

private:
    std::shared_ptr<Output> output_;
    std::shared_ptr<spdlog::details::thread_pool> pool_;
    std::shared_ptr<spdlog::async_logger> logger_;
    std::atomic<const LogFilter*> filter_{nullptr};
    std::mutex filters_mutex_;
    std::vector<std::unique_ptr<const LogFilter>> filters_;
    std::atomic<std::uint64_t> posted_{0};
};

constinit std::atomic<Logger*> current{nullptr};

/// Where copies go. Looked at without a lock while there are none.
class Copies {
public:
    void set(const std::shared_ptr<LogQueue>& queue) {
        const std::lock_guard guard{mutex_};
        queue_ = queue;
        wanted_.store(queue != nullptr, std::memory_order_release);
    }
    void push(const detail::Line& line, std::string_view message) {
        if (!wanted_.load(std::memory_order_acquire)) return;
        std::shared_ptr<LogQueue> queue;
        {
            const std::lock_guard guard{mutex_};
            queue = queue_.lock();
            if (!queue) wanted_.store(false, std::memory_order_relaxed);
        }
        if (queue) queue->push(line.severity, line.target, message, line.span);
    }

private:
    std::atomic<bool> wanted_{false};
    std::mutex mutex_;
    std::weak_ptr<LogQueue> queue_;
};

Copies& copies() {
    static auto& all = *new Copies;  // threads that outlive main still log
    return all;
}

Logger* make_logger() {
    const AllSignalsBlocked blocked;
    try {
        return new Logger;
    } catch (const std::exception& error) {  // spdlog has a type of its own for this
        throw Error{
            ErrorCode::internal, "log.thread", fmt::format("cannot start logging: {}", error.what())
        };
    }
}

/// For programs that end by return from main: what was logged last is worth a moment.
void flush_at_exit() { flush(std::chrono::milliseconds{200}); }

}  // namespace

void start(Options options) {
    static std::mutex starting;
    const std::lock_guard guard{starting};
    auto* logger = current.load(std::memory_order_acquire);
    if (logger != nullptr) return logger->configure(std::move(options));
    logger = make_logger();
    logger->configure(std::move(options));
    current.store(logger, std::memory_order_release);
    std::atexit(&flush_at_exit);
}

Result<void> set_filter(LogFilter filter) {
    auto* logger = current.load(std::memory_order_acquire);
    if (logger == nullptr || logger->change_filter(std::move(filter), max_filters)) return {};
    return fail(ErrorCode::overloaded, "log.changes", "the log filter has been changed too often");
}

void copy_to(const std::shared_ptr<LogQueue>& queue) { copies().set(queue); }

bool flush(Duration bound) noexcept {
    auto* logger = current.load(std::memory_order_acquire);
    try {
        return logger == nullptr || logger->flush(bound);
    } catch (const std::exception&) {
        return false;
    }
}

std::uint64_t dropped() noexcept {
    const auto* logger = current.load(std::memory_order_acquire);
    return logger == nullptr ? 0 : logger->dropped();
}

namespace detail {

constinit std::atomic<int> threshold{static_cast<int>(Severity::warn)};

bool allows(Severity severity, std::string_view target) noexcept {
    const auto* logger = current.load(std::memory_order_acquire);
    return logger == nullptr || logger->allows(severity, target);
}

constinit std::atomic<bool> span_events{false};

void write(const Line& line, fmt::string_view format, fmt::format_args args) noexcept {
    try {
        fmt::memory_buffer message;
        fmt::vformat_to(std::back_inserter(message), format, args);
        const auto shown = std::min(message.size(), max_message);
        auto text = one_line({message.data(), shown});
        if (shown < message.size())
            text += fmt::format("... ({} bytes more)", message.size() - shown);
        copies().push(line, text);
        if (auto* logger = current.load(std::memory_order_acquire)) {
            if (line.span != nullptr) text += with_span(*line.span);
            return logger->post(line, one_line(line.target), text);
        }
        write_all(
            STDERR_FILENO,
            fmt::format(
                "{} {}: {}\n",
                line.severity == Severity::warn ? "warning" : "error",
                line.target,
                text
            )
        );
    } catch (const std::exception&) {
        // No memory, or an argument whose formatter threw: the line is lost, the caller is not.
        return;
    }
}

}  // namespace detail

std::optional<std::uint64_t> Every::due() noexcept {
    const auto now = Clock::current().now().time_since_epoch().count();
    auto next = next_.load(std::memory_order_relaxed);
    if (now < next ||
        !next_.compare_exchange_strong(next, now + interval_, std::memory_order_relaxed)) {
        held_back_.fetch_add(1, std::memory_order_relaxed);
        return std::nullopt;
    }
    return held_back_.exchange(0, std::memory_order_relaxed);
}

}  // namespace stator::observe::log
