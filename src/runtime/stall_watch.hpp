// StallWatch: notices what holds a loop.
#pragma once

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "runtime/stack_of_thread.hpp"
#include "stator/runtime/loop.hpp"

namespace stator::inline runtime::detail {

/// A thread that looks at its loops twice in each `threshold`. A loop that has been in the same
/// step of a task for longer than that is counted (`runtime_stalls_total`; the longest so far in
/// `runtime_longest_stall_seconds`), and reported with its stack, once per site: the function of
/// the task that the loop resumed. The loops must outlive it.
class StallWatch {
public:
    /// Throws std::system_error when the thread cannot be made.
    StallWatch(std::vector<Loop*> loops, Duration threshold);
    StallWatch(const StallWatch&) = delete;
    StallWatch& operator=(const StallWatch&) = delete;
    ~StallWatch();

private:
    struct Watched {
        Loop* loop = nullptr;
        Loop::Step step{};
        TimePoint since{};
        bool reported = false;
    };
    void run();
    void look_at(Watched& watched, TimePoint now);
    void report(Loop& loop);
    void note_length(Duration length);

    const Duration threshold_;
    StackReader stacks_;
    std::vector<Watched> watched_;
    std::set<const void*> sites_;
    Duration longest_{};
    std::mutex lock_;
    std::condition_variable ending_changed_;
    bool ending_ = false;
    std::thread thread_;
};

}  // namespace stator::inline runtime::detail
