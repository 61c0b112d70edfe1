// Task<T>: an asynchronous function. Lazy, awaited once, environment and cancellation inherited.
#pragma once

#include <cassert>
#include <coroutine>
#include <exception>
#include <expected>
#include <optional>
#include <type_traits>
#include <utility>

#include "stator/base/error.hpp"
#include "stator/runtime/env.hpp"

namespace stator::inline runtime {

template <class T = void>
class Task;

namespace detail {

template <class T>
struct TaskResult : PromiseBase {
    std::optional<T> value;
    std::exception_ptr error;

    template <class U>
        requires std::is_constructible_v<T, U&&>
    void return_value(U&& result) {
        value.emplace(std::forward<U>(result));
    }
    void unhandled_exception() noexcept { error = std::current_exception(); }
    T take() {
        if (error) std::rethrow_exception(std::move(error));
        return std::move(*value);
    }
};

template <>
struct TaskResult<void> : PromiseBase {
    std::exception_ptr error;

    void return_void() noexcept {}
    void unhandled_exception() noexcept { error = std::current_exception(); }
    void take() {
        if (error) std::rethrow_exception(std::move(error));
    }
};

}  // namespace detail

/// An asynchronous function that yields one T. It starts when awaited, runs on the awaiter's loop
/// under the awaiter's token, and owns its frame. Awaiting costs no allocation besides the frame
/// and no stack.
///
/// Owned by whoever holds it; destroying one that has not been started or has ended is free,
/// destroying one that is suspended in the middle is not allowed (a scope ends it by cancelling it
/// and waiting). Cancelling: what it waits for throws `Error{cancelled}`, which unwinds it like any
/// other error.
template <class T>
class [[nodiscard]] Task {
public:
    struct promise_type : detail::TaskResult<T> {
        Task get_return_object() noexcept {
            return Task{std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        detail::FinalAwaiter final_suspend() noexcept { return {}; }
    };
    using Handle = std::coroutine_handle<promise_type>;

    Task() noexcept = default;
    Task(Task&& other) noexcept : handle_{std::exchange(other.handle_, {})} {}
    Task& operator=(Task&& other) noexcept {
        if (this != &other) {
            reset();
            handle_ = std::exchange(other.handle_, {});
        }
        return *this;
    }
    ~Task() { reset(); }

    struct Awaiter {
        Handle task;
        bool await_ready() const noexcept { return false; }
        template <detail::StatorPromise Promise>
        Handle await_suspend(std::coroutine_handle<Promise> awaiter) noexcept {
            assert(task && !task.done() && "a task is awaited once");
            task.promise().env = awaiter.promise().env;
            task.promise().continuation = awaiter;
            return task;
        }
        T await_resume() { return task.promise().take(); }
    };
    Awaiter operator co_await() && noexcept { return Awaiter{handle_}; }

    bool valid() const noexcept { return static_cast<bool>(handle_); }
    bool done() const noexcept { return handle_.done(); }
    /// For the runtime: the frame, still owned by this Task.
    Handle handle() const noexcept { return handle_; }
    Handle release() noexcept { return std::exchange(handle_, {}); }

private:
    explicit Task(Handle handle) noexcept : handle_{handle} {}
    void reset() noexcept {
        if (handle_) std::exchange(handle_, {}).destroy();
    }
    Handle handle_;
};

namespace detail {

/// Awaits a task in an environment of its own instead of the awaiter's.
template <class T>
struct AwaitIn {
    Env env;
    Task<T> task;
    bool await_ready() const noexcept { return false; }
    template <StatorPromise Promise>
    auto await_suspend(std::coroutine_handle<Promise> awaiter) noexcept {
        env.loop = awaiter.promise().env->loop;
        task.handle().promise().env = &env;
        task.handle().promise().continuation = awaiter;
        return task.handle();
    }
    T await_resume() { return task.handle().promise().take(); }
};

}  // namespace detail

/// Runs `task` under `token` instead of the awaiter's token.
template <class T>
Task<T> with_token(CancellationToken token, Task<T> task) {
    co_return co_await detail::AwaitIn<T>{{nullptr, std::move(token)}, std::move(task)};
}

/// Runs `task` so that no cancellation reaches it: for clean-up that must happen. Bound it by a
/// deadline.
template <class T>
Task<T> shielded(Task<T> task) {
    return with_token(CancellationToken{}, std::move(task));
}

/// The task's outcome as a value: what it threw comes back as an Error (`internal` for foreign
/// exceptions). Cancel safety: a cancelled task yields Error{cancelled} here, too.
template <class T>
Task<Result<T>> as_result(Task<T> task) {
    std::exception_ptr failure;
    try {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(task);
            co_return Result<T>{};
        } else {
            co_return Result<T>{co_await std::move(task)};
        }
    } catch (...) {
        failure = std::current_exception();
    }
    co_return std::unexpected<Error>{to_error(failure)};
}

}  // namespace stator::inline runtime
