// Actor<S>: state that only its own messages touch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/channel.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline runtime {

/// What becomes of an actor when a message throws. The error goes to whoever asked in any case.
enum class ActorFailure : std::uint8_t {
    resume,   ///< It goes on with the state as it is.
    restart,  ///< It goes on with a new state.
    stop,     ///< It ends; what waits in its mailbox is refused.
};

struct ActorOptions {
    std::size_t mailbox = 64;  ///< messages that may wait; whoever sends more waits for room
    ActorFailure on_failure = ActorFailure::resume;
    std::size_t most_restarts = 16;  ///< then it stops
};

namespace detail {

template <class R>
struct UnwrapTask {
    using Type = R;
};
template <class R>
struct UnwrapTask<Task<R>> {
    using Type = R;
};

[[noreturn]] inline void throw_actor_gone() {
    throw Error{ErrorCode::unavailable, "runtime.actor_stopped", "the actor has ended"};
}

}  // namespace detail

/// A message is a function of the state: `R(S&)` or `Task<R>(S&)`. One runs at a time, in the order
/// in which they were sent, on the loop of the actor. A cheap copy over shared state; thread-safe.
/// The actor lives in the scope that it was started in: until that is cancelled, or `stop`.
///
///     auto counter = Actor<int>::start(scope, loop, [] { return 0; });
///     const int now = co_await counter.ask([](int& n) { return ++n; }, Deadline::in(1s));
template <class S>
class Actor {
    template <class F>
    using Reply = typename detail::UnwrapTask<std::invoke_result_t<F&, S&>>::Type;

public:
    /// `make` makes the state, on the loop; again at each restart.
    static Actor start(
        TaskScope& scope, Loop& loop, std::move_only_function<S()> make, ActorOptions options = {}
    ) {
        auto shared = std::make_shared<Shared>(options);
        scope.spawn_on(loop, run(shared, std::move(make)));
        return Actor{std::move(shared)};
    }

    /// Sends a message and waits for what it gives. A message that is still in the mailbox at the
    /// deadline is not handled; one that runs then is cancelled.
    /// Errors: what the message threw; `deadline_exceeded`; `unavailable` (runtime.actor_stopped).
    /// Cancel safety: throws `cancelled`; the message may be handled nevertheless.
    template <class F>
    Task<Reply<F>> ask(F message, Deadline deadline = Deadline::never()) const {
        return ask_of(shared_, std::move(message), deadline);
    }
    /// Sends a message and waits only for room in the mailbox; its errors are reported. False when
    /// there was none by the deadline, or the actor has ended. Cancel safety: throws `cancelled`,
    /// nothing was sent.
    template <class F>
    Task<bool> tell(F message, Deadline deadline = Deadline::never()) const {
        return tell_to(shared_, std::move(message), deadline);
    }
    /// Takes no more messages; those in the mailbox are handled, then it ends.
    void stop() const noexcept { shared_->mailbox.close(); }
    bool stopped() const noexcept { return shared_->ended.is_set(); }

private:
    /// True when the message failed.
    using Message = std::move_only_function<Task<bool>(S*)>;  // null: refused
    struct Shared {
        explicit Shared(ActorOptions options_) : options{options_}, mailbox{options.mailbox} {}
        const ActorOptions options;
        Channel<Message> mailbox;
        Event ended;
    };
    /// Where whoever asks waits; shared with the message, which may outlive the wait.
    template <class R>
    struct Waiting {
        std::optional<Result<R>> result;
        std::exception_ptr foreign;
        Event done;
    };

    explicit Actor(std::shared_ptr<Shared> shared) noexcept : shared_{std::move(shared)} {}

    template <class F>
    static Task<Reply<F>> handle(F* message, S* state) {
        if constexpr (std::is_same_v<std::invoke_result_t<F&, S&>, Reply<F>>) {
            co_return (*message)(*state);
        } else {
            co_return co_await (*message)(*state);
        }
    }

