// Computation that would hold a loop.
#pragma once

#include <cstdint>
#include <utility>

#include "stator/runtime/runtime.hpp"

namespace stator::inline runtime {

/// What a piece of work takes, roughly.
enum class WorkSize : std::uint8_t {
    small,   ///< Less than the way to another thread and back, some 20 us.
    medium,  ///< Up to a millisecond or so.
    large,   ///< More.
};

/// Runs `work()`, or `work(token)` with the token of this task: a small one here; a medium one
/// here, too, while another primary loop stays free, else as a large one; a large one on a thread
/// for computation. Then goes on here with its result, or throws what it threw. Cancel safety: work
/// that has not begun is taken back and `cancelled` thrown; work that has begun is waited for: it
/// may look at its token.
///
///     auto digest = co_await compute(runtime, [&] { return hash_of(block); });
template <class F>
Task<detail::WorkValue<F>> compute(Runtime runtime, WorkSize size, F work) {
    if (size != WorkSize::large) {
        const auto token = co_await current_token();
        if (token.cancelled()) detail::throw_cancelled(token);
        if (size == WorkSize::small) co_return detail::call_work(work, token);
        if (const auto here = runtime.in_place()) co_return detail::call_work(work, token);
    }
    co_return co_await offload_unless_cancelled(runtime.computing(), std::move(work));
}

template <class F>
Task<detail::WorkValue<F>> compute(Runtime runtime, F work) {
    return compute(std::move(runtime), WorkSize::large, std::move(work));
}

}  // namespace stator::inline runtime
