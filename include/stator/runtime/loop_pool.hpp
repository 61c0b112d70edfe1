// A fixed number of loops, each on a thread of its own.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "stator/runtime/loop.hpp"

namespace stator::inline runtime {

/// The loops run from construction until `stop`. Thread-safe apart from construction and `stop`.
class LoopPool {
public:
    struct Options {
        std::size_t count = 1;
        std::string name = "loop";
        std::size_t first_index = 0;
        Duration busy_poll{};  ///< of each loop, see BusyPoll
    };
    /// `count` >= 1 threads named `name`-0, `name`-1, ...; the loops' indices count from
    /// `first_index`. They take no signals but their own faults. Throws std::system_error when a
    /// thread cannot be made.
    explicit LoopPool(Options options);
    LoopPool(std::size_t count, std::string name)
        : LoopPool{Options{.count = count, .name = std::move(name)}} {}
    LoopPool(const LoopPool&) = delete;
    LoopPool& operator=(const LoopPool&) = delete;
    ~LoopPool();

    std::size_t size() const noexcept { return loops_.size(); }
    Loop& operator[](std::size_t index) noexcept { return *loops_[index]; }
    /// The loop with the least waiting, by turns when they are equal.
    Loop& pick() noexcept;
    /// Whether the calling thread is one of the pool's.
    bool is_current() const noexcept;
    /// Ends the loops and joins their threads. Not from one of them.
    void stop() noexcept;
    /// Asks the loops to end, without waiting.
    void request_stop() noexcept;

private:
    std::vector<std::unique_ptr<Loop>> loops_;
    std::vector<std::thread> threads_;
    std::atomic<std::size_t> next_{0};
};

}  // namespace stator::inline runtime
