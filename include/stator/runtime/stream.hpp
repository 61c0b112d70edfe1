// Stream<T>: an asynchronous generator. `co_yield` is the backpressure.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "stator/runtime/env.hpp"

namespace stator::inline runtime {

/// A sequence of T made on demand: the body runs only while somebody awaits `next()`, on that
/// awaiter's loop and under that awaiter's token.
///
/// Owned by its consumer. Dropping it at a `co_yield` (or before the first `next`) destroys the
/// body there without waiting; dropping it while a `next()` is pending is not allowed: cancel
/// first. Errors thrown by the body come out of `next()`; after one, or after the end, `next()`
/// yields nothing.
template <class T>
class [[nodiscard]] Stream {
public:
    struct promise_type : detail::PromiseBase {
        std::optional<T> value;
        std::exception_ptr error;

        Stream get_return_object() noexcept {
            return Stream{std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        detail::FinalAwaiter final_suspend() noexcept { return {}; }
        template <class U>
        detail::FinalAwaiter yield_value(U&& item) {
            value.emplace(std::forward<U>(item));
            return {};  // control goes to the consumer, exactly as at the end
        }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { error = std::current_exception(); }
    };
    using Handle = std::coroutine_handle<promise_type>;

    Stream() noexcept = default;
    Stream(Stream&& other) noexcept : handle_{std::exchange(other.handle_, {})} {}
    Stream& operator=(Stream&& other) noexcept {
        if (this != &other) {
            reset();
            handle_ = std::exchange(other.handle_, {});
        }
        return *this;
    }
    ~Stream() { reset(); }

    struct Next {
        Handle stream;
        bool await_ready() const noexcept { return !stream || stream.done(); }
        template <detail::StatorPromise Promise>
        Handle await_suspend(std::coroutine_handle<Promise> consumer) noexcept {
            auto& promise = stream.promise();
            promise.env = consumer.promise().env;
            promise.continuation = consumer;
            return stream;
        }
        std::optional<T> await_resume() {
            if (!stream) return std::nullopt;
            auto& promise = stream.promise();
            if (promise.error) std::rethrow_exception(std::exchange(promise.error, nullptr));
            return std::exchange(promise.value, std::nullopt);
        }
    };
    /// The next item; nothing at the end. Cancel safety: what the body waits for throws
    /// `cancelled`.
    Next next() noexcept { return Next{handle_}; }

    bool valid() const noexcept { return static_cast<bool>(handle_); }

private:
    explicit Stream(Handle handle) noexcept : handle_{handle} {}
    void reset() noexcept {
        if (handle_) std::exchange(handle_, {}).destroy();
    }
    Handle handle_;
};

}  // namespace stator::inline runtime
