// What the handles of a runtime share.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/stall_watch.hpp"
#include "stator/runtime/runtime.hpp"

namespace stator::inline runtime {

/// What a runtime is made of. Primary: threads of its own, unless `host` or `borrowed` is set.
struct Runtime::Plan {
    Options options;
    std::shared_ptr<const settings::Settings> settings;
    Embedding embedding{};
    const boost::asio::any_io_executor* host = nullptr;
    Loop* borrowed = nullptr;
};

/// Declared in the order in which things are needed, so destroyed in the order in which they may
/// go. Thread-safe.
struct Runtime::State {
    explicit State(const Plan& plan);
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() = default;

    /// For the last handle, wherever that dies.
    static void dispose(State* state) noexcept;

    /// Throws Error{unavailable} once nothing may be started any more.
    void spawn(TaskScope& into, LoopPool& pool, Task<> task);
    void shutdown() noexcept;
    Task<> tear_down(Deadline until);
    std::vector<Loop*> loops();
    std::vector<std::shared_ptr<ShutdownParticipant>> copy_of_participants();
    /// Ends everything; the phases share `until`. False when it has not come about by `patience`.
    bool end(Deadline until, Deadline patience) noexcept;

    const Options options;
    const std::string id;
    const std::shared_ptr<const settings::Settings> settings;
    const CancellationToken lifetime = CancellationToken::make();
    const CancellationToken root = lifetime.child_token();
    const CancellationToken requests = lifetime.child_token();
    const CancellationToken transports = lifetime.child_token();
    BlockingPool blocking;
    const std::unique_ptr<BlockingPool> own_computing;
    LoopPool primary;
    LoopPool secondary;
    detail::InPlacePermits in_place;
    std::unique_ptr<detail::StallWatch> stalls;

    std::mutex lock;  // guards what follows, up to `counts`
    Deadline deadline;
    std::vector<std::shared_ptr<ShutdownParticipant>> participants;
    bool sealed = false;  // nothing more is started
    bool ending = false;
    ShutdownCounts counts;

    TaskScope applications;  // told by the root, joined first
    TaskScope background;    // what Handle::spawn started

private:
    bool help() noexcept;
    void seal() noexcept;
    bool wait(detail::BlockedThread& blocked, Deadline patience) noexcept;
    Task<> run_to_end(Deadline until);
    void join_loops() noexcept;

    std::mutex joining_;
    bool joined_ = false;  // guarded by it
    detail::BlockedThread ended_;
    TaskScope last_;  // the task that ends everything else
};

}  // namespace stator::inline runtime
