// Streams made of other streams.
#pragma once

#include <exception>
#include <utility>

#include "stator/runtime/stream.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline runtime {

/// `change(item)` for each item. What `change` throws ends it. Closing it, or an error, closes
/// `items`. The example for streams that consume other streams.
template <class T, class F>
Stream<std::invoke_result_t<F&, T>> transformed(Stream<T> items, F change) {
    std::exception_ptr failure;
    try {
        while (auto item = co_await items.next()) co_yield change(std::move(*item));
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure) co_return;
    co_await shielded(items.close());
    std::rethrow_exception(failure);
}

/// The items of the stream that `opening` gives. Closing it, or an error, closes that one.
template <class T>
Stream<T> opened(Task<Stream<T>> opening) {
    auto items = co_await std::move(opening);
    std::exception_ptr failure;
    try {
        while (auto item = co_await items.next()) co_yield std::move(*item);
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure) co_return;
    co_await shielded(items.close());
    std::rethrow_exception(failure);
}

namespace detail {

template <class T>
Task<std::optional<T>> next_of(Stream<T>* items) {
    co_return co_await items->next();
}

}  // namespace detail

/// The items that come before `deadline`, then the end; what `items` waits for then is cancelled,
/// and `items` is closed. Errors: those of `items`.
template <class T>
Stream<T> until_deadline(Stream<T> items, Deadline deadline) {
    std::exception_ptr failure;
    try {
        for (;;) {
            auto item = co_await as_result(with_deadline(deadline, detail::next_of(&items)));
            if (!item && item.error().code() == ErrorCode::deadline_exceeded && deadline.passed())
                break;
            if (!item) throw std::move(item.error());
            if (!*item || deadline.passed()) break;
            co_yield std::move(**item);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    co_await shielded(items.close());
    if (failure) std::rethrow_exception(failure);
}

}  // namespace stator::inline runtime
