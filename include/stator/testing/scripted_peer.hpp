// ScriptedWorker and play_call: the other side of a call in a test, step by step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "stator/base/deadline.hpp"
#include "stator/base/error.hpp"
#include "stator/component/distributed_runtime.hpp"
#include "stator/component/router.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "stator/testing/in_memory_cluster.hpp"

namespace stator::testing {

namespace detail {

template <class Out>
struct GiveItem {
    Out item;
};
struct WaitFor {
    Duration time;
};
struct FailWith {
    Error error;
};
struct HoldUntilStopped {};
struct LoseWorker {};

}  // namespace detail

/// What a scripted worker does with a call; after the last step the answer ends.
///
///     Script<std::string>{}.item("one").wait(20ms).fail(Error{ErrorCode::internal, "boom"})
template <class Out>
class Script {
public:
    using Step = std::variant<
        detail::GiveItem<Out>,
        detail::WaitFor,
        detail::FailWith,
        detail::HoldUntilStopped,
        detail::LoseWorker>;

    Script& item(Out value) & { return add(detail::GiveItem<Out>{std::move(value)}); }
    /// Pauses; a kill ends the pause and the call.
    Script& wait(Duration time) & { return add(detail::WaitFor{time}); }
    /// Ends the answer with an error.
    Script& fail(Error error) & { return add(detail::FailWith{std::move(error)}); }
    /// Waits until the call is asked to stop, then goes on; a kill ends it.
    Script& hold() & { return add(detail::HoldUntilStopped{}); }
    /// The whole worker is gone: its connections are cut, the caller sees `disconnected`.
    Script& lose_worker() & { return add(detail::LoseWorker{}); }

    Script&& item(Out value) && { return std::move(item(std::move(value))); }
    Script&& wait(Duration time) && { return std::move(wait(time)); }
    Script&& fail(Error error) && { return std::move(fail(std::move(error))); }
    Script&& hold() && { return std::move(hold()); }
    Script&& lose_worker() && { return std::move(lose_worker()); }

    const std::vector<Step>& steps() const noexcept { return steps_; }

private:
    Script& add(Step step) {
        steps_.push_back(std::move(step));
        return *this;
    }
    std::vector<Step> steps_;
};

/// A call as a scripted worker saw it.
template <class In>
struct SeenCall {
    enum class End : std::uint8_t { running, done, failed, cancelled };
    In request;
    End end = End::running;
    std::size_t items_given = 0;
    bool stopped = false;  ///< asked to stop, or killed
};

/// A member of a cluster that serves one endpoint by scripts: the first call plays the first one,
/// and so on; calls after the last one play the last one again. Thread-safe. Leaves with its
/// cluster.
template <class In, class Out>
class ScriptedWorker {
public:
    /// Returns when it can be found and called. Errors: as Endpoint::start; `invalid_request`
    /// without a script.
    static Task<ScriptedWorker> start(
        const InMemoryCluster& cluster,
        std::string path,
        std::vector<Script<Out>> scripts,
        ServeOptions options = {}
    ) {
        return start_at(cluster.join(), std::move(path), std::move(scripts), std::move(options));
    }

    InstanceId instance_id() const noexcept { return stage_->instance; }
    /// The calls so far, in the order in which they came.
    std::vector<SeenCall<In>> calls() const {
        const std::scoped_lock lock{stage_->mutex};
        return stage_->calls;
    }
    /// Drains, within `deadline`, and leaves. Idempotent.
    Task<> leave(Deadline deadline) const { return end(*stage_->member, deadline); }
    /// What Script::lose_worker does, by itself. Not from within a script.
    Task<> lose() const { return end(*stage_->member, Deadline::in(Duration{})); }

private:
    struct Stage {
        std::mutex mutex;
        std::vector<Script<Out>> scripts;
        std::vector<SeenCall<In>> calls;
        std::optional<DistributedRuntime> member;
        InstanceId instance;

        /// The number of a call that begins, and its script.
        std::pair<std::size_t, const Script<Out>*> begin(In request) {
            const std::scoped_lock lock{mutex};
            const auto number = calls.size();
            calls.push_back({.request = std::move(request)});
            return {number, &scripts[std::min(number, scripts.size() - 1)]};
        }
        template <class F>
        void note(std::size_t number, F&& change) {
            const std::scoped_lock lock{mutex};
            change(calls[number]);
        }
    };

