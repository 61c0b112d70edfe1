#include "stator/runtime/on_loop.hpp"

#include <optional>
#include <semaphore>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

/// Two loops; `run` drives a task on the first and blocks until it has ended.
class OnLoop : public testing::Test {
protected:
    Loop& home() { return pool_[0]; }
    Loop& away() { return pool_[1]; }

    template <class T>
    static Task<> keep(
        Task<T> task, std::optional<Result<T>>* outcome, std::binary_semaphore* done
    ) {
        outcome->emplace(co_await as_result(std::move(task)));
        done->release();
    }
    template <class T>
    Result<T> run(Task<T> task, CancellationToken token = {}) {
        std::optional<Result<T>> outcome;
        std::binary_semaphore done{0};
        TaskScope scope{std::move(token)};
        scope.spawn_on(home(), keep(std::move(task), &outcome, &done));
        done.acquire();
        while (scope.size() != 0) std::this_thread::yield();
        return std::move(*outcome);
    }

private:
    LoopPool pool_{2, "on-loop"};
};

Task<Loop*> here() {
    co_await yield();
    co_return Loop::current();
}

struct Places {
    Loop* before;
    Loop* there;
    Loop* after;
};

Task<Places> visit(Loop* target) {
    Places places{Loop::current(), nullptr, nullptr};
    places.there = co_await on_loop(*target, here());
    places.after = Loop::current();
    co_return places;
}

TEST_F(OnLoop, RunsThereAndReturnsHome) {
    const auto places = run(visit(&away()));
    ASSERT_TRUE(places);
    EXPECT_EQ(places->before, &home());
    EXPECT_EQ(places->there, &away());
    EXPECT_EQ(places->after, &home());
}

TEST_F(OnLoop, OnItsOwnLoopDoesNotHop) {
    const auto places = run(visit(&home()));
    ASSERT_TRUE(places);
    EXPECT_EQ(places->there, &home());
    EXPECT_EQ(places->after, &home());
}

Task<std::string> fails() {
    co_await yield();
    throw Error{ErrorCode::not_found, "nothing here"};
}

Task<std::string> await_failure(Loop* target, Loop** where) {
    auto outcome = co_await as_result(on_loop(*target, fails()));
    *where = Loop::current();
    if (!outcome) throw outcome.error();
    co_return *outcome;
}

TEST_F(OnLoop, ThrowsAtHome) {
    Loop* where = nullptr;
    const auto outcome = run(await_failure(&away(), &where));
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code(), ErrorCode::not_found);
    EXPECT_EQ(where, &home());
}

Task<> wait_for_ever(Event* started) {
    started->set();
    co_await sleep_until(Deadline::never());
}

Task<> cancel_when(Event* started, CancellationToken token) {
    co_await started->wait();
    token.cancel();
}

Task<> cancel_a_visit(Loop* away) {
    auto token = CancellationToken::make();
    Event started;
    TaskScope scope;
    scope.spawn(cancel_when(&started, token));
    auto outcome = co_await as_result(with_token(token, on_loop(*away, wait_for_ever(&started))));
    co_await scope.close();
    if (outcome) throw Error{ErrorCode::internal, "ended without being cancelled"};
    throw outcome.error();
}

TEST_F(OnLoop, ForwardsCancellation) {
    const auto outcome = run(cancel_a_visit(&away()));
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code(), ErrorCode::cancelled) << outcome.error().what();
}

Task<> short_visit(Loop* away, int* visits) {
    co_await on_loop(*away, here());
    ++*visits;  // home's alone
}

Task<int> many_visits(Loop* away, int count) {
    int visits = 0;
    TaskScope scope;
    for (int i = 0; i < count; ++i) scope.spawn(short_visit(away, &visits));
    co_await scope.join();
    co_return visits;
}

TEST_F(OnLoop, ManyAtOnce) {
    const auto visits = run(many_visits(&away(), 10'000));
    ASSERT_TRUE(visits);
    EXPECT_EQ(*visits, 10'000);
}

/// A cancellation that crosses the end: either outcome is right, a hang or a crash is not.
Task<int> race_once(Loop* away) {
    auto token = CancellationToken::make();
    TaskScope scope;
    scope.spawn_on(*away, [](CancellationToken target) -> Task<> {
        target.cancel();
        co_return;
    }(token));
    auto outcome = co_await as_result(with_token(token, on_loop(*away, here())));
    co_await scope.close();
    co_return outcome ? 1 : 0;
}

Task<int> race(Loop* away, int rounds) {
    int ended = 0;
    for (int i = 0; i < rounds; ++i) ended += co_await race_once(away);
    co_return ended;
}

TEST_F(OnLoop, CancellationMayCrossTheEnd) { ASSERT_TRUE(run(race(&away(), 2000))); }

}  // namespace
}  // namespace stator
