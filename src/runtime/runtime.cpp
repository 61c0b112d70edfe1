#include "stator/runtime/runtime.hpp"

#include <algorithm>
#include <mutex>
#include <ranges>
#include <system_error>

#include <fmt/format.h>

#include "stator/base/request_id.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/settings/settings.hpp"

namespace stator::inline runtime {

using namespace std::chrono_literals;

namespace {

std::size_t threads_or_cores(std::size_t threads) {
    return threads != 0 ? threads : std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

/// One background task's failure is its own.
Task<> contained(Task<> task) {
    if (auto ended = co_await as_result(std::move(task));
        !ended && ended.error().code() != ErrorCode::cancelled) {
        sink().report(
            Severity::error,
            "stator::runtime",
            fmt::format("a task failed: {}", ended.error().what())
        );
    }
}

/// Blocks this thread, which is none of the loops', until `task` has ended and is gone.
void run_to_end(Loop& loop, Task<> task) noexcept {
    std::optional<Result<void>> outcome;
    std::exception_ptr failure;
    detail::BlockedThread blocked;
    TaskScope scope;
    scope.spawn_on(loop, detail::run_and_release(std::move(task), &outcome, &failure, &blocked));
    blocked.wait();
    while (scope.size() != 0) std::this_thread::yield();  // only its frame is still on the way out
}

}  // namespace

/// Declared in the order in which things are needed, so destroyed in the order in which they may
/// go.
struct Runtime::State {
    State(Options options_, std::shared_ptr<const settings::Settings> settings_)
        : options{options_},
          id{RequestId::random().to_string()},
          settings{std::move(settings_)},
          blocking{threads_or_cores(options.blocking_threads)},
          primary{LoopPool::Options{
              .count = threads_or_cores(options.primary_threads),
              .name = "primary",
              .first_index = 0,
              .busy_poll = options.busy_poll,
          }},
          secondary{LoopPool::Options{
              .count = options.secondary_threads,
              .name = "secondary",
              .first_index = primary.size(),
              .busy_poll = {},
          }},
          scope{lifetime} {}
    ~State();

    static void dispose(State* state) noexcept;
    void stop() noexcept;
    void stop_loops() noexcept;
    Task<> tear_down(Deadline deadline);

    const Options options;
    const std::string id;
    const std::shared_ptr<const settings::Settings> settings;
    const CancellationToken lifetime = CancellationToken::make();
    const CancellationToken root = lifetime.child_token();
    const CancellationToken requests = lifetime.child_token();
    const CancellationToken transports = lifetime.child_token();
    BlockingPool blocking;
    LoopPool primary;
    LoopPool secondary;

    std::mutex lock;  // guards what follows, up to `counts`
    Deadline deadline;
    std::vector<std::shared_ptr<ShutdownParticipant>> participants;
    std::vector<std::shared_ptr<ShutdownParticipant>> copy_of_participants();
    bool stopped = false;
    ShutdownCounts counts;

