#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/semaphore.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator {
namespace {

using EventTest = test::OnLoop;
using SemaphoreTest = test::OnLoop;

Task<> wait_on(Event* event) { co_await event->wait(); }

TEST_F(EventTest, once_set_every_present_and_future_wait_completes_until_reset) {
    Event event;
    auto first = test.run(wait_on(&event));
    auto second = test.run(wait_on(&event));
    EXPECT_FALSE(event.is_set());
    event.set();
    event.set();
    EXPECT_TRUE(event.is_set());
    EXPECT_FALSE(first.done()) << "set wakes, it does not run what waits";
    test.settle();
    EXPECT_TRUE(first.ok());
    EXPECT_TRUE(second.ok());
    EXPECT_TRUE(test.run(wait_on(&event)).ok());
    event.reset();
    EXPECT_FALSE(test.run(wait_on(&event)).done());
    event.set();
    test.settle();
}

TEST_F(EventTest, a_reset_after_set_does_not_take_back_what_was_granted) {
    Event event;
    auto waiting = test.run(wait_on(&event));
    event.set();
    event.reset();
    test.settle();
    EXPECT_TRUE(waiting.ok());
}

TEST_F(EventTest, a_cancelled_wait_throws_and_the_others_go_on_waiting) {
    Event event;
    const auto token = CancellationToken::make();
    auto cancelled = test.run(with_token(token, wait_on(&event)));
    auto other = test.run(wait_on(&event));
    token.cancel();
    test.settle();
    EXPECT_EQ(cancelled.error(), ErrorCode::cancelled);
    EXPECT_FALSE(other.done());
    event.set();
    test.settle();
    EXPECT_TRUE(other.ok());
    EXPECT_EQ(cancelled.times(), 1);
}

TEST_F(EventTest, a_wait_under_a_cancelled_token_throws_unless_it_is_set) {
    Event event;
    const auto token = CancellationToken::make();
    token.cancel();
    EXPECT_EQ(test.run(with_token(token, wait_on(&event))).error(), ErrorCode::cancelled);
    event.set();
    EXPECT_TRUE(test.run(with_token(token, wait_on(&event))).ok());
}

TEST_F(EventTest, each_waiter_is_woken_on_its_own_loop) {
    test::TestLoop other;
    Event event;
    auto here = test.run(wait_on(&event));
    auto there = other.run(wait_on(&event));
    event.set();
    test.settle();
    EXPECT_TRUE(here.ok());
    EXPECT_FALSE(there.done());
    other.settle();
    EXPECT_TRUE(there.ok());
}

TEST_F(EventTest, the_woken_task_may_destroy_it) {
    auto event = std::make_unique<Event>();
    auto body = [&](this auto) -> Task<> {
        co_await event->wait();
        event.reset();
    };
    auto outcome = test.run(body());
    event->set();
    test.settle();
    EXPECT_TRUE(outcome.ok());
}

/// Acquires, notes its name, and holds the units until `release`.
Task<> hold(
    Semaphore* semaphore, std::size_t units, std::string* order, char name, Event* release
) {
    const auto permit = co_await semaphore->acquire(units);
    EXPECT_EQ(permit.units(), units);
    *order += name;
    co_await release->wait();
}

TEST_F(SemaphoreTest, units_are_taken_and_given_back) {
    Semaphore semaphore{3};
    {
        auto one = semaphore.try_acquire();
        ASSERT_TRUE(one.has_value());
        EXPECT_EQ(one->units(), 1U);
        auto two = semaphore.try_acquire(2);
        ASSERT_TRUE(two.has_value());
        EXPECT_EQ(semaphore.available(), 0U);
        EXPECT_FALSE(semaphore.try_acquire().has_value());
        one.reset();
        EXPECT_EQ(semaphore.available(), 1U);
        Permit moved = std::move(*two);
        two.reset();
        EXPECT_EQ(semaphore.available(), 1U);
        moved = Permit{};
        EXPECT_EQ(semaphore.available(), 3U);
    }
    EXPECT_EQ(semaphore.available(), 3U);
    EXPECT_TRUE(semaphore.try_acquire(0).has_value());
}

TEST_F(SemaphoreTest, is_first_come_first_served_so_a_large_request_is_not_starved) {
    Semaphore semaphore{4};
    std::string order;
    Event first_done;
    Event rest_done;
    test.run(hold(&semaphore, 2, &order, 'a', &first_done));
    test.run(hold(&semaphore, 4, &order, 'L', &rest_done));
    test.run(hold(&semaphore, 1, &order, 'b', &rest_done));
    EXPECT_EQ(order, "a") << "2 units are free, but the large request is before the small one";
    EXPECT_FALSE(semaphore.try_acquire(1).has_value());
    first_done.set();
    test.settle();
    EXPECT_EQ(order, "aL");
    rest_done.set();
    test.settle();
    EXPECT_EQ(order, "aLb");
    EXPECT_EQ(semaphore.available(), 4U);
}

TEST_F(SemaphoreTest, cancelling_the_large_request_at_the_head_lets_the_others_go) {
    Semaphore semaphore{4};
    std::string order;
    Event done;
    const auto token = CancellationToken::make();
    test.run(hold(&semaphore, 2, &order, 'a', &done));
    auto large = test.run(with_token(token, hold(&semaphore, 4, &order, 'L', &done)));
    test.run(hold(&semaphore, 1, &order, 'b', &done));
    test.run(hold(&semaphore, 1, &order, 'c', &done));
    test.run(hold(&semaphore, 1, &order, 'd', &done));
    token.cancel();
    test.settle();
    EXPECT_EQ(large.error(), ErrorCode::cancelled);
    EXPECT_EQ(order, "abc");
    done.set();
    test.settle();
    EXPECT_EQ(order, "abcd");
    EXPECT_EQ(semaphore.available(), 4U);
}

TEST_F(SemaphoreTest, cancelling_in_the_middle_changes_nothing_for_the_others) {
    Semaphore semaphore{1};
    std::string order;
    Event first_done;
    Event done;
    const auto token = CancellationToken::make();
    test.run(hold(&semaphore, 1, &order, 'a', &first_done));
    test.run(hold(&semaphore, 1, &order, 'b', &done));
    auto middle = test.run(with_token(token, hold(&semaphore, 1, &order, 'm', &done)));
    test.run(hold(&semaphore, 1, &order, 'c', &done));
    token.cancel();
    test.settle();
    EXPECT_EQ(middle.error(), ErrorCode::cancelled);
    done.set();
    first_done.set();
    test.settle();
    EXPECT_EQ(order, "abc");
    EXPECT_EQ(semaphore.available(), 1U);
}

TEST_F(SemaphoreTest, units_granted_before_the_cancel_are_not_lost) {
    Semaphore semaphore{1};
    std::string order;
    Event done;
    const auto token = CancellationToken::make();
    auto first = semaphore.try_acquire();
    auto waiting = test.run(with_token(token, hold(&semaphore, 1, &order, 'w', &done)));
    first.reset();   // granted,
    token.cancel();  // then cancelled: the task has its permit, and throws at its next wait
    test.settle();
    EXPECT_EQ(order, "w");
    EXPECT_EQ(waiting.error(), ErrorCode::cancelled);
    EXPECT_EQ(semaphore.available(), 1U);
}

TEST_F(SemaphoreTest, one_release_may_grant_several) {
    Semaphore semaphore{4};
    std::string order;
    Event first_done;
    Event done;
    test.run(hold(&semaphore, 4, &order, 'a', &first_done));
    for (const char name : {'b', 'c', 'd', 'e', 'f'}) {
        test.run(hold(&semaphore, 1, &order, name, &done));
    }
    first_done.set();
    test.settle();
    EXPECT_EQ(order, "abcde");
    done.set();
    test.settle();
    EXPECT_EQ(order, "abcdef");
}

TEST_F(SemaphoreTest, more_than_there_are_waits_until_it_is_cancelled) {
    Semaphore semaphore{1};
    std::string order;
    Event done;
    auto outcome = test.run(hold(&semaphore, 2, &order, 'x', &done));
    EXPECT_FALSE(outcome.done());
    test.scope().cancel();
    test.settle();
    EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
    EXPECT_EQ(semaphore.available(), 1U);
}

}  // namespace
}  // namespace stator
