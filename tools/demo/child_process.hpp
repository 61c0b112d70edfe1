// A program that runs beside this one, and never outlives it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "stator/base/deadline.hpp"
#include "stator/base/error.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task.hpp"

namespace stator::demo {

/// How a process ended.
struct ProcessEnd {
    bool by_signal = false;
    int number = 0;  ///< the signal, or the exit status

    bool exited_with(int status) const noexcept { return !by_signal && number == status; }
    bool killed_by(int signal) const noexcept { return by_signal && number == signal; }
    std::string to_string() const;  ///< "exit 0", "SIGKILL", "signal 7"
    friend bool operator==(const ProcessEnd&, const ProcessEnd&) = default;
};

/// Owned by whoever started it; its end (SIGKILL, if it still runs) is also the process's.
/// Loop-affine.
class ChildProcess {
public:
    struct Options {
        std::vector<std::string> arguments;  ///< the first one names the program
        std::vector<std::pair<std::string, std::string>>
            environment;               ///< beside what this process has
        std::filesystem::path output;  ///< stdout and stderr are appended to it
    };
    /// Starts it with default signals, no input and none of this process's descriptors.
    /// Throws Error{internal} "demo.spawn".
    ChildProcess(Loop& loop, const Options& options);
    ChildProcess(ChildProcess&&) noexcept;
    ChildProcess& operator=(ChildProcess&&) noexcept;
    ~ChildProcess();

    pid_t pid() const noexcept;
    /// Does nothing once its end has been seen.
    void signal(int number) const noexcept;
    /// Waits for its end. Errors: deadline_exceeded. Cancel safety: throws `cancelled`, the process
    /// goes on.
    Task<ProcessEnd> wait(Deadline deadline);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Called first thing in a child: it gets SIGKILL when the thread that started it, in process
/// `parent`, ends without having ended it. False when the parent has gone already.
bool end_with_parent(pid_t parent) noexcept;

}  // namespace stator::demo
