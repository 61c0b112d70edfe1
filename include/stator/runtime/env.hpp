// What a task inherits from whoever awaits it: the loop it runs on and the token that cancels it.
#pragma once

#include <coroutine>
#include <cstddef>

#include "stator/runtime/cancellation_token.hpp"
#include "stator/runtime/detail/frame_pool.hpp"

namespace stator::inline runtime {

/// Lives in whoever started the task (a scope's job, a `with_token`), above every frame that points
/// to it.
struct Env {
    Loop* loop = nullptr;
    CancellationToken token;
};

namespace detail {

/// Told when a task that nobody awaits has ended. `done` may destroy the task.
struct Completion {
    using Done = void (*)(Completion&) noexcept;
    Done done;
};

/// What every coroutine of stator has in its promise: the environment, and who goes on when it
/// ends.
struct PromiseBase {
    const Env* env = nullptr;
    std::coroutine_handle<> continuation;
    Completion* completion = nullptr;

    static void* operator new(std::size_t size) { return take_frame(size); }
    static void operator delete(void* block, std::size_t size) noexcept { give_frame(block, size); }
};

template <class Promise>
concept StatorPromise = requires(Promise& promise) { static_cast<PromiseBase&>(promise); };

/// Ends a task: control goes to the awaiter by symmetric transfer, so a chain of any length needs
/// no stack.
struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <StatorPromise Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
        auto& promise = ended.promise();
        if (promise.continuation) return promise.continuation;
        if (promise.completion != nullptr) promise.completion->done(*promise.completion);
        return std::noop_coroutine();
    }
    void await_resume() noexcept {}
};

}  // namespace detail

/// `co_await current_env()`: the environment of the running task. Never suspends.
struct CurrentEnv {
    const Env* env = nullptr;
    bool await_ready() const noexcept { return false; }
    template <detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
        env = task.promise().env;
        return false;
    }
    const Env& await_resume() const noexcept { return *env; }
};
inline CurrentEnv current_env() noexcept { return {}; }

/// `co_await current_token()`: a handle of the token that cancels the running task. Never suspends.
struct CurrentToken : CurrentEnv {
    CancellationToken await_resume() const noexcept { return env->token; }
};
inline CurrentToken current_token() noexcept { return {}; }

}  // namespace stator::inline runtime
