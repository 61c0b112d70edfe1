// Signals as readable events.
#pragma once

#include <chrono>
#include <optional>

#include "stator/base/deadline.hpp"

namespace stator::inline worker {

/// Blocks SIGINT, SIGTERM and SIGUSR1 in this thread and those it makes, ignores SIGPIPE, and hands
/// the blocked ones out one by one, together with the ends of what runs on other threads. Used by
/// one thread.
class SignalQueue {
public:
    SignalQueue();
    SignalQueue(const SignalQueue&) = delete;
    SignalQueue& operator=(const SignalQueue&) = delete;
    ~SignalQueue();

    enum class Kind { signal, done, deadline };
    struct Event {
        Kind kind;
        int signal = 0;
    };
    /// The next signal, `notify_done`, or the deadline; whichever is first.
    Event wait(Deadline deadline);
    /// Makes `wait` return `done`, once. Any thread.
    void notify_done() noexcept;

private:
    int signals_ = -1;
    int done_ = -1;
};

}  // namespace stator::inline worker
