// A test's body on a loop of its own, with a bound.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include <gtest/gtest.h>

#include "stator/base/deadline.hpp"
#include "stator/base/error.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::testing {

namespace detail {

inline Task<> guarded(Loop* loop, std::function<Task<>()>* body, std::optional<Error>* failure) {
    using namespace std::chrono_literals;
    auto ended = co_await as_result(with_deadline(Deadline::in(20s), (*body)()));
    if (!ended) *failure = ended.error();
    loop->stop();
}

}  // namespace detail

/// Runs `body` on a loop of its own, bounded by 20 s; what it throws is a failure of the test.
inline void on_a_loop(std::function<Task<>()> body) {
    Loop loop;
    std::optional<Error> failure;
    {
        TaskScope scope;
        loop.post([&] { scope.spawn(detail::guarded(&loop, &body, &failure)); });
        loop.run();
        EXPECT_EQ(scope.size(), 0U);
    }
    if (failure) ADD_FAILURE() << failure->what();
}

}  // namespace stator::testing
