// retry: asks again when an answer fails before it has begun.
#pragma once

#include <concepts>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include "stator/base/backoff.hpp"
#include "stator/pipeline/operator.hpp"
#include "stator/runtime/stream_ops.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"

namespace stator::inline pipeline {

struct RetryPolicy {
    int attempts = 3;  ///< in all
    BackoffPolicy backoff{};
    /// Whether this request may be sent a second time; none: every request may. Only the caller
    /// knows.
    std::function<bool(const Context&)> replayable{};
};

namespace detail {

/// The attempts of one request: decides, and waits.
class Attempts {
public:
    Attempts(const RetryPolicy& policy, Context context);
    bool last() const noexcept { return left_ <= 1; }
    /// Waits until the next attempt; throws `error` if there is none.
    Task<> next(Error error);

private:
    Context context_;
    Backoff backoff_;
    int left_;
};

template <class In, class Out>
class RetryOperator final : public Operator<In, Out, In, Out> {
    static_assert(
        std::copy_constructible<In>, "what is asked twice is copied, and a stream cannot be"
    );

public:
    explicit RetryOperator(RetryPolicy policy) : policy_{std::move(policy)} {}
    Reply<Out> generate(Context context, In request, Engine<In, Out> next) override {
        Attempts attempts{policy_, context};
        return run(std::move(attempts), std::move(context), std::move(request), std::move(next));
    }

private:
    using Item = ReplyItem<Out>;

    static In copy_for(const Attempts& attempts, In& request) {
        return attempts.last() ? std::move(request) : request;
    }

    static Stream<Item> run(Attempts attempts, Context context, In request, Engine<In, Out> next)
        requires(!single_reply<Out>)
    {
        for (;;) {
            auto items = next.generate(context.attempt(), copy_for(attempts, request));
            std::optional<Item> item;
            std::optional<Error> failure;
            std::exception_ptr given_up;  // after the first item: not tried again
            try {
                item = co_await items.next();
            } catch (...) {
                failure = to_error(std::current_exception());
            }
            if (failure) {
                items = {};  // gone before it is asked for again
                co_await attempts.next(std::move(*failure));
                continue;
            }
            try {
                while (item) {
                    co_yield std::move(*item);
                    item = co_await items.next();
                }
            } catch (...) {
                given_up = std::current_exception();
            }
            if (!given_up) co_return;
            co_await shielded(items.close());
            std::rethrow_exception(given_up);
        }
    }

    static Task<Item> run(Attempts attempts, Context context, In request, Engine<In, Out> next)
        requires single_reply<Out>
    {
        for (;;) {
            auto reply =
                co_await as_result(next.generate(context.attempt(), copy_for(attempts, request)));
            if (reply) co_return std::move(*reply);
            co_await attempts.next(std::move(reply.error()));
        }
    }

    RetryPolicy policy_;
};

struct RetryStage {
    RetryPolicy policy;
    template <class In, class Out>
    auto bind() && {
        return RetryOperator<In, Out>{std::move(policy)};
    }
};

}  // namespace detail

/// Asks again, after a while, when the answer fails before its first item with an error that is
/// worth it (Error::retryable), as long as the request is live and its deadline allows. Each
/// attempt has a context of its own, below the request's. What came after the first item is never
/// asked for twice.
inline auto retry(RetryPolicy policy = {}) { return detail::RetryStage{std::move(policy)}; }

}  // namespace stator::inline pipeline
