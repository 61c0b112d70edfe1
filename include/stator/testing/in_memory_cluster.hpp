// InMemoryCluster: several members of a cluster inside one test.
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "stator/component/distributed_runtime.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::testing {

/// A runtime and a memory store of its own. Each `join` is one more member, with its own listener
/// on loopback, its own connections and instance id, as a process of its own would be. Ends
/// everything when it goes; any number of them may exist.
///
///     InMemoryCluster cluster;
///     cluster.run(serve_and_call(&cluster));
class InMemoryCluster {
public:
    struct Options {
        std::size_t threads = 1;
        Duration graceful_timeout = std::chrono::seconds{5};
        /// What a test may take at most.
        Duration limit = std::chrono::seconds{20};
    };
    InMemoryCluster() : InMemoryCluster{Options{}} {}
    explicit InMemoryCluster(Options options);
    InMemoryCluster(const InMemoryCluster&) = delete;
    InMemoryCluster& operator=(const InMemoryCluster&) = delete;
    ~InMemoryCluster();

    const Runtime& runtime() const noexcept { return runtime_; }
    Task<DistributedRuntime> join() const;
    /// Runs `task` on a primary loop; its result, or what it threw; Error{deadline_exceeded} after
    /// the limit. Not from a loop's thread.
    template <class T>
    T run(Task<T> task) const {
        return runtime_.block_on(with_deadline(Deadline::in(limit_), std::move(task)));
    }

private:
    Duration limit_;
    std::string store_;
    Runtime runtime_;
};

}  // namespace stator::testing