    /// Notes how a call ends, also when its stream is dropped where it waits.
    class Part {
    public:
        Part(std::shared_ptr<Stage> stage, std::size_t number, Context context)
            : stage_{std::move(stage)}, number_{number}, context_{std::move(context)} {}
        Part(const Part&) = delete;
        Part& operator=(const Part&) = delete;
        ~Part() {
            stage_->note(number_, [&](SeenCall<In>& call) {
                call.end = end_;
                call.stopped = context_.stopped();
            });
        }
        void ends(typename SeenCall<In>::End how) noexcept { end_ = how; }

    private:
        std::shared_ptr<Stage> stage_;
        std::size_t number_;
        Context context_;
        typename SeenCall<In>::End end_ = SeenCall<In>::End::cancelled;
    };

    explicit ScriptedWorker(std::shared_ptr<Stage> stage) noexcept : stage_{std::move(stage)} {}

    static Task<> end(DistributedRuntime member, Deadline deadline) {
        co_await member.close(deadline);
    }

    static Task<ScriptedWorker> start_at(
        Task<DistributedRuntime> joining,
        std::string path,
        std::vector<Script<Out>> scripts,
        ServeOptions options
    ) {
        if (scripts.empty())
            throw Error{ErrorCode::invalid_request, "a scripted worker needs a script"};
        auto stage = std::make_shared<Stage>();
        stage->scripts = std::move(scripts);
        stage->member = co_await std::move(joining);
        // The member holds the handler: the handler must not hold the member for good.
        auto play = [on = std::weak_ptr{stage}](Context context, In request) {
            return perform(on.lock(), std::move(context), std::move(request));
        };
        const auto served =
            co_await stage->member->endpoint(path).start(std::move(play), std::move(options));
        stage->instance = served.instance_id();
        co_return ScriptedWorker{std::move(stage)};
    }

    static Stream<Out> perform(std::shared_ptr<Stage> stage, Context context, In request) {
        if (!stage) throw Error{ErrorCode::unavailable, "the scripted worker is gone"};
        const auto [number, script] = stage->begin(std::move(request));
        Part part{stage, number, context};
        for (const auto& step : script->steps()) {
            if (const auto* give = std::get_if<detail::GiveItem<Out>>(&step)) {
                stage->note(number, [](SeenCall<In>& call) { ++call.items_given; });
                co_yield Out{give->item};
            } else if (const auto* failure = std::get_if<detail::FailWith>(&step)) {
                part.ends(SeenCall<In>::End::failed);
                throw Error{failure->error};
            } else {
                co_await pause(*stage, context, step);
            }
        }
        part.ends(SeenCall<In>::End::done);
    }

    static Task<> pause(const Stage& stage, Context context, typename Script<Out>::Step step) {
        if (const auto* wait = std::get_if<detail::WaitFor>(&step)) {
            co_await sleep_for(wait->time);
        } else if (std::holds_alternative<detail::HoldUntilStopped>(step)) {
            co_await context.stop_token().wait();
        } else {
            // Its end waits for this call, so somebody else has to do it.
            stage.member->runtime().primary().spawn(end(*stage.member, Deadline::in(Duration{})));
            co_await sleep_until(Deadline::never());
        }
    }

    std::shared_ptr<Stage> stage_;
};

/// How a scripted caller treats an answer; times and counts that are not given change nothing.
struct CallScript {
    Duration before_each{};                   ///< pauses before it takes an item: a slow consumer
    std::optional<std::size_t> stop_after{};  ///< asks the call to stop after so many items
    std::optional<std::size_t> kill_after{};  ///< kills the call after so many items
    std::optional<std::size_t> drop_after{};  ///< drops the answer after so many items
    CallOptions options{};
};

/// What a scripted caller got: the items, and the error that ended them, if one did.
template <class Out>
struct Answer {
    std::vector<Out> items{};
    std::optional<Error> error{};
};

/// Calls as a script says. Cancel safety: the call is killed.
template <class In, class Out>
Task<Answer<Out>> play_call(Router<In, Out> router, In request, CallScript script = {}) {
    const Context context;
    Answer<Out> answer;
    auto stream = router.generate(context, std::move(request), script.options);
    const auto reached = [&](const std::optional<std::size_t>& count) {
        return count && *count == answer.items.size();
    };
    try {
        for (;;) {
            if (reached(script.drop_after)) co_return answer;
            if (reached(script.stop_after)) context.stop();
            if (reached(script.kill_after)) context.kill();
            if (script.before_each > Duration{}) co_await sleep_for(script.before_each);
            auto item = co_await stream.next();
            if (!item) co_return answer;
            answer.items.push_back(std::move(*item));
        }
    } catch (const Error& error) {
        answer.error = error;
    }
    co_return answer;
}

}  // namespace stator::testing
