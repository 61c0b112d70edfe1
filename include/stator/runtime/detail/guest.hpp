// A loop that lives on an executor of somebody else's. Included by sources of runtime and by
// runtime/asio.hpp only.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include "stator/runtime/loop.hpp"

namespace stator::inline runtime::detail {

/// Runs the turns of its loop as batches on a strand of the host's executor, one at a time whatever
/// threads the host has; while a batch runs the loop is the current one of that thread. Held by the
/// loop and by whatever waits at the host, so the loop may go first: what comes later finds it
/// gone.
class Guest : public std::enable_shared_from_this<Guest> {
public:
    Guest(Loop& loop, const boost::asio::any_io_executor& host);

    /// For making sockets and timers; their completions come through `dispatch`.
    const boost::asio::any_io_executor& host() const noexcept { return host_; }

    /// Runs `work` in the loop: at once when that is the current one, else on the strand. Any
    /// thread.
    template <class F>
    void dispatch(F&& work) {
        if (Loop::current() == &loop_) return std::forward<F>(work)();
        boost::asio::dispatch(strand_, in_loop(std::forward<F>(work)));
    }
    template <class F>
    void post(F&& work) {
        boost::asio::post(strand_, in_loop(std::forward<F>(work)));
    }

    /// Makes the loop's next batch run. Any thread.
    void post_batch();
    /// Makes a batch run at `when` or earlier. The loop's own thread.
    void wake_at(TimePoint when);
    /// Runs what is ready on the calling thread, for when nobody may run the host any more; false
    /// if somebody does right now.
    bool run_here();
    /// Waits for a batch that runs and lets none run after it. Not from within one.
    void close() noexcept;

private:
    template <class F>
    auto in_loop(F&& work) {
        return [self = shared_from_this(), work = std::forward<F>(work)]() mutable {
            const std::lock_guard guard{self->running_};
            if (self->closed_) return;
            self->begin();
            std::move(work)();
            self->end();
        };
    }
    void begin() noexcept;
    void end() noexcept;
    void run_batch();

    Loop& loop_;
    boost::asio::any_io_executor host_;
    boost::asio::strand<boost::asio::any_io_executor> strand_;
    /// While there is something in it, the host's `run` and `poll` do not take themselves for ended
    /// when all tasks wait for other threads.
    boost::asio::any_io_executor work_;
    boost::asio::steady_timer timer_;
    TimePoint armed_ = TimePoint::max();  // when `timer_` fires; max: not waiting
    std::mutex running_;                  // held by whoever runs the loop
    bool closed_ = false;                 // guarded by it
};

}  // namespace stator::inline runtime::detail
