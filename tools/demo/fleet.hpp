// The demo's worker processes.
#pragma once

#include <signal.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/instance_id.hpp"
#include "tools/demo/child_process.hpp"

namespace stator::demo {

/// Up to four workers, numbered from 1. Ends those that still run when it goes. Loop-affine.
class Fleet {
public:
    static constexpr std::size_t size = 4;

    /// `corpus`: passed on to the workers, unless it is empty. Logs go into `folder`.
    Fleet(Loop& loop, std::filesystem::path folder, std::string corpus);

    /// Throws Error{internal} "demo.spawn".
    void start(std::size_t number);
    InstanceId id(std::size_t number) const noexcept { return ids_[number - 1]; }
    std::vector<InstanceId> ids() const { return {ids_.begin(), ids_.end()}; }
    /// The number of the worker with that id; 0: none.
    std::size_t number_of(InstanceId id) const noexcept;
    bool started(std::size_t number) const noexcept { return processes_[number - 1] != nullptr; }
    /// Only of started workers.
    pid_t pid(std::size_t number) const { return processes_[number - 1]->pid(); }
    void signal(std::size_t number, int signal) const { processes_[number - 1]->signal(signal); }
    Task<ProcessEnd> wait(std::size_t number, Deadline deadline) {
        return processes_[number - 1]->wait(deadline);
    }
    /// The end of a worker's log.
    std::vector<std::string> last_lines(std::size_t number, std::size_t count) const;

private:
    std::filesystem::path log_of(std::size_t number) const;

    Loop& loop_;
    std::filesystem::path folder_;
    std::string corpus_;
    std::array<InstanceId, size> ids_;
    std::array<std::unique_ptr<ChildProcess>, size> processes_;
};

}  // namespace stator::demo
