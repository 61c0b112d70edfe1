// LineWriter: lines for a terminal, pipe or file, without ever blocking a loop.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>

#include "stator/base/deadline.hpp"
#include "stator/runtime/cancellation_token.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/offload.hpp"
#include "stator/runtime/task.hpp"

namespace stator::cli {

/// Lines of many tasks, each whole. What is put is written as soon as the writing task gets its
/// turn; while an earlier write waits for the reader, lines gather and then leave together. At most
/// about 256 KiB gather: then `put` waits, so a slow reader slows the calls down and nothing else.
///
/// Owned by a command, which runs `run` in a scope and ends it with `finish`. Thread-safe.
class LineWriter {
public:
    /// `producers` is cancelled once nothing can be written any more, so that who has nothing to
    /// put at the moment ends, too.
    LineWriter(BlockingPool& pool, int fd, CancellationToken producers);
    LineWriter(const LineWriter&) = delete;
    LineWriter& operator=(const LineWriter&) = delete;

    /// Adds `line` and a line's end. Errors, detail "cli.output": `cancelled` once the other side
    /// reads no more, `internal` when writing fails. Cancel safety: throws `cancelled`; the line
    /// was taken.
    Task<> put(std::string line);

    /// Writes until `finish`. Runs beside the tasks that put. Not to be cancelled: `finish` ends
    /// it.
    Task<> run();
    /// What `put` throws, once it would throw.
    std::optional<Error> failure() const;
    /// No more lines come: waits until all are written. What is not at `deadline` is dropped.
    /// Throws as `put` does when something could not be written. Cancel safety: not interrupted.
    Task<> finish(Deadline deadline);

private:
    enum class Outcome : bool { written, failed };
    std::string take();
    Outcome write(const std::string& text) const;
    void wrote(Outcome outcome);
    Error output_error() const;

    BlockingPool& pool_;
    const int fd_;
    const CancellationToken producers_;
    mutable std::mutex lock_;  // guards what follows, up to `data_`
    std::string pending_;
    bool closed_ = false;
    mutable int error_number_ = 0;
    std::atomic<bool> failed_{false};
    std::atomic<bool> abandoned_{false};
    Event data_;
    Event room_;
    Event done_;
};

/// Writes all of `text` to stdout at once, for commands with one short answer.
/// Errors: unavailable "cli.output".
Result<void> print(const std::string& text);

}  // namespace stator::cli
