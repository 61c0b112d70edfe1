#include "stator/runtime/task_scope.hpp"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/loop_pool.hpp"

namespace stator::inline runtime {

namespace {

bool is_cancellation(const std::exception_ptr& error) noexcept {
    try {
        std::rethrow_exception(error);
    } catch (const Error& known) {
        return known.code() == ErrorCode::cancelled;
    } catch (...) {
        return false;
    }
}

}  // namespace

/// A running task of a scope: its frame, its environment, and what happens when it ends.
struct TaskScope::Job : detail::Completion {
    Job(TaskScope& scope_, Loop* loop, Task<void> task_, CancellationToken token) noexcept
        : Completion{&Job::on_done},
          scope{scope_},
          env{loop, std::move(token)},
          task{std::move(task_)} {
        auto& promise = task.handle().promise();
        promise.env = &env;
        promise.completion = this;
    }
    static void* operator new(std::size_t size) { return detail::take_frame(size); }
    static void operator delete(void* block, std::size_t size) noexcept {
        detail::give_frame(block, size);
    }

    static void on_done(Completion& completion) noexcept {
        auto& job = static_cast<Job&>(completion);
        TaskScope& scope = job.scope;
        auto error = std::move(job.task.handle().promise().error);
        delete &job;  // the frame, suspended for good, and everything it holds go before the scope
                      // hears of it
        scope.ended(std::move(error));
    }

    TaskScope& scope;
    Env env;
    Task<void> task;
};

TaskScope::TaskScope(CancellationToken parent) : token_{parent.child_token()} { idle_.set(); }

TaskScope::~TaskScope() {
    std::size_t running = 0;
    {
        const std::lock_guard guard{lock_};  // also waits for the last `ended` to leave
        running = running_;
    }
    if (running == 0) {
        report_error();
        return;
    }
    fmt::print(
        stderr,
        "stator: a TaskScope was destroyed while {} of its tasks run; close() it first\n",
        running
    );
    std::abort();
}

void TaskScope::spawn(Task<void> task) { spawn_on(*Loop::current(), std::move(task)); }

void TaskScope::spawn_on(Loop& loop, Task<void> task) { spawn_on(loop, std::move(task), token_); }

void TaskScope::spawn_on(Loop& loop, Task<void> task, CancellationToken token) {
    loop.wake(add(&loop, std::move(task), std::move(token)).task.handle());
}

void TaskScope::spawn_on(LoopPool& pool, Task<void> task) {
    Job& job = add(nullptr, std::move(task), token_);
    pool.start({job.task.handle(), &job.env});
}

TaskScope::Job& TaskScope::add(Loop* loop, Task<void> task, CancellationToken token) {
    auto* job = new Job{*this, loop, std::move(task), std::move(token)};
    const std::lock_guard guard{lock_};
    if (running_++ == 0) idle_.reset();
    return *job;
}

void TaskScope::ended(std::exception_ptr error) noexcept {
    const bool failed = error && !is_cancellation(error);
    bool first = false;
    if (failed) {
        const std::lock_guard guard{lock_};
        first = !error_;
        if (first) error_ = error;
    }
    if (first) token_.cancel();
    // The last thing that touches the scope: after the lock is released its owner may destroy it.
    const std::lock_guard guard{lock_};
    if (--running_ == 0) idle_.set();
}

std::size_t TaskScope::size() const noexcept {
    const std::lock_guard guard{lock_};
    return running_;
}

std::exception_ptr TaskScope::take_error() noexcept {
    const std::lock_guard guard{lock_};
    return std::exchange(error_, nullptr);
}

Task<> TaskScope::wait_until_idle() {
    while (size() != 0) co_await idle_.wait();
}

Task<> TaskScope::join() {
    co_await wait_until_idle();
    if (auto error = take_error()) std::rethrow_exception(error);
}

Task<> TaskScope::close(CancelReason reason) {
    token_.cancel(reason);
    co_await shielded(wait_until_idle());
    report_error();
}

/// An error that no `join` has thrown must not be lost silently.
void TaskScope::report_error() noexcept {
    const auto error = take_error();
    if (!error) return;
    sink().report(
        Severity::warn, "stator::runtime", fmt::format("a task failed: {}", to_error(error).what())
    );
}

}  // namespace stator::inline runtime
