// The one way to Asio: a completion token that makes an operation awaitable by a stator task.
// Included by sources of runtime, net and http only.
#pragma once

#include <coroutine>
#include <optional>
#include <tuple>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>

#include "stator/runtime/detail/guest.hpp"
#include "stator/runtime/detail/wait.hpp"

namespace stator::inline runtime {

/// The reactor of `loop`, for making sockets and timers. They belong to that loop.
boost::asio::any_io_executor reactor_of(Loop& loop) noexcept;

/// `auto [code, n] = co_await socket.async_read_some(buffer, use_task);` A single result comes
/// bare. Cancel safety: cancelling the task cancels the operation, which then completes with
/// operation_aborted (or with its result, if that was first); it never throws by itself.
struct UseTask {};
inline constexpr UseTask use_task{};

namespace detail {

/// Where completions run: in the loop. (An executor in the sense of the Networking TS, which is
/// less to write than the newer one and as fast.)
class LoopExecutor {
public:
    explicit LoopExecutor(Loop& loop) noexcept : loop_{&loop} {}
    boost::asio::execution_context& context() const noexcept {
        return reactor_of(*loop_).context();
    }
    void on_work_started() const noexcept {}
    void on_work_finished() const noexcept {}
    template <class F, class Allocator>
    void dispatch(F&& work, const Allocator& allocator) const {
        if (Loop::current() == loop_) return std::forward<F>(work)();
        if (auto* guest = loop_->guest()) return guest->dispatch(std::forward<F>(work));
        post(std::forward<F>(work), allocator);
    }
    template <class F, class Allocator>
    void post(F&& work, const Allocator&) const {
        if (auto* guest = loop_->guest()) return guest->post(std::forward<F>(work));
        // In a lambda: `work` by itself would ask for this executor again.
        boost::asio::post(reactor_of(*loop_), [own = std::forward<F>(work)]() mutable {
            std::move(own)();
        });
    }
    template <class F, class Allocator>
    void defer(F&& work, const Allocator& allocator) const {
        post(std::forward<F>(work), allocator);
    }
    friend bool operator==(LoopExecutor a, LoopExecutor b) noexcept = default;

private:
    Loop* loop_;
};

template <class Initiation, class Signature, class... Arguments>
class AsioOperation;

/// Lives in the awaiting frame until the handler has run. Signal and hook are touched on the loop
/// only.
template <class Initiation, class... Results, class... Arguments>
class AsioOperation<Initiation, void(Results...), Arguments...> : CancelHook {
public:
    AsioOperation(Initiation initiation, std::tuple<Arguments...> arguments)
        : CancelHook{&AsioOperation::on_cancel},
          initiation_{std::move(initiation)},
          arguments_{std::move(arguments)} {}

    bool await_ready() const noexcept { return false; }
    template <StatorPromise Promise>
    void await_suspend(std::coroutine_handle<Promise> task) {
        task_ = task;
        env_ = task.promise().env;
        const bool already_cancelled = !env_->token.arm(*this);
        std::apply(
            [&](auto&&... arguments) {
                std::move(initiation_)(
                    Handler{this}, std::forward<decltype(arguments)>(arguments)...
                );
            },
            std::move(arguments_)
        );
        if (already_cancelled) signal_.emit(boost::asio::cancellation_type::terminal);
    }
    auto await_resume() {
        CancellationToken::disarm(*this);
        if constexpr (sizeof...(Results) == 1) {
            return std::get<0>(std::move(*results_));
        } else {
            return std::move(*results_);
        }
    }

private:
    struct Handler {
        AsioOperation* operation;
        using cancellation_slot_type = boost::asio::cancellation_slot;
        cancellation_slot_type get_cancellation_slot() const noexcept {
            return operation->signal_.slot();
        }
        using executor_type = LoopExecutor;
        executor_type get_executor() const noexcept { return LoopExecutor{*operation->env_->loop}; }
        template <class... Values>
        void operator()(Values&&... values) {
            operation->results_.emplace(std::forward<Values>(values)...);
            CancellationToken::disarm(*operation
            );  // what comes later must not reach the next operation
            operation->env_->loop->wake_local(operation->task_);
        }
    };
    static void on_cancel(CancelHook& hook) noexcept {
        static_cast<AsioOperation&>(hook).signal_.emit(boost::asio::cancellation_type::terminal);
    }

    Initiation initiation_;
    std::tuple<Arguments...> arguments_;
    boost::asio::cancellation_signal signal_;
    std::optional<std::tuple<std::decay_t<Results>...>> results_;
    std::coroutine_handle<> task_;
    const Env* env_ = nullptr;
};

}  // namespace detail

}  // namespace stator::inline runtime

template <class... Results>
class boost::asio::async_result<stator::UseTask, void(Results...)> {
public:
    template <class Initiation, class... Arguments>
    static auto initiate(Initiation&& initiation, stator::UseTask, Arguments&&... arguments) {
        return stator::detail::
            AsioOperation<std::decay_t<Initiation>, void(Results...), std::decay_t<Arguments>...>{
                std::forward<Initiation>(initiation),
                std::tuple<std::decay_t<Arguments>...>{std::forward<Arguments>(arguments)...}
            };
    }
};
