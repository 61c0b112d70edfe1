// A command that runs beside us and is waited for without blocking a loop.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "stator/base/deadline.hpp"
#include "stator/runtime/task.hpp"

namespace stator::cli {

/// The process ends with this object, and is told to (SIGTERM) when the thread that started it
/// ends. It has the standard streams and the process group of ours, and default signals. On one
/// loop.
class ChildProcess {
public:
    /// Finds the program as a shell does. `environment` has lines "NAME=value" besides ours.
    /// Errors: not_found "cli.command" (no such program); invalid_request "cli.command" (it cannot
    /// be run).
    static ChildProcess start(
        const std::vector<std::string>& command, const std::vector<std::string>& environment
    );
    ChildProcess(ChildProcess&& other) noexcept;
    ChildProcess& operator=(ChildProcess&&) = delete;
    ~ChildProcess();

    void signal(int number) const noexcept;
    /// As a shell tells it: what it exited with, or 128 and the number of the signal that ended it.
    /// Cancel safety: throws `cancelled`; it goes on.
    Task<int> wait();
    /// Asks it to end, kills it at `deadline`, and waits for that.
    Task<int> end(Deadline deadline);

private:
    ChildProcess(pid_t pid, int watched) noexcept : pid_{pid}, watched_{watched} {}
    int reap() noexcept;

    pid_t pid_;    // 0: reaped
    int watched_;  // readable once it has ended
};

}  // namespace stator::cli