    template <class F, class R>
    static Task<bool> answer(
        F message, S* state, Deadline deadline, std::shared_ptr<Waiting<R>> waiting
    ) {
        std::exception_ptr failure;
        try {
            if (state == nullptr) detail::throw_actor_gone();
            if (deadline.passed()) detail::throw_deadline_exceeded();
            auto work = with_deadline(deadline, handle(&message, state));
            if constexpr (std::is_void_v<R>) {
                co_await std::move(work);
                waiting->result.emplace();
            } else {
                waiting->result.emplace(co_await std::move(work));
            }
        } catch (...) {
            failure = std::current_exception();
        }
        const bool late = deadline.passed();
        waiting->foreign = failure;
        waiting->done.set();
        co_return failure && !late && state != nullptr;
    }

    template <class F>
    static Task<Reply<F>> ask_of(std::shared_ptr<Shared> shared, F message, Deadline deadline) {
        using R = Reply<F>;
        const auto waiting = std::make_shared<Waiting<R>>();
        auto send = [](this auto, std::shared_ptr<Shared> to, Message mail) -> Task<bool> {
            co_return co_await to->mailbox.send(std::move(mail));
        };
        Message mail = [message = std::move(message), deadline, waiting](S* state) mutable {
            return answer<F, R>(std::move(message), state, deadline, waiting);
        };
        if (!co_await with_deadline(deadline, send(shared, std::move(mail))))
            detail::throw_actor_gone();
        auto wait = [](this auto, std::shared_ptr<Waiting<R>> at) -> Task<> {
            co_await at->done.wait();
        };
        co_await with_deadline(deadline, wait(waiting));
        if (waiting->foreign) std::rethrow_exception(waiting->foreign);
        if constexpr (!std::is_void_v<R>) co_return std::move(**waiting->result);
    }

    template <class F>
    static Task<bool> report_errors(F message, S* state) {
        if (state == nullptr) co_return false;
        const auto ended = co_await as_result(handle(&message, state));
        if (ended || ended.error().code() == ErrorCode::cancelled) co_return false;
        sink().report(
            Severity::warn,
            "stator::runtime",
            fmt::format("an actor's message failed: {}", ended.error().what())
        );
        co_return true;
    }

    template <class F>
    static Task<bool> tell_to(std::shared_ptr<Shared> shared, F message, Deadline deadline) {
        auto send = [](this auto, std::shared_ptr<Shared> to, Message mail) -> Task<bool> {
            co_return co_await to->mailbox.send(std::move(mail));
        };
        Message mail = [message = std::move(message)](S* state) mutable {
            return report_errors(std::move(message), state);
        };
        const auto sent =
            co_await as_result(with_deadline(deadline, send(shared, std::move(mail))));
        if (!sent && sent.error().code() != ErrorCode::deadline_exceeded) throw sent.error();
        co_return sent && *sent;
    }

    static Task<> run(std::shared_ptr<Shared> from, std::move_only_function<S()> maker) {
        const auto shared = std::move(from);
        std::exception_ptr failure;
        try {
            co_await handle_all(shared.get(), &maker);
        } catch (...) {
            failure = std::current_exception();
        }
        // Those that wait are told, each in its turn.
        shared->mailbox.close();
        shared->ended.set();
        while (auto mail = shared->mailbox.try_receive()) co_await shielded((*mail)(nullptr));
        if (failure) std::rethrow_exception(failure);
    }

    static Task<> handle_all(Shared* shared, std::move_only_function<S()>* make) {
        std::optional<S> state{(*make)()};
        std::size_t restarts = 0;
        const auto token = co_await current_token();
        while (!token.cancelled()) {
            auto mail = co_await shared->mailbox.receive();
            if (!mail) co_return;
            const bool failed = co_await (*mail)(&*state);
            if (!failed || shared->options.on_failure == ActorFailure::resume) continue;
            if (shared->options.on_failure == ActorFailure::stop ||
                restarts++ == shared->options.most_restarts)
                co_return;
            state.reset();
            state.emplace((*make)());
        }
    }

    std::shared_ptr<Shared> shared_;
};

}  // namespace stator::inline runtime
