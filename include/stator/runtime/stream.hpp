// Stream<T>: an asynchronous generator. `co_yield` is the backpressure.
#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "stator/runtime/env.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline runtime {

namespace detail {

/// Throws Error{cancelled}: the stream was closed at a `co_yield`.
[[noreturn]] void throw_closed();
/// An error other than `cancelled` that came out of a stream while it was closed.
void report_while_closing(std::exception_ptr error) noexcept;

}  // namespace detail

/// A sequence of T made on demand: the body runs only while somebody awaits `next()`, on that
/// awaiter's loop and under that awaiter's token.
///
/// Owned by its consumer. Dropping it at a `co_yield` (or before the first `next`) destroys the
/// body there without waiting; dropping it while a `next()` is pending is not allowed: cancel
/// first. Errors thrown by the body come out of `next()`; after one, or after the end, `next()`
/// yields nothing.
///
/// A body that has something to end before it goes, such as a TaskScope, is ended by `close()`: its
/// `co_yield` throws `cancelled`, so that it can wait for its tasks on the way out. Whoever
/// consumes streams of others closes them; handlers of endpoints are closed (docs/threading.md).
template <class T>
class [[nodiscard]] Stream {
public:
    struct promise_type : detail::PromiseBase {
        std::optional<T> value;
        std::exception_ptr error;
        std::shared_ptr<const void> kept;
        bool closing = false;

        /// Control goes to the consumer, exactly as at the end; comes back for the next item, or to
        /// close.
        struct Yielded : detail::FinalAwaiter {
            const bool* closing;
            void await_resume() const {
                if (*closing) [[unlikely]]
                    detail::throw_closed();
            }
        };

        Stream get_return_object() noexcept {
            return Stream{std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        detail::FinalAwaiter final_suspend() noexcept { return {}; }
        template <class U>
        Yielded yield_value(U&& item) {
            value.emplace(std::forward<U>(item));
            return {{}, &closing};
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
    /// Whether the body waits at a `co_yield`: then it may have something to end before it goes.
    bool at_yield() const noexcept {
        return handle_ && !handle_.done() && handle_.promise().env != nullptr;
    }

    /// Ends the body and waits until it has ended: a `co_yield` at which it waits throws
    /// `cancelled`, once more each time it yields nevertheless, and after eight times it is dropped
    /// there. Not while a `next()` is pending. Never throws: an error of the body other than
    /// `cancelled` is reported to the sink. Afterwards the stream is an ended one.
    /// Cancel safety: what the body waits for on its way out sees this task's token; to let it
    /// wait, use `shielded(stream.close())`.
    Task<> close() {
        constexpr int most_times = 8;
        for (int i = 0; i < most_times && at_yield(); ++i) {
            handle_.promise().closing = true;
            try {
                co_await Next{handle_};
            } catch (...) {
                detail::report_while_closing(std::current_exception());
            }
        }
        reset();
    }

    /// `kept` lives at least as long as the body: what the body refers to and does not own.
    void keep_alive(std::shared_ptr<const void> kept) noexcept {
        if (handle_) handle_.promise().kept = std::move(kept);
    }

private:
    explicit Stream(Handle handle) noexcept : handle_{handle} {}
    void reset() noexcept {
        if (handle_) std::exchange(handle_, {}).destroy();
    }
    Handle handle_;
};

}  // namespace stator::inline runtime
