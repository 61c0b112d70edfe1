#include "runtime/runtime_state.hpp"

#include <algorithm>
#include <condition_variable>
#include <optional>
#include <ranges>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include "stator/base/request_id.hpp"
#include "stator/base/resource_limits.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/asio.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/settings/settings.hpp"

namespace stator::inline runtime {

using namespace std::chrono_literals;

namespace {

// How long a host that nobody runs any more is given when the last handle dies.
constexpr Duration host_patience = 5s;
// Between two looks at loops that only this thread may be left to run.
constexpr Duration help_period = 1ms;

std::size_t threads_or_cores(std::size_t threads) {
    return threads != 0 ? threads : usable_cores(resource_limits());
}

std::unique_ptr<BlockingPool> make_computing(const Runtime::Options& options) {
    if (options.compute_threads == 0) return nullptr;
    return std::make_unique<BlockingPool>(BlockingPool::Options{
        .threads = options.compute_threads,
        .name = options.compute_thread_prefix,
        .stack_size = options.compute_stack_size,
    });
}

LoopPool make_primary(const Runtime::Options& options, const auto& plan) {
    if (plan.borrowed != nullptr) return LoopPool{*plan.borrowed};
    return LoopPool{LoopPool::Options{
        .count =
            plan.host != nullptr ? plan.embedding.loops : threads_or_cores(options.primary_threads),
        .name = "primary",
        .first_index = 0,
        .busy_poll = options.busy_poll,
        .timer_gap = options.timer_gap,
        .host = plan.host,
    }};
}

LoopPool make_secondary(const Runtime::Options& options, const auto& plan, LoopPool& primary) {
    const bool shares = plan.embedding.share_secondary;
    if (shares && plan.borrowed != nullptr) return LoopPool{*plan.borrowed};
    return LoopPool{LoopPool::Options{
        .count = options.secondary_threads,
        .name = "secondary",
        .first_index = primary[primary.size() - 1].index() + 1,
        .busy_poll = {},
        .timer_gap = options.timer_gap,
        .host = shares ? plan.host : nullptr,
    }};
}

/// The threads that end runtimes whose last handle died inside one of their own tasks. The process
/// does not end under their feet: what they use would go before them.
class Undertakers {
public:
    Undertakers() = default;
    Undertakers(const Undertakers&) = delete;
    Undertakers& operator=(const Undertakers&) = delete;
    ~Undertakers() {
        std::unique_lock guard{lock_};
        left_.wait_for(guard, host_patience, [this] { return working_ == 0; });
    }
    template <class Work>
    void start(Work work) {
        {
            const std::lock_guard guard{lock_};
            ++working_;
        }
        std::thread{[this, work] {
            work();
            const std::lock_guard guard{lock_};
            --working_;
            left_.notify_all();
        }}.detach();
    }

private:
    std::mutex lock_;
    std::condition_variable left_;
    std::size_t working_ = 0;
};

Undertakers& undertakers() {
    static Undertakers all;
    return all;
}

}  // namespace

Runtime::State::State(const Plan& plan)
    : options{plan.options},
      id{RequestId::random().to_string()},
      settings{plan.settings},
      blocking{threads_or_cores(options.blocking_threads)},
      own_computing{make_computing(options)},
      primary{make_primary(options, plan)},
      secondary{make_secondary(options, plan, primary)},
      in_place{primary.size() - 1},
      applications{root},
      background{lifetime} {
    if (options.stall_threshold > Duration::zero())
        stalls = std::make_unique<detail::StallWatch>(loops(), options.stall_threshold);
}

std::vector<Loop*> Runtime::State::loops() {
    std::vector<Loop*> all;
    for (auto* pool : {&primary, &secondary}) {
        for (std::size_t i = 0; i < pool->size(); ++i) {
            if (std::ranges::find(all, &(*pool)[i]) == all.end()) all.push_back(&(*pool)[i]);
        }
    }
    return all;
}

/// The last handle may die inside one of our own tasks, whose thread cannot join itself, or in a
/// handler of the host's that keeps the host from running our loops: then another thread ends the
/// runtime.
void Runtime::State::dispose(State* state) noexcept {
    const auto end = [state] {
        const auto patience = state->primary.type() == RuntimeType::external
                                  ? Deadline::in(2 * host_patience)
                                  : Deadline::never();
        state->shutdown();
        if (state->end(Deadline::in(host_patience), patience)) {
            delete state;
            return;
        }
        // Its tasks still refer to it; the executor that would run them does not run.
        sink().report(
            Severity::error,
            "stator::runtime",
            "the executor of a runtime stopped before the runtime ended; its tasks are left behind"
        );
    };
    if (Loop::current() != nullptr || state->primary.host_is_current()) {
        undertakers().start(end);
    } else {
        end();
    }
}

void Runtime::State::spawn(TaskScope& into, LoopPool& pool, Task<> task) {
    const std::lock_guard guard{lock};
    if (sealed) throw Error{ErrorCode::unavailable, "runtime.stopped", "the runtime has ended"};
    into.spawn_on(pool, std::move(task));
}

void Runtime::State::shutdown() noexcept {
    {
        const std::lock_guard guard{lock};
        if (deadline.is_never()) deadline = Deadline::in(options.graceful_timeout);
    }
    root.cancel(CancelReason::shutdown);
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

void Runtime::State::seal() noexcept {
    const std::lock_guard guard{lock};
    sealed = true;
}

Task<> Runtime::State::run_to_end(Deadline until) {
    const auto left = until.remaining();
    const auto soon = until.is_never() ? until : Deadline::in(left - left / 10);
    (void)co_await as_result(with_deadline(soon, applications.join()));
    co_await tear_down(until);
    requests.cancel(CancelReason::shutdown);
    transports.cancel(CancelReason::shutdown);
    lifetime.cancel(CancelReason::shutdown);
    seal();  // before the scopes are waited for: what is started after that would run on no loop
    co_await applications.close(CancelReason::shutdown);
    co_await background.close(CancelReason::shutdown);
    ended_.release();
}

bool Runtime::State::help() noexcept {
    const bool primary_helped = primary.help();
    return secondary.help() || primary_helped;
}

/// Where the loops are a host's, this thread may be the one that used to run it.
bool Runtime::State::wait(detail::BlockedThread& blocked, Deadline patience) noexcept {
    while (help()) {
        if (blocked.wait_until(earliest(Deadline::in(help_period), patience))) return true;
        if (patience.passed()) return false;
    }
    return blocked.wait_until(patience);
}

void Runtime::State::join_loops() noexcept {
    const std::lock_guard guard{joining_};
    if (std::exchange(joined_, true)) return;
    while (last_.size() != 0) {  // only its frame is still on the way out
        help();
        std::this_thread::yield();
    }
    stalls.reset();  // it looks at the loops
    primary.stop();
    secondary.stop();
}

bool Runtime::State::end(Deadline until, Deadline patience) noexcept {
    bool first = false;
    {
        const std::lock_guard guard{lock};
        first = !std::exchange(ending, true);
    }
    if (first) last_.spawn_on(secondary[0], run_to_end(until));
    if (!wait(ended_, patience)) return false;
    join_loops();
    return true;
}

}  // namespace stator::inline runtime
