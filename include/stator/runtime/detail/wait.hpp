// The common half of every awaitable that waits until somebody wakes it or its task is cancelled.
#pragma once

#include <coroutine>
#include <cstdint>

#include "stator/runtime/cancellation_token.hpp"
#include "stator/runtime/env.hpp"
#include "stator/runtime/loop.hpp"

namespace stator::inline runtime::detail {

struct WaiterTag {};

/// Throws Error{cancelled} that names the reason of `token`.
[[noreturn]] void throw_cancelled(const CancellationToken& token);

/// Lives in the awaitable, so in the waiting task's frame; linked into the queue of what it waits
/// for.
///
/// Who may touch what: `granted` and the links belong to the queue's lock; `cancelled`, the hook
/// and the suspension belong to the waiter's loop. A grant and a cancellation may cross: the one
/// that takes the waiter out of the queue, under the queue's lock, wins, and it alone wakes the
/// task, once.
struct Waiter : ListLink<WaiterTag>, CancelHook {
    explicit Waiter(CancelHook::Fire on_cancel) noexcept : CancelHook{on_cancel} {}
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    std::coroutine_handle<> task;
    const Env* env = nullptr;
    Loop* home = nullptr;
    bool cancelled = false;

    template <StatorPromise Promise>
    void suspend(std::coroutine_handle<Promise> waiting) noexcept {
        task = waiting;
        env = waiting.promise().env;
        home = env->loop;
    }
    /// To be called after the waiter has been linked. False: the token was cancelled before,
    /// nothing is armed.
    bool arm() noexcept { return env->token.arm(*this); }
    void wake() noexcept { home->wake(task); }
    /// In await_resume: takes the hook back, throws if the wait was cancelled.
    void finish() {
        CancellationToken::disarm(*this);
        if (cancelled) throw_cancelled(env->token);
    }
};

using WaiterQueue = IntrusiveList<Waiter, WaiterTag>;

}  // namespace stator::inline runtime::detail
