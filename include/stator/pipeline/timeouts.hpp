// timeouts: bounds on how long an answer may be silent.
#pragma once

#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#include "stator/pipeline/operator.hpp"
#include "stator/runtime/detail/timer_heap.hpp"
#include "stator/runtime/env.hpp"
#include "stator/runtime/stream_ops.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline pipeline {

/// None is set: no bound. Time in which nobody asks for an item does not count.
struct Timeouts {
    Duration first = Duration::max();    ///< until the first item (or the end)
    Duration between = Duration::max();  ///< until each further one
    Duration whole = Duration::max();    ///< until the end, from the request on
};

namespace detail {

/// Cancels the token of a wait that takes too long. Made for a wait per item: an alarm that is set
/// later is only moved when the old one fires. Loop-affine.
class Alarm : runtime::detail::Timer {
public:
    explicit Alarm(Loop& loop) noexcept : Timer{&Alarm::on_time}, loop_{loop} {}
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;
    ~Alarm() { loop_.remove_timer(*this); }

    void set(Deadline due, const CancellationToken& token);
    void clear() noexcept { due_ = Deadline::never(); }
    bool fired() const noexcept { return fired_; }

private:
    static void on_time(Timer& timer) noexcept;
    Loop& loop_;
    Deadline due_;
    CancellationToken token_;
    bool fired_ = false;
};

/// The next item of a stream whose body waits under an environment of its own.
template <class T>
struct NextUnder {
    const Env* env;
    typename Stream<T>::Next next;
    bool await_ready() const noexcept { return next.await_ready(); }
    template <runtime::detail::StatorPromise Promise>
    auto await_suspend(std::coroutine_handle<Promise> consumer) noexcept {
        auto body = next.await_suspend(consumer);
        body.promise().env = env;
        return body;
    }
    std::optional<T> await_resume() { return next.await_resume(); }
};

Error timed_out(std::string_view what, Duration after);

/// Names the bound that comes first.
struct Due {
    Deadline when;
    std::string_view what;
    Duration after;
};
Due next_due(const Timeouts& limits, bool first, Deadline whole) noexcept;

template <class In, class Out>
class TimeoutOperator final : public Operator<In, Out, In, Out> {
public:
    explicit TimeoutOperator(Timeouts limits) noexcept : limits_{limits} {}
    Reply<Out> generate(Context context, In request, Engine<In, Out> next) override {
        return run(limits_, std::move(context), std::move(request), std::move(next));
    }

private:
    using Item = ReplyItem<Out>;

    static Reply<Out> run(Timeouts limits, Context context, In request, Engine<In, Out> next)
        requires(!single_reply<Out>)
    {
        const auto whole = Deadline::in(limits.whole);
        const Context child = context.child(whole);
        auto items = next.generate(child, std::move(request));
        Alarm alarm{*Loop::current()};
        Env env;
        CancellationToken above;  // of whoever waits: `env` has a child of it
        std::exception_ptr ended_early;
        try {
            for (bool first = true;; first = false) {
                const Env& own = co_await current_env();
                if (env.loop == nullptr || !(own.token == above)) {
                    above = own.token;
                    env = {own.loop, above.child_token()};
                }
                const auto due = next_due(limits, first, whole);
                alarm.set(due.when, env.token);
                std::optional<Item> item;
                std::optional<Error> failure;
                try {
                    item = co_await NextUnder<Item>{&env, items.next()};
                } catch (const Error& error) {
                    failure = error;
                }
                alarm.clear();
                if (failure) {
                    if (!alarm.fired() || failure->code() != ErrorCode::cancelled) throw *failure;
                    child.kill(CancelReason::deadline);
                    throw timed_out(due.what, due.after);
                }
                if (!item) co_return;
                co_yield std::move(*item);
            }
        } catch (...) {
            ended_early = std::current_exception();
        }
        co_await shielded(items.close());
        std::rethrow_exception(ended_early);
    }

    static Reply<Out> run(Timeouts limits, Context context, In request, Engine<In, Out> next)
        requires single_reply<Out>
    {
        const auto due = next_due(limits, true, Deadline::in(limits.whole));
        const Context child = context.child(due.when);
        auto reply =
            co_await as_result(with_deadline(due.when, next.generate(child, std::move(request))));
        if (reply) co_return std::move(*reply);
        const bool ours = reply.error().code() == ErrorCode::deadline_exceeded &&
                          due.when.passed() && !context.deadline().passed();
        if (!ours) throw reply.error();
        child.kill(CancelReason::deadline);
        throw timed_out(due.what, due.after);
    }

    Timeouts limits_;
};

struct TimeoutStage {
    Timeouts limits;
    template <class In, class Out>
    auto bind() && {
        return TimeoutOperator<In, Out>{limits};
    }
};

}  // namespace detail

/// Ends an answer that is silent for too long with `deadline_exceeded` "pipeline.timeout"; what was
/// asked is killed.
inline auto timeout(Timeouts limits) { return detail::TimeoutStage{limits}; }

}  // namespace stator::inline pipeline