    TaskScope scope;  // the application's background tasks
};

Runtime::State::~State() { stop(); }

/// The last handle may die inside one of our own tasks, whose thread cannot join itself: then
/// another thread does.
void Runtime::State::dispose(State* state) noexcept {
    if (!state->primary.is_current() && !state->secondary.is_current()) {
        delete state;
        return;
    }
    std::thread{[state] { delete state; }}.detach();
}

std::vector<std::shared_ptr<ShutdownParticipant>> Runtime::State::copy_of_participants() {
    const std::lock_guard guard{lock};
    return participants;
}

Task<> Runtime::State::tear_down(Deadline until) {
    for (auto& participant : copy_of_participants() | std::views::reverse) {
        if (auto ended = co_await as_result(participant->tear_down(until)); !ended) {
            sink().report(
                Severity::warn, "stator::runtime", fmt::format("teardown: {}", ended.error().what())
            );
        }
    }
}

void Runtime::State::stop_loops() noexcept {
    requests.cancel(CancelReason::shutdown);
    transports.cancel(CancelReason::shutdown);
    lifetime.cancel(CancelReason::shutdown);
    run_to_end(secondary[0], scope.close(CancelReason::shutdown));
    primary.stop();
    secondary.stop();
}

void Runtime::State::stop() noexcept {
    {
        const std::lock_guard guard{lock};
        if (std::exchange(stopped, true)) return;
    }
    root.cancel(CancelReason::shutdown);
    run_to_end(secondary[0], tear_down(Deadline::in(5s)));
    stop_loops();
}

Runtime Runtime::start(Options options, std::shared_ptr<const settings::Settings> settings) {
    try {
        auto* state = new State{options, std::move(settings)};
        return Runtime{std::shared_ptr<State>{state, &State::dispose}};
    } catch (const std::system_error& error) {
        throw Error{
            ErrorCode::internal, fmt::format("cannot start the runtime's threads: {}", error.what())
        };
    }
}

Runtime Runtime::create(Options options) {
    return start(options, std::make_shared<stator::settings::Settings>());
}

Runtime Runtime::from_settings(const settings::Settings& settings) {
    const Options options{
        .primary_threads = settings.runtime.num_worker_threads,
        .secondary_threads = settings.runtime.secondary_threads,
        .blocking_threads = settings.runtime.max_blocking_threads,
        .graceful_timeout = settings.worker.graceful_shutdown_timeout,
        .busy_poll = settings.runtime.busy_poll,
    };
    return start(options, std::make_shared<stator::settings::Settings>(settings));
}

Runtime Runtime::from_settings() {
    auto loaded = stator::settings::load_from_process();
    if (!loaded) throw loaded.error();
    return from_settings(*loaded);
}

Runtime Runtime::single_threaded() {
    return create({.primary_threads = 1, .secondary_threads = 1, .blocking_threads = 1});
}

void Handle::spawn(Task<> task) const {
    scope_->spawn_on(pool_->pick(), contained(std::move(task)));
}

Loop& Handle::loop() const noexcept { return pool_->pick(); }

const std::string& Runtime::id() const noexcept { return state_->id; }
const settings::Settings& Runtime::settings() const noexcept { return *state_->settings; }
Handle Runtime::primary() const noexcept { return Handle{state_->primary, state_->scope}; }
Handle Runtime::secondary() const noexcept { return Handle{state_->secondary, state_->scope}; }
BlockingPool& Runtime::blocking() const noexcept { return state_->blocking; }
CancellationToken Runtime::primary_token() const noexcept { return state_->root; }
CancellationToken Runtime::child_token() const { return state_->root.child_token(); }
CancellationToken Runtime::requests_token() const noexcept { return state_->requests; }
CancellationToken Runtime::transports_token() const noexcept { return state_->transports; }
Duration Runtime::graceful_timeout() const noexcept { return state_->options.graceful_timeout; }
ShutdownCounts& Runtime::shutdown_counts() const noexcept { return state_->counts; }

void Runtime::shutdown() const noexcept {
    {
        const std::lock_guard guard{state_->lock};
        if (state_->deadline.is_never())
            state_->deadline = Deadline::in(state_->options.graceful_timeout);
    }
    state_->root.cancel(CancelReason::shutdown);
}

Deadline Runtime::shutdown_deadline() const noexcept {
    const std::lock_guard guard{state_->lock};
    return state_->deadline;
}

void Runtime::add_participant(std::shared_ptr<ShutdownParticipant> participant) const {
    const std::lock_guard guard{state_->lock};
    state_->participants.push_back(std::move(participant));
}

Task<> Runtime::tear_down(Deadline deadline) const { return state_->tear_down(deadline); }

std::vector<std::string> Runtime::unfinished() const {
    std::vector<std::string> names;
    for (const auto& participant : state_->copy_of_participants()) {
        auto more = participant->unfinished();
        names.insert(
            names.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end())
        );
    }
    return names;
}

void Runtime::start_blocking(Task<> task) const {
    if (Loop::current() != nullptr) {
        throw Error{
            ErrorCode::invalid_request,
            "runtime.would_block",
            "block_on on a loop's thread would stop the loop"
        };
    }
    state_->scope.spawn_on(state_->primary.pick(), std::move(task));
}

void Runtime::stop() const noexcept { state_->stop(); }

namespace detail {

void BlockedThread::release() {
    // Notified under the lock: once it is released, the waiting thread may destroy this object.
    const std::lock_guard guard{lock_};
    released_ = true;
    changed_.notify_one();
}

void BlockedThread::wait() {
    std::unique_lock guard{lock_};
    changed_.wait(guard, [this] { return released_; });
}

}  // namespace detail

}  // namespace stator::inline runtime
