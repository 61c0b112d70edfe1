// Runtime: the local half. Two pools of loops, the token tree, and the scopes that own background
// tasks.
#pragma once

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/deadline.hpp"
#include "stator/runtime/detail/blocked_thread.hpp"
#include "stator/runtime/detail/in_place.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/offload.hpp"
#include "stator/runtime/task_scope.hpp"

namespace boost::asio {
class any_io_executor;
class io_context;
}  // namespace boost::asio

namespace stator::settings {
struct Settings;
}

namespace stator::inline runtime {

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

class Handle;

/// A cheap copy over shared state; thread-safe. Made by one of the factories, ended by
/// `shutdown_and_wait` or `stop` (Worker does it). docs/embedding.md shows it in applications that
/// have loops of their own.
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
        Duration timer_gap = std::chrono::microseconds{200};  ///< of all loops, see Loop::Options
        std::size_t compute_threads = 0;  ///< 0: computation goes to the blocking threads
        std::size_t compute_stack_size = std::size_t{2} << 20U;
        std::string compute_thread_prefix = "compute";
        /// How long a step of a task may hold its loop before that is reported; zero: for ever.
        Duration stall_threshold{};
    };
    /// How a runtime lives inside an application that has loops of its own.
    struct Embedding {
        /// Loops on the executor: as many tasks run at once, each loop on one thread at a time.
        std::size_t loops = 1;
        /// The secondary pool lives there, too, instead of on threads of its own: nothing keeps
        /// leases and watches alive then while the application holds its executor.
        bool share_secondary = false;
        /// Null: those of this process, as `from_settings`.
        std::shared_ptr<const settings::Settings> settings{};
    };

    /// Throws Error{internal} when threads cannot be made.
    static Runtime create(Options options);
    /// From the layered settings of this process. Throws Error{invalid_request} naming the bad
    /// setting.
    static Runtime from_settings();
    static Runtime from_settings(const settings::Settings& settings);
    /// One primary loop, one secondary.
    static Runtime single_threaded();

    /// External: the primary loops run on `executor`, which must outlive the runtime, keep running
    /// until it has ended, and is never stopped by it. It may have any number of threads: each loop
    /// is wrapped in a strand. Errors as from_settings.
    static Runtime from_handle(const boost::asio::any_io_executor& executor, Embedding embedding);
    static Runtime from_handle(const boost::asio::any_io_executor& executor);
    static Runtime from_handle(boost::asio::io_context& context, Embedding embedding);
    static Runtime from_handle(boost::asio::io_context& context);
    /// External: the primary loop is the one that runs this, which must run until the runtime has
    /// ended. Throws Error{invalid_request, "runtime.no_loop"} elsewhere; else as from_settings.
    static Runtime from_current(Embedding embedding);
    static Runtime from_current();

    const std::string& id() const noexcept;
    /// Who runs the primary loops.
    RuntimeType type() const noexcept;
    const settings::Settings& settings() const noexcept;
    /// The pool for requests and the application.
    Handle primary() const noexcept;
    /// The pool for keep-alives, watches, health: never starved by the primary one.
    Handle secondary() const noexcept;
    BlockingPool& blocking() const noexcept;
    /// The threads for computation; those of `blocking` if it has none of its own.
    BlockingPool& computing() const noexcept;
    /// A right to compute on this loop for a while, which at least one primary loop never gets;
    /// none when there is no more, or when this is not a primary loop.
    std::optional<detail::InPlace> in_place() const noexcept;
    /// Each loop once, those of the primary pool first.
    std::vector<Loop*> loops() const;
    /// Every loop's index is below: the size of a PerLoop.
    std::size_t loop_slots() const noexcept;

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
    /// thread (Error{invalid_request}), nor from the only thread that runs the executor of
    /// `from_handle`. Throws what the task threw; Error{unavailable} after the end.
    template <class T>
    T block_on(Task<T> task) const;

    /// Runs `task` on a primary loop, under the root: `shutdown` cancels it, and the end waits for
    /// it before the connections are cut. Any thread. The future has its result or what it threw;
    /// dropping the future changes nothing. Throws Error{unavailable} after the end.
    template <class T>
    std::future<T> spawn_future(Task<T> task) const;

    /// `shutdown`, then the whole way to the end: what `spawn_future` started ends by itself within
    /// 0.9 of the time, participants tear down, everything is cancelled, waited for and joined.
    /// False when that has not come about by `deadline` (or the runtime's own, if that is earlier):
    /// it goes on in the background, call it again or ask `unfinished`. Not from a loop's thread
    /// (Error{invalid_request}).
    bool shutdown_and_wait(Deadline deadline = Deadline::never()) const;
    /// The same on a thread of its own, for those who must not block: a program that polls its
    /// executor goes on polling until the future is ready.
    std::future<bool> shutdown_async(Deadline deadline = Deadline::never()) const;

    /// As `shutdown_and_wait`, for as long as it takes. Idempotent; not from a loop's thread. A
    /// runtime whose last handle dies without it is stopped then; inside one of its own tasks, too,
    /// where another thread does it.
    void stop() const noexcept;

private:
    friend class Handle;
    struct State;
    struct Plan;
    static Runtime start(Plan plan);
    explicit Runtime(std::shared_ptr<State> state) noexcept : state_{std::move(state)} {}
    void start_blocking(Task<> task) const;
    void start_application(Task<> task) const;
    std::shared_ptr<State> state_;
};

/// One of the two pools, for starting work on it. A cheap copy, valid while the runtime is;
/// thread-safe.
class Handle {
public:
    /// Starts `task` on the loop of the pool that comes to it first. The runtime owns it: it runs
    /// under the lifetime token and is cancelled and joined when the runtime stops; its error is
    /// reported and does not stop others. Throws Error{unavailable, "runtime.stopped"} once the
    /// runtime cancels these tasks, near its end.
    void spawn(Task<> task) const;
    /// The same for a task of `scope`, which must be joined before the runtime ends.
    void spawn(TaskScope& scope, Task<> task) const { scope.spawn_on(*pool_, std::move(task)); }
    /// Runs `work()` on a thread for calls that block and goes on here; see runtime/offload.hpp.
    template <class F>
    auto offload(F work) const {
        return runtime::offload(blocking(), std::move(work));
    }
    /// A loop of the pool: the least busy one.
    Loop& loop() const noexcept;
    std::size_t size() const noexcept { return pool_->size(); }
    Loop& loop(std::size_t index) const noexcept { return (*pool_)[index]; }
    /// The runtime's.
    const std::string& id() const noexcept;
    RuntimeType type() const noexcept { return pool_->type(); }

private:
    friend class Runtime;
    Handle(LoopPool& pool, Runtime::State& state) noexcept : pool_{&pool}, state_{&state} {}
    BlockingPool& blocking() const noexcept;
    LoopPool* pool_;
    Runtime::State* state_;
};

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

template <class T>
std::future<T> Runtime::spawn_future(Task<T> task) const {
    std::promise<T> promise;
    auto future = promise.get_future();
    start_application(detail::fulfil(std::move(task), std::move(promise)));
    return future;
}

}  // namespace stator::inline runtime
