#include "stator/runtime/runtime.hpp"

#include <system_error>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include "runtime/runtime_state.hpp"
#include "stator/base/sink.hpp"
#include "stator/settings/settings.hpp"

namespace stator::inline runtime {

namespace {

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

std::shared_ptr<const settings::Settings> settings_of_process() {
    auto loaded = stator::settings::load_from_process();
    if (!loaded) throw loaded.error();
    return std::make_shared<const stator::settings::Settings>(std::move(*loaded));
}

std::shared_ptr<const settings::Settings> settings_for(const Runtime::Embedding& embedding) {
    return embedding.settings ? embedding.settings : settings_of_process();
}

Runtime::Options options_from(const settings::Settings& settings) {
    return {
        .primary_threads = settings.runtime.num_worker_threads,
        .secondary_threads = settings.runtime.secondary_threads,
        .blocking_threads = settings.runtime.max_blocking_threads,
        .graceful_timeout = settings.worker.graceful_shutdown_timeout,
        .busy_poll = settings.runtime.busy_poll,
        .timer_gap = settings.runtime.timer_gap,
        .compute_threads = settings.runtime.compute_threads,
        .compute_stack_size = settings.runtime.compute_stack_size,
        .compute_thread_prefix = settings.runtime.compute_thread_prefix,
        .stall_threshold = settings.runtime.stall_threshold,
    };
}

void refuse_on_a_loop(std::string_view what) {
    if (Loop::current() == nullptr) return;
    throw Error{
        ErrorCode::invalid_request,
        "runtime.would_block",
        fmt::format("{} on a loop's thread would stop the loop", what)
    };
}

}  // namespace

Runtime Runtime::start(Plan plan) {
    try {
        return Runtime{std::shared_ptr<State>{new State{plan}, &State::dispose}};
    } catch (const std::system_error& error) {
        throw Error{
            ErrorCode::internal, fmt::format("cannot start the runtime's threads: {}", error.what())
        };
    }
}

Runtime Runtime::create(Options options) {
    return start({
        .options = options,
        .settings = std::make_shared<const stator::settings::Settings>(),
    });
}

Runtime Runtime::from_settings(const settings::Settings& settings) {
    return start({
        .options = options_from(settings),
        .settings = std::make_shared<const stator::settings::Settings>(settings),
    });
}

Runtime Runtime::from_settings() { return from_settings(*settings_of_process()); }

Runtime Runtime::single_threaded() {
    return create({.primary_threads = 1, .secondary_threads = 1, .blocking_threads = 1});
}

Runtime Runtime::from_handle(const boost::asio::any_io_executor& executor, Embedding embedding) {
    const auto settings = settings_for(embedding);
    return start({
        .options = options_from(*settings),
        .settings = settings,
        .embedding = std::move(embedding),
        .host = &executor,
    });
}

Runtime Runtime::from_handle(const boost::asio::any_io_executor& executor) {
    return from_handle(executor, Embedding{});
}

Runtime Runtime::from_handle(boost::asio::io_context& context, Embedding embedding) {
    return from_handle(boost::asio::any_io_executor{context.get_executor()}, std::move(embedding));
}

Runtime Runtime::from_handle(boost::asio::io_context& context) {
    return from_handle(context, Embedding{});
}

Runtime Runtime::from_current(Embedding embedding) {
    Loop* const loop = Loop::current();
    if (loop == nullptr) {
        throw Error{
            ErrorCode::invalid_request,
            "runtime.no_loop",
            "from_current works inside a loop only; use from_handle for an executor of your own"
        };
    }
    const auto settings = settings_for(embedding);
    return start({
        .options = options_from(*settings),
        .settings = settings,
        .embedding = std::move(embedding),
        .borrowed = loop,
    });
}

Runtime Runtime::from_current() { return from_current(Embedding{}); }

void Handle::spawn(Task<> task) const {
    state_->spawn(state_->background, *pool_, contained(std::move(task)));
}

Loop& Handle::loop() const noexcept { return pool_->pick(); }
const std::string& Handle::id() const noexcept { return state_->id; }
BlockingPool& Handle::blocking() const noexcept { return state_->blocking; }

const std::string& Runtime::id() const noexcept { return state_->id; }
RuntimeType Runtime::type() const noexcept { return state_->primary.type(); }
const settings::Settings& Runtime::settings() const noexcept { return *state_->settings; }
Handle Runtime::primary() const noexcept { return Handle{state_->primary, *state_}; }
Handle Runtime::secondary() const noexcept { return Handle{state_->secondary, *state_}; }
BlockingPool& Runtime::blocking() const noexcept { return state_->blocking; }
BlockingPool& Runtime::computing() const noexcept {
    return state_->own_computing ? *state_->own_computing : state_->blocking;
}
std::optional<detail::InPlace> Runtime::in_place() const noexcept {
    if (!state_->primary.is_current()) return std::nullopt;
    return state_->in_place.take();
}
CancellationToken Runtime::primary_token() const noexcept { return state_->root; }
CancellationToken Runtime::child_token() const { return state_->root.child_token(); }
CancellationToken Runtime::requests_token() const noexcept { return state_->requests; }
CancellationToken Runtime::transports_token() const noexcept { return state_->transports; }
Duration Runtime::graceful_timeout() const noexcept { return state_->options.graceful_timeout; }
ShutdownCounts& Runtime::shutdown_counts() const noexcept { return state_->counts; }

std::vector<Loop*> Runtime::loops() const { return state_->loops(); }

std::size_t Runtime::loop_slots() const noexcept {
    auto& last = state_->secondary;
    return last[last.size() - 1].index() + 1;
}

void Runtime::shutdown() const noexcept { state_->shutdown(); }

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
    refuse_on_a_loop("block_on");
    state_->spawn(state_->background, state_->primary, std::move(task));
}

void Runtime::start_application(Task<> task) const {
    state_->spawn(state_->applications, state_->primary, std::move(task));
}

bool Runtime::shutdown_and_wait(Deadline deadline) const {
    refuse_on_a_loop("shutdown_and_wait");
    state_->shutdown();
    const auto until = earliest(deadline, shutdown_deadline());
    return state_->end(until, until);
}

std::future<bool> Runtime::shutdown_async(Deadline deadline) const {
    return std::async(std::launch::async, [runtime = *this, deadline] {
        return runtime.shutdown_and_wait(deadline);
    });
}

void Runtime::stop() const noexcept {
    state_->shutdown();
    // What is left of a runtime that was not asked to end in time is not waited for that long.
    constexpr Duration at_most = std::chrono::seconds{5};
    (void)state_->end(earliest(Deadline::in(at_most), shutdown_deadline()), Deadline::never());
}

namespace detail {

void BlockedThread::release() {
    // Notified under the lock: once it is released, the waiting thread may destroy this object.
    const std::lock_guard guard{lock_};
    released_ = true;
    changed_.notify_all();
}

void BlockedThread::wait() {
    std::unique_lock guard{lock_};
    changed_.wait(guard, [this] { return released_; });
}

bool BlockedThread::wait_until(Deadline deadline) {
    if (deadline.is_never()) {
        wait();
        return true;
    }
    std::unique_lock guard{lock_};
    return changed_.wait_for(guard, deadline.remaining(), [this] { return released_; });
}

}  // namespace detail

}  // namespace stator::inline runtime
