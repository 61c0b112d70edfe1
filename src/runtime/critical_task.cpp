#include "stator/runtime/critical_task.hpp"

#include <atomic>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/event.hpp"

namespace stator::inline runtime {

namespace {

void report(const std::string& name, std::string_view what) {
    sink().report(
        Severity::error, "stator::runtime", fmt::format("critical task {}: {}", name, what)
    );
}

}  // namespace

/// Shared by the handle and the task. `failure` is written before `failed` and `ended`.
struct CriticalTask::State {
    State(std::string name_, CancellationToken parent_)
        : name{std::move(name_)}, parent{std::move(parent_)}, own{parent.child_token()} {}

    /// Nobody will join: a failure is reported, by whichever side comes second.
    void leave_alone() noexcept {
        alone = true;
        if (failed && !reported.exchange(true)) report(name, failure->what());
    }
    void fail(Error error) {
        failure.emplace(std::move(error).with_context(fmt::format("critical task {}", name)));
        parent.cancel();
        failed = true;
        if (alone && !reported.exchange(true)) report(name, failure->what());
    }

    const std::string name;
    const CancellationToken parent;
    const CancellationToken own;
    std::optional<Error> failure;
    std::atomic<bool> failed{false};
    std::atomic<bool> alone{false};
    std::atomic<bool> reported{false};
    bool joined = false;  // the handle's
    Event ended;

    static Task<> run(std::shared_ptr<State> shared, Body body);
};

Task<> CriticalTask::State::run(std::shared_ptr<State> shared, Body body) {
    const auto state = std::move(shared);
    std::optional<Result<void>> ended;
    {
        // What the body holds goes before anybody hears of the end.
        auto own = std::move(body);
        ended.emplace(co_await as_result(with_token(state->own, own(state->own))));
    }
    // A cancellation that was asked for is an end like others.
    const bool asked =
        !*ended && ended->error().code() == ErrorCode::cancelled && state->own.cancelled();
    if (!*ended && !asked) state->fail(std::move(ended->error()));
    state->ended.set();
}

CriticalTask::CriticalTask(Handle where, CancellationToken parent, std::string name, Body body)
    : state_{std::make_shared<State>(std::move(name), std::move(parent))} {
    where.spawn(State::run(state_, std::move(body)));
}

CriticalTask::~CriticalTask() {
    if (!state_ || state_->joined) return;
    if (!state_->ended.is_set()) {
        report(state_->name, "nobody waits for its end any more; it is cancelled");
        state_->own.cancel();
    }
    state_->leave_alone();
}

void CriticalTask::cancel() const noexcept { state_->own.cancel(); }
bool CriticalTask::cancelled() const noexcept { return state_->own.cancelled(); }
bool CriticalTask::finished() const noexcept { return state_->ended.is_set(); }

Task<> CriticalTask::join() {
    const auto state = state_;
    co_await state->ended.wait();
    state->joined = true;
    if (state->failure) throw *state->failure;
}

void CriticalTask::detach() noexcept { std::exchange(state_, nullptr)->leave_alone(); }

}  // namespace stator::inline runtime
