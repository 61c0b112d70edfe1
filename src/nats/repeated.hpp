// A call that is harmless as often as it takes.
#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include "stator/base/backoff.hpp"
#include "stator/nats/jetstream.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::nats {

/// Makes the call until it ends otherwise than for want of a server, or `until`.
/// Cancel safety: as of the call.
template <class T>
Task<T> repeated(std::function<Task<T>(Deadline)> call, Deadline until) {
    constexpr Duration attempt_time = std::chrono::seconds{2};
    constexpr BackoffPolicy between_attempts{
        .initial = std::chrono::milliseconds{20},
        .max = std::chrono::milliseconds{500},
        .factor = 2.0
    };
    Backoff backoff{between_attempts};
    for (;;) {
        auto outcome = co_await as_result(call(earliest(until, Deadline::in(attempt_time))));
        if (outcome) {
            if constexpr (std::is_void_v<T>)
                co_return;
            else
                co_return std::move(*outcome);
        }
        if (!may_pass(outcome.error()) || until.passed()) throw outcome.error();
        co_await sleep_until(earliest(until, Deadline::in(backoff.next())));
    }
}

}  // namespace stator::nats
