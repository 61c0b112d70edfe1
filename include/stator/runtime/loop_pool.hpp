// A fixed number of loops: each on a thread of its own, or on an executor of somebody else's.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "stator/runtime/loop.hpp"

namespace stator::inline runtime {

/// Who runs the loops of a pool.
enum class RuntimeType : std::uint8_t {
    shared,    ///< Threads of the pool's own, shared by all handles of the runtime.
    external,  ///< The application's executor or loop: never started or stopped by the pool.
};

/// The loops run from construction until `stop`. Thread-safe apart from construction and `stop`.
class LoopPool {
public:
    struct Options {
        std::size_t count = 1;
        std::string name = "loop";
        std::size_t first_index = 0;
        Duration busy_poll{};  ///< of each loop, see BusyPoll
        Duration timer_gap{};  ///< of each loop, see Loop::Options
        /// Whose executor runs the loops, which then have no threads; copied, must outlive the
        /// pool.
        const boost::asio::any_io_executor* host = nullptr;
    };
    /// `count` >= 1 threads named `name`-0, `name`-1, ...; the loops' indices count from
    /// `first_index`. They take no signals but their own faults. Throws std::system_error when a
    /// thread cannot be made.
    explicit LoopPool(Options options);
    LoopPool(std::size_t count, std::string name)
        : LoopPool{Options{.count = count, .name = std::move(name)}} {}
    /// One loop that somebody else runs, and that outlives the pool.
    explicit LoopPool(Loop& borrowed);
    LoopPool(const LoopPool&) = delete;
    LoopPool& operator=(const LoopPool&) = delete;
    ~LoopPool();

    RuntimeType type() const noexcept { return type_; }
    std::size_t size() const noexcept { return loops_.size(); }
    Loop& operator[](std::size_t index) noexcept { return *loops_[index]; }
    /// The loop with the least waiting, by turns when they are equal.
    Loop& pick() noexcept;
    /// Has a task begun by whichever loop comes to it first: one that is held by another task does
    /// not keep it. Once begun it stays there.
    void start(detail::Unstarted task);
    /// Whether the calling thread is one of the pool's.
    bool is_current() const noexcept;
    /// Whether the calling thread runs the host's io_context at the moment. False when the host is
    /// something else: that cannot be asked.
    bool host_is_current() const noexcept;
    /// Ends the loops and joins their threads. Not from one of them. Of a host's loops: waits for
    /// what they run now and lets nothing run after it. A borrowed one goes on.
    void stop() noexcept;
    /// Asks the loops to end, without waiting.
    void request_stop() noexcept;
    /// Runs what is ready of a host's loops on this thread, for when nobody runs the host any more;
    /// true if there are such loops.
    bool help() noexcept;

private:
    void start_threads();

    RuntimeType type_ = RuntimeType::shared;
    detail::StartQueue starts_;
    std::vector<std::unique_ptr<Loop>> own_;
    std::vector<Loop*> loops_;
    std::vector<std::thread> threads_;
    std::atomic<std::size_t> next_{0};
};

}  // namespace stator::inline runtime
