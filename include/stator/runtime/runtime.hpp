// Runtime: the local half. Two pools of threads, the token tree, and the scope that owns background
// tasks.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/deadline.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/offload.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator::settings {
struct Settings;
}

namespace stator::inline runtime {

class Runtime;

/// What a layer above has to do at the end of the process. Called after the application has ended.
class ShutdownParticipant {
public:
    virtual ~ShutdownParticipant() = default;
    /// Cuts transports, revokes leases; on the secondary pool, must end by `deadline`. Must not
    /// throw.
    virtual Task<> tear_down(Deadline deadline) = 0;
    /// What still runs, for the last log line of a process that has run out of time. Any thread.
    virtual std::vector<std::string> unfinished() const = 0;
};

/// What became of requests that did not end by themselves during the shutdown.
struct ShutdownCounts {
    std::atomic<std::uint64_t> stopped{0};
    std::atomic<std::uint64_t> killed{0};
};

/// One of the two pools, for starting work on it. A cheap copy over the runtime's state;
/// thread-safe.
class Handle {
public:
    /// Starts `task` on the least busy loop of the pool. The runtime owns it: it runs under the
    /// lifetime token and is cancelled and joined when the runtime stops; its error is reported and
    /// does not stop others.
    void spawn(Task<> task) const;
    /// A loop of the pool: the least busy one.
    Loop& loop() const noexcept;
    std::size_t size() const noexcept { return pool_->size(); }
    Loop& loop(std::size_t index) const noexcept { return (*pool_)[index]; }

private:
    friend class Runtime;
    Handle(LoopPool& pool, TaskScope& scope) noexcept : pool_{&pool}, scope_{&scope} {}
    LoopPool* pool_;
    TaskScope* scope_;
};

/// A cheap copy over shared state; thread-safe. Made by one of the factories, ended by `stop`
/// (Worker does it).
///
/// Tokens (docs/cancellation.md): a hidden lifetime token is the parent of three: `primary_token`
/// (the root: asked to end, stop accepting), `requests_token` (every request's) and
/// `transports_token` (connections, keep-alives, watches). Shutdown cancels them in that order.
class Runtime {
public:
    struct Options {
        std::size_t primary_threads = 0;  ///< 0: one per core
        std::size_t secondary_threads = 1;
        std::size_t blocking_threads = 0;  ///< 0: one per core
        /// From the request to end until everything must have ended.
        Duration graceful_timeout = std::chrono::seconds{30};
        Duration busy_poll{};  ///< of the primary loops, see BusyPoll; zero: never
    };
    /// Throws Error{internal} when threads cannot be made.
    static Runtime create(Options options);
    /// From the layered settings of this process. Throws Error{invalid_request} naming the bad
    /// setting.
    static Runtime from_settings();
    static Runtime from_settings(const settings::Settings& settings);
    /// One primary loop, one secondary.
    static Runtime single_threaded();

    const std::string& id() const noexcept;
    const settings::Settings& settings() const noexcept;
    /// The pool for requests and the application.
    Handle primary() const noexcept;
    /// The pool for keep-alives, watches, health: never starved by the primary one.
    Handle secondary() const noexcept;
    BlockingPool& blocking() const noexcept;

    /// The root: cancelled first when the process is asked to end.
    CancellationToken primary_token() const noexcept;
    /// A new child of the root, for a component, an endpoint, a piece of the application.
    CancellationToken child_token() const;
    CancellationToken requests_token() const noexcept;
    CancellationToken transports_token() const noexcept;

    /// A handle that does not keep the runtime alive: for what the runtime itself owns.
    Runtime unowned() const noexcept {
        return Runtime{std::shared_ptr<State>{std::shared_ptr<void>{}, state_.get()}};
    }

    /// Asks for the end: starts the clock of the one deadline that all phases share, then cancels
    /// the root. Returns at once; idempotent.
    void shutdown() const noexcept;
    /// When everything must have ended; never, before `shutdown`.
    Deadline shutdown_deadline() const noexcept;
    Duration graceful_timeout() const noexcept;
    ShutdownCounts& shutdown_counts() const noexcept;
    /// Kept until the runtime is gone. A participant holds an `unowned` runtime, or neither would
    /// ever go.
    void add_participant(std::shared_ptr<ShutdownParticipant> participant) const;
    /// Lets the participants tear down (each must be idempotent), last come first. Never throws.
    Task<> tear_down(Deadline deadline) const;
    std::vector<std::string> unfinished() const;

    /// Runs `task` on a primary loop and blocks the calling thread until it ends. Not from a loop's
    /// thread (Error{invalid_request}). Throws what the task threw.
    template <class T>
    T block_on(Task<T> task) const;

    /// Tears down what is left, cancels everything, waits for the runtime's tasks, stops and joins
    /// the loops. Idempotent; not from a loop's thread. A runtime whose last handle dies without
    /// `stop` is stopped then.
    void stop() const noexcept;

private:
    struct State;
    static Runtime start(Options options, std::shared_ptr<const settings::Settings> settings);
    explicit Runtime(std::shared_ptr<State> state) noexcept : state_{std::move(state)} {}
    void start_blocking(Task<> task) const;
    std::shared_ptr<State> state_;
};

namespace detail {

/// Where block_on's thread waits.
class BlockedThread {
public:
    void release();
    void wait();

private:
    std::mutex lock_;
    std::condition_variable changed_;
    bool released_ = false;
};

template <class T>
Task<> run_and_release(
    Task<T> task,
    std::optional<Result<T>>* outcome,
    std::exception_ptr* foreign,
    BlockedThread* blocked
) {
    try {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(task);
            outcome->emplace();
        } else {
            outcome->emplace(co_await std::move(task));
        }
    } catch (...) {
        *foreign = std::current_exception();
    }
    blocked->release();
}

}  // namespace detail

template <class T>
T Runtime::block_on(Task<T> task) const {
    std::optional<Result<T>> outcome;
    std::exception_ptr failure;
    detail::BlockedThread blocked;
    start_blocking(detail::run_and_release(std::move(task), &outcome, &failure, &blocked));
    blocked.wait();
    if (failure) std::rethrow_exception(failure);
    if constexpr (!std::is_void_v<T>) return std::move(**outcome);
}

}  // namespace stator::inline runtime
