// Waiting for the first of several things without losing the others.
#pragma once

#include <optional>
#include <tuple>

#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline runtime {

namespace detail {

/// As `deliver`, and the others are cancelled once there is a result or an error.
template <class T>
Task<> deliver_first(Task<T> task, std::optional<NonVoid<T>>* place, CancellationToken others) {
    co_await deliver(std::move(task), place);
    others.cancel();
}

}  // namespace detail

/// Runs the tasks concurrently until one has a result; the others are cancelled and waited for. At
/// least one place of the tuple is set; one whose task had its result before it noticed is set,
/// too, so that nothing taken from a channel is lost. The first error is thrown after all have
/// ended; results are lost then. Cancel safety: cancels the tasks, waits for them, throws
/// `cancelled`.
///
///     auto [request, tick] = co_await select(receive(&requests), every.tick());
template <class... Ts>
Task<std::tuple<std::optional<detail::NonVoid<Ts>>...>> select(Task<Ts>... tasks) {
    TaskScope scope{co_await current_token()};
    std::tuple<std::optional<detail::NonVoid<Ts>>...> places;
    std::apply(
        [&](auto&... place) {
            (scope.spawn(detail::deliver_first(std::move(tasks), &place, scope.token())), ...);
        },
        places
    );
    co_await detail::wait_for_all(&scope);
    if (!std::apply([](auto&... place) { return (place.has_value() || ...); }, places))
        detail::throw_cancelled_here();
    co_return places;
}

/// The result of `task`, or nothing when it has taken longer than `limit`: then it is cancelled and
/// waited for. Errors and cancel safety: the task's.
template <class T>
Task<std::optional<detail::NonVoid<T>>> timeout(Duration limit, Task<T> task) {
    const auto deadline = Deadline::in(limit);
    std::optional<detail::NonVoid<T>> result;
    const auto ended =
        co_await as_result(with_deadline(deadline, detail::deliver(std::move(task), &result)));
    if (ended || (ended.error().code() == ErrorCode::deadline_exceeded && deadline.passed()))
        co_return result;
    throw ended.error();
}

}  // namespace stator::inline runtime
