// Running several tasks at once and waiting for all, or for the first.
#pragma once

#include <cstddef>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "stator/runtime/task_scope.hpp"

namespace stator::inline runtime {

namespace detail {

template <class T>
using NonVoid = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// Runs `task` and leaves its result in `*place`, which outlives it.
template <class T>
Task<> deliver(Task<T> task, std::optional<NonVoid<T>>* place) {
    if constexpr (std::is_void_v<T>) {
        co_await std::move(task);
        place->emplace();
    } else {
        place->emplace(co_await std::move(task));
    }
}

/// As `deliver`, for when_any: remembers the outcome of whichever is first and cancels the others.
template <class T, class Outcome>
Task<> compete(
    Task<T> task, std::size_t index, std::optional<Outcome>* winner, CancellationToken others
) {
    std::optional<NonVoid<T>> mine;
    auto ended = co_await as_result(deliver(std::move(task), &mine));
    if (winner->has_value()) co_return;
    if (!ended && others.cancelled()) co_return;
    winner->emplace(Outcome{.index = index, .result = std::move(mine), .error = {}});
    if (!ended) (*winner)->error.emplace(std::move(ended.error()));
    others.cancel();
}

/// Waits for every task of the scope, even when the waiting task is cancelled (they are, too,
/// then).
Task<> wait_for_all(TaskScope* scope);

[[noreturn]] void throw_cancelled_here();
[[noreturn]] void throw_no_tasks();

/// What the first task of when_any ended with: a result or an error.
template <class T>
struct AnyOutcome {
    std::size_t index;
    std::optional<T> result;
    std::optional<Error> error;
};

}  // namespace detail

/// Runs the tasks concurrently on this loop; the tuple of their results (monostate for void).
/// When one fails the others are cancelled; the first error is thrown after all have ended.
/// Cancel safety: cancels the tasks, waits for them, throws `cancelled`.
template <class... Ts>
Task<std::tuple<detail::NonVoid<Ts>...>> when_all(Task<Ts>... tasks) {
    TaskScope scope{co_await current_token()};
    std::tuple<std::optional<detail::NonVoid<Ts>>...> places;
    std::apply(
        [&](auto&... place) { (scope.spawn(detail::deliver(std::move(tasks), &place)), ...); },
        places
    );
    co_await detail::wait_for_all(&scope);
    if (!std::apply([](auto&... place) { return (place.has_value() && ...); }, places))
        detail::throw_cancelled_here();
    co_return std::apply(
        [](auto&... place) { return std::tuple<detail::NonVoid<Ts>...>{std::move(*place)...}; },
        places
    );
}

/// As above for any number of tasks of one type; results in the order of the tasks.
template <class T>
Task<std::vector<detail::NonVoid<T>>> when_all(std::vector<Task<T>> tasks) {
    TaskScope scope{co_await current_token()};
    std::vector<std::optional<detail::NonVoid<T>>> places(tasks.size());
    for (std::size_t i = 0; i < tasks.size(); ++i)
        scope.spawn(detail::deliver(std::move(tasks[i]), &places[i]));
    co_await detail::wait_for_all(&scope);
    std::vector<detail::NonVoid<T>> results;
    results.reserve(places.size());
    for (auto& place : places) {
        if (!place) detail::throw_cancelled_here();
        results.push_back(std::move(*place));
    }
    co_return results;
}

/// Runs the tasks concurrently; the index and the result of the first to end. The others are
/// cancelled and waited for. An error of the first is thrown, as an Error. Errors:
/// `invalid_request` when there are no tasks. Cancel safety: cancels the tasks, waits for them,
/// throws `cancelled`.
template <class T>
Task<std::pair<std::size_t, detail::NonVoid<T>>> when_any(std::vector<Task<T>> tasks) {
    using Outcome = detail::AnyOutcome<detail::NonVoid<T>>;
    if (tasks.empty()) detail::throw_no_tasks();
    TaskScope scope{co_await current_token()};
    std::optional<Outcome> winner;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        scope.spawn(detail::compete<T, Outcome>(std::move(tasks[i]), i, &winner, scope.token()));
    }
    co_await detail::wait_for_all(&scope);
    if (!winner) detail::throw_cancelled_here();
    if (winner->error) throw std::move(*winner->error);
    co_return std::pair{winner->index, std::move(*winner->result)};
}

namespace detail {

template <class Variant, std::size_t I, class T>
Task<Variant> as_alternative(Task<T> task) {
    if constexpr (std::is_void_v<T>) {
        co_await std::move(task);
        co_return Variant{std::in_place_index<I>};
    } else {
        co_return Variant{std::in_place_index<I>, co_await std::move(task)};
    }
}

}  // namespace detail

/// As above for tasks of different types: a variant whose index tells which was first.
template <class First, class... Rest>
Task<std::variant<detail::NonVoid<First>, detail::NonVoid<Rest>...>> when_any(
    Task<First> first, Task<Rest>... rest
) {
    using Variant = std::variant<detail::NonVoid<First>, detail::NonVoid<Rest>...>;
    std::vector<Task<Variant>> tasks;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        tasks.push_back(detail::as_alternative<Variant, 0>(std::move(first)));
        (tasks.push_back(detail::as_alternative<Variant, I + 1>(std::move(rest))), ...);
    }(std::index_sequence_for<Rest...>{});
    auto won = co_await when_any(std::move(tasks));
    co_return std::move(won.second);
}

}  // namespace stator::inline runtime
