// A command that runs beside us and is waited for without blocking a loop.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "stator/base/deadline.hpp"
#include "stator/runtime/task.hpp"

namespace stator::cli {

/// A command and everything that it starts, and they start: a process whose parent ends becomes a
/// child of ours, so none gets away. (What others start for it, such as a service manager, is not
/// among them; one that changes its user may be out of reach of signals.) All of them end with this
/// object. The command itself is told to (SIGTERM) when the thread that started it ends; if that is
/// because this process was killed, the others are not.
///
/// The command has the standard streams and the process group of ours, so a terminal is as it was,
/// and default signals. On one loop. One at a time, in a process without other children.
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

    /// Until none of them is left. The command's status, as a shell tells it: what it exited with,
    /// or 128 and the number of the signal that ended it. Cancel safety: throws `cancelled`; they
    /// go on.
    Task<int> wait();
    /// Asks each of them once to end, and later those that one which has ended has left behind;
    /// kills at `deadline` whoever is there, and waits for that.
    Task<int> end(Deadline deadline);

private:
    ChildProcess(pid_t pid, int watched) noexcept : pid_{pid}, watched_{watched} {}
    void reap_command() noexcept;

    pid_t pid_;          // of the command; 0: reaped
    int status_ = 0;     // then
    int watched_;        // readable once it has ended
    bool over_ = false;  // none is left, or another object has them
};

}  // namespace stator::cli
