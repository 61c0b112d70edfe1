// What the tests of runtime share: a loop on a clock that moves when told, and outcomes of tasks.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include <gtest/gtest.h>

#include "stator/base/clock.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator::test {

/// How a started task ended, once it has. A cheap copy over shared state.
template <class T>
class Outcome {
public:
    bool done() const { return *ended_ > 0; }
    /// 0 or 1, unless something resumed the task that must not.
    int times() const { return *ended_; }
    bool ok() const { return result_->has_value() && (*result_)->has_value(); }
    /// The result; throws when there is none.
    decltype(auto) value() const { return result_->value().value(); }
    /// The class of the error; nothing while there is none.
    std::optional<ErrorCode> error() const {
        if (!result_->has_value() || (*result_)->has_value()) return std::nullopt;
        return (*result_)->error().code();
    }
    std::string message() const {
        return error() ? (*result_)->error().what() : std::string{"(no error)"};
    }

    static Task<> record(Outcome into, Task<T> task) {
        auto result = co_await as_result(std::move(task));
        into.result_->emplace(std::move(result));
        ++*into.ended_;
    }

private:
    std::shared_ptr<std::optional<Result<T>>> result_ =
        std::make_shared<std::optional<Result<T>>>();
    std::shared_ptr<int> ended_ = std::make_shared<int>(0);
};

/// A loop that runs only when told, on the thread of the test.
class TestLoop {
public:
    TestLoop() = default;
    explicit TestLoop(CancellationToken parent) : scope_{std::move(parent)} {}
    TestLoop(const TestLoop&) = delete;
    TestLoop& operator=(const TestLoop&) = delete;
    ~TestLoop() { finish(); }

    Loop& loop() { return loop_; }
    ManualClock& clock() { return clock_; }
    TaskScope& scope() { return scope_; }
    const CancellationToken& token() const { return scope_.token(); }

    template <class T>
    Outcome<T> start(Task<T> task) {
        Outcome<T> outcome;
        scope_.spawn_on(loop_, Outcome<T>::record(outcome, std::move(task)));
        return outcome;
    }
    /// Starts the task under `token` and runs the loop until it is idle.
    template <class T>
    Outcome<T> run(Task<T> task) {
        auto outcome = start(std::move(task));
        settle();
        return outcome;
    }
    /// Cancels what still runs. To be called before what that uses goes.
    void finish() {
        scope_.cancel();
        settle();
    }
    void settle() { loop_.run_until_idle(); }
    void advance(Duration by) {
        clock_.advance(by);
        settle();
    }

private:
    ManualClock clock_;
    Loop loop_{Loop::Options{.name = "test", .clock = &clock_}};
    TaskScope scope_;
};

class OnLoop : public ::testing::Test {
protected:
    TestLoop test;
};

}  // namespace stator::test
