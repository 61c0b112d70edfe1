// Awaiting a task that runs on another loop.
#pragma once

#include <coroutine>
#include <utility>

#include "stator/runtime/loop.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline runtime {

namespace detail {

/// Lives in the awaiting frame. The task runs under the awaiter's own token: a token's hooks belong
/// to the loop that armed them, so a cancellation reaches it over there without help from here.
template <class T>
class OnLoop : Completion {
public:
    OnLoop(Loop& target, Task<T> task) noexcept
        : Completion{&OnLoop::on_done}, target_{target}, task_{std::move(task)} {}
    OnLoop(const OnLoop&) = delete;
    OnLoop& operator=(const OnLoop&) = delete;

    bool await_ready() const noexcept { return false; }
    template <StatorPromise Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> awaiter) noexcept {
        const Env& own = *awaiter.promise().env;
        auto& promise = task_.handle().promise();
        if (own.loop == &target_) {
            promise.env = &own;
            promise.continuation = awaiter;
            return task_.handle();
        }
        awaiter_ = awaiter;
        home_ = own.loop;
        env_ = Env{&target_, own.token};
        promise.env = &env_;
        promise.completion = this;
        // The last thing that touches this object here: the task may end over there at once.
        target_.wake(task_.handle());
        return std::noop_coroutine();
    }
    T await_resume() { return task_.handle().promise().take(); }

private:
    static void on_done(Completion& completion) noexcept {
        auto& self = static_cast<OnLoop&>(completion);
        self.home_->wake(self.awaiter_);
    }
    Loop& target_;
    Task<T> task_;
    Env env_;
    Loop* home_ = nullptr;
    std::coroutine_handle<> awaiter_;
};

}  // namespace detail

/// Runs `task` on `loop` and goes on here with its result, or throws what it threw; one batched hop
/// each way, none when this is `loop`. The loop must run until the task has ended.
/// Cancel safety: the task sees the awaiter's token; its end is waited for.
template <class T>
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters): loops outlive their tasks
Task<T> on_loop(Loop& loop, Task<T> task) {
    co_return co_await detail::OnLoop<T>{loop, std::move(task)};
}

}  // namespace stator::inline runtime
