#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stator/runtime/actor.hpp"
#include "stator/runtime/barrier.hpp"
#include "stator/runtime/broadcast.hpp"
#include "stator/runtime/channel.hpp"
#include "stator/runtime/critical_task.hpp"
#include "stator/runtime/interval.hpp"
#include "stator/runtime/mutex.hpp"
#include "stator/runtime/notify.hpp"
#include "stator/runtime/object_pool.hpp"
#include "stator/runtime/once_cell.hpp"
#include "stator/runtime/select.hpp"
#include "stator/runtime/watch_channel.hpp"
#include "tests/runtime/loop_fixture.hpp"
#include "tests/runtime/recording_sink.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using Structured = test::OnLoop;

TEST_F(Structured, a_mutex_is_held_across_suspensions_and_given_in_order) {
    Mutex mutex;
    std::string order;
    auto body = [&](this auto, char name) -> Task<> {
        const auto lock = co_await mutex.lock();
        order += name;
        co_await yield();
        order += name;
    };
    for (const char name : {'a', 'b', 'c'}) test.start(body(name));
    test.settle();
    EXPECT_EQ(order, "aabbcc");
    EXPECT_TRUE(mutex.try_lock());
    const auto held = mutex.try_lock();
    EXPECT_FALSE(mutex.try_lock());
}

TEST_F(Structured, notify_one_wakes_one_or_the_next_to_come) {
    Notify notify;
    auto wait = [&](this auto) -> Task<> { co_await notify.wait(); };
    notify.notify_one();
    notify.notify_one();  // counts as one
    EXPECT_TRUE(test.run(wait()).ok());
    auto first = test.run(wait());
    auto second = test.run(wait());
    EXPECT_FALSE(first.done());
    notify.notify_one();
    test.settle();
    EXPECT_TRUE(first.ok());
    EXPECT_FALSE(second.done());
    auto third = test.run(wait());
    notify.notify_all();
    test.settle();
    EXPECT_TRUE(second.ok() && third.ok());
    EXPECT_FALSE(test.run(wait()).done()) << "notify_all is not for those to come";
    test.finish();
}

TEST_F(Structured, a_notification_of_a_cancelled_waiter_goes_to_the_next) {
    Notify notify;
    auto wait = [&](this auto) -> Task<> { co_await notify.wait(); };
    const auto token = CancellationToken::make();
    auto first = test.run(with_token(token, wait()));
    auto second = test.run(wait());
    token.cancel();
    test.settle();
    notify.notify_one();
    test.settle();
    EXPECT_EQ(first.error(), ErrorCode::cancelled);
    EXPECT_TRUE(second.ok());
}

TEST_F(Structured, a_barrier_lets_all_go_together_and_one_of_them_know) {
    Barrier barrier{3};
    auto arrive = [&](this auto) -> Task<bool> { co_return co_await barrier.arrive_and_wait(); };
    for (int round = 0; round < 2; ++round) {
        auto a = test.run(arrive());
        const auto token = CancellationToken::make();
        auto gone = test.run(with_token(token, arrive()));
        token.cancel();
        test.settle();
        EXPECT_EQ(gone.error(), ErrorCode::cancelled);
        auto b = test.run(arrive());
        EXPECT_FALSE(a.done() || b.done()) << "the one that left does not count";
        auto c = test.run(arrive());
        EXPECT_EQ(a.value() + b.value() + c.value(), 1);
    }
}

TEST_F(Structured, a_once_cell_is_made_once_and_again_after_a_failure) {
    OnceCell<std::string> cell;
    int made = 0;
    auto get = [&](this auto, bool fails) -> Task<std::string> {
        auto make = [&made, fails](this auto) -> Task<std::string> {
            ++made;
            co_await yield();
            if (fails) throw Error{ErrorCode::unavailable, "not now"};
            co_return "made " + std::to_string(made);
        };
        co_return *co_await cell.get_or_make(make);
    };
    EXPECT_EQ(cell.get(), nullptr);
    auto first = test.start(get(true));
    auto second = test.start(get(false));
    auto third = test.start(get(false));
    test.settle();
    EXPECT_EQ(first.error(), ErrorCode::unavailable);
    EXPECT_EQ(second.value(), "made 2");
    EXPECT_EQ(third.value(), "made 2");
    EXPECT_EQ(*cell.get(), "made 2");
    EXPECT_EQ(made, 2);
}

TEST_F(Structured, a_watch_channel_gives_the_latest_and_misses_no_change) {
    WatchChannel<int> channel{0};
    std::vector<int> seen;
    auto watch = [&](this auto) -> Task<> {
        auto latest = channel.latest();
        while (*latest.value < 5) {
            latest = co_await channel.newer_than(latest.version);
            seen.push_back(*latest.value);
        }
    };
    auto outcome = test.run(watch());
    channel.send(1);
    test.settle();
    channel.send(2);
    channel.send(3);
    test.settle();
    channel.send(5);
    test.settle();
    EXPECT_TRUE(outcome.ok());
    EXPECT_EQ(seen, (std::vector{1, 3, 5}));
}

TEST_F(Structured, a_broadcast_gives_every_item_to_every_reader_and_tells_what_was_lost) {
    Broadcast<int> channel{3};
    auto read = [](this auto, Broadcast<int>::Reader reader) -> Task<std::string> {
        std::string seen;
        while (auto item = co_await reader.next()) {
            if (item->lost > 0) seen += "(" + std::to_string(item->lost) + " lost)";
            seen += std::to_string(*item->value);
        }
        co_return seen;
    };
    auto early = channel.reader();
    auto prompt = test.run(read(channel.reader()));
    for (int i = 1; i <= 5; ++i) {
        EXPECT_TRUE(channel.send(i));
        test.settle();
    }
    auto late = test.run(read(early));
    auto newest = test.run(read(channel.reader()));
    channel.send(6);
    channel.close();
    EXPECT_FALSE(channel.send(7));
    test.settle();
    EXPECT_EQ(prompt.value(), "123456");
    EXPECT_EQ(late.value(), "(2 lost)3456");
    EXPECT_EQ(newest.value(), "6");
}

TEST_F(Structured, an_interval_treats_missed_ticks_as_asked) {
    const auto ticks_of = [&](MissedTicks missed) {
        std::vector<Duration> seen;
        const auto begun = test.clock().now();
        auto body = [&](this auto) -> Task<> {
            Interval every{10ms, missed};
            for (int i = 0; i < 6; ++i) {
                co_await every.tick();
                seen.push_back(Clock::current().now() - begun);
                if (i == 1) co_await sleep_for(35ms);
            }
        };
        auto outcome = test.start(body());
        for (int i = 0; i < 200 && !outcome.done(); ++i) test.advance(1ms);
        EXPECT_TRUE(outcome.ok());
        const auto first = seen.front();
        for (auto& at : seen) at -= first;
        return seen;
    };
    using Seen = std::vector<Duration>;
    EXPECT_EQ(ticks_of(MissedTicks::burst), (Seen{0ms, 10ms, 45ms, 45ms, 45ms, 50ms}));
    EXPECT_EQ(ticks_of(MissedTicks::delay), (Seen{0ms, 10ms, 45ms, 55ms, 65ms, 75ms}));
    EXPECT_EQ(ticks_of(MissedTicks::skip), (Seen{0ms, 10ms, 45ms, 50ms, 60ms, 70ms}));
}

Task<int> receive(Channel<int>* channel) {
    auto item = co_await channel->receive();
    co_return item.value_or(-1);
}

TEST_F(Structured, select_gives_the_first_and_loses_nothing) {
    Channel<int> left{4};
    Channel<int> right{4};
    auto once = [&](this auto) -> Task<std::string> {
        auto [l, r] = co_await select(receive(&left), receive(&right));
        co_return (l ? "l" + std::to_string(*l) : "") + (r ? "r" + std::to_string(*r) : "");
    };
    auto waits = test.run(once());
    EXPECT_FALSE(waits.done());
    EXPECT_TRUE(right.try_send(1));
    test.settle();
    EXPECT_EQ(waits.value(), "r1");
    EXPECT_TRUE(left.try_send(2));  // was not taken by the one that lost
    EXPECT_EQ(test.run(once()).value(), "l2");
    auto both = test.run(once());
    EXPECT_TRUE(left.try_send(3) && right.try_send(4));  // in one turn: both are handed over
    test.settle();
    EXPECT_EQ(both.value(), "l3r4");
    EXPECT_EQ(left.size() + right.size(), 0U);
}

TEST_F(Structured, select_throws_the_first_error_and_is_cancelled_as_a_whole) {
    Channel<int> channel{1};
    auto fails = [](this auto) -> Task<int> {
        co_await sleep_for(1ms);
        throw Error{ErrorCode::not_found, "none"};
    };
    auto outcome = test.start(select(receive(&channel), fails()));
    test.settle();
    test.advance(1ms);
    EXPECT_EQ(outcome.error(), ErrorCode::not_found);
    const auto token = CancellationToken::make();
    auto cancelled = test.run(with_token(token, select(receive(&channel), receive(&channel))));
    token.cancel();
    test.settle();
    EXPECT_EQ(cancelled.error(), ErrorCode::cancelled);
}

TEST_F(Structured, a_timeout_is_no_error) {
    Channel<int> channel{1};
    auto late = test.start(timeout(10ms, receive(&channel)));
    test.settle();
    test.advance(10ms);
    ASSERT_TRUE(late.ok());
    EXPECT_EQ(late.value(), std::nullopt);
    EXPECT_TRUE(channel.try_send(3));
    EXPECT_EQ(test.run(timeout(10ms, receive(&channel))).value(), 3);
    auto fails = [](this auto) -> Task<int> {
        throw Error{ErrorCode::deadline_exceeded, "its own"};
        co_return 1;
    };
    EXPECT_EQ(test.run(timeout(10ms, fails())).error(), ErrorCode::deadline_exceeded);
}

struct Desk {
    explicit Desk(int number_) : number{number_} {}
    void on_return() { ++returned; }
    int number;
    int returned = 0;
};

TEST_F(Structured, a_pool_lends_its_objects_in_turn_and_takes_them_back) {
    std::vector<Desk> desks;
    desks.emplace_back(1);
    desks.emplace_back(2);
    ObjectPool<Desk> pool{std::move(desks)};
    auto one = pool.try_acquire();
    auto two = pool.try_acquire();
    ASSERT_TRUE(one && two);
    EXPECT_EQ((*one)->number, 1);
    EXPECT_EQ((*two)->number, 2);
    EXPECT_FALSE(pool.try_acquire());
    auto take = [&](this auto) -> Task<int> {
        auto item = co_await pool.acquire();
        co_return item->number * 10 + item->returned;
    };
    auto waits = test.run(take());
    EXPECT_FALSE(waits.done());
    auto shared = std::move(*two).into_shared();
    const auto other = shared;
    shared.reset();
    test.settle();
    EXPECT_FALSE(waits.done());
    EXPECT_EQ(other->number, 2);
    one.reset();
    test.settle();
    EXPECT_EQ(waits.value(), 11);
    EXPECT_EQ(pool.available(), 1U);
}

TEST_F(Structured, a_lent_object_may_outlive_the_pool) {
    std::optional<ObjectPool<Desk>> pool;
    std::vector<Desk> desks;
    desks.emplace_back(1);
    pool.emplace(std::move(desks));
    auto item = pool->try_acquire();
    pool.reset();
    EXPECT_EQ((*item)->number, 1);
}

class Actors : public test::OnLoop {
protected:
    template <class S>
    Actor<S> start(S first, ActorOptions options = {}) {
        return Actor<S>::start(test.scope(), test.loop(), [first] { return first; }, options);
    }
};

TEST_F(Actors, handle_messages_one_at_a_time_and_in_order) {
    auto actor = start(std::string{});
    auto slow = [&](this auto, char letter) -> Task<std::string> {
        co_return co_await actor.ask([letter](std::string& text) -> Task<std::string> {
            text += letter;
            co_await yield();
            text += letter;
            co_return text;
        });
    };
    auto a = test.start(slow('a'));
    auto b = test.start(slow('b'));
    test.settle();
    EXPECT_EQ(a.value(), "aa");
    EXPECT_EQ(b.value(), "aabb");
    EXPECT_TRUE(test.run(actor.tell([](std::string& text) { text = "told"; })).value());
    EXPECT_EQ(test.run(actor.ask([](std::string& text) { return text.size(); })).value(), 4U);
}

TEST_F(Actors, a_full_mailbox_makes_senders_wait_until_their_deadline) {
    auto actor = start(0, {.mailbox = 1});
    Event release;
    auto blocks = [&](int&) -> Task<> { co_await release.wait(); };
    const auto soon = [&] { return Deadline::at(test.clock().now() + 5ms); };
    EXPECT_TRUE(test.run(actor.tell(blocks)).value());               // runs
    EXPECT_TRUE(test.run(actor.tell([](int& n) { ++n; })).value());  // waits
    auto refused = test.start(actor.tell([](int& n) { ++n; }, soon()));
    auto late = test.start(actor.ask([](int& n) { return ++n; }, soon()));
    test.settle();
    test.advance(5ms);
    EXPECT_FALSE(refused.value());
    EXPECT_EQ(late.error(), ErrorCode::deadline_exceeded);
    release.set();
    test.settle();
    EXPECT_EQ(test.run(actor.ask([](int& n) { return n; })).value(), 1);
}

TEST_F(Actors, a_message_whose_deadline_passed_in_the_mailbox_is_not_handled) {
    auto actor = start(0);
    Event release;
    EXPECT_TRUE(test.run(actor.tell([&](int&) -> Task<> { co_await release.wait(); })).value());
    auto late =
        test.start(actor.ask([](int& n) { return ++n; }, Deadline::at(test.clock().now() + 5ms)));
    test.settle();
    test.advance(5ms);
    EXPECT_EQ(late.error(), ErrorCode::deadline_exceeded);
    release.set();
    test.settle();
    EXPECT_EQ(test.run(actor.ask([](int& n) { return n; })).value(), 0);
}

TEST_F(Actors, a_message_that_runs_at_its_deadline_is_cancelled) {
    auto actor = start(0);
    auto late = test.start(actor.ask(
        [](int&) -> Task<> { co_await sleep_until(Deadline::never()); },
        Deadline::at(test.clock().now() + 5ms)
    ));
    test.settle();
    test.advance(5ms);
    EXPECT_EQ(late.error(), ErrorCode::deadline_exceeded);
    EXPECT_EQ(test.run(actor.ask([](int& n) { return n; })).value(), 0) << "the next one runs";
}

TEST_F(Actors, a_failure_goes_to_whoever_asked_and_the_policy_decides_about_the_state) {
    const test::RecordingSink sink;
    const auto fails = [](int& n) -> int {
        ++n;
        throw Error{ErrorCode::not_found, "no"};
    };
    const auto look = [](int& n) { return n; };
    auto resumes = start(1);
    EXPECT_EQ(test.run(resumes.ask(fails)).error(), ErrorCode::not_found);
    EXPECT_EQ(test.run(resumes.ask(look)).value(), 2);
    auto restarts = start(1, {.on_failure = ActorFailure::restart, .most_restarts = 1});
    EXPECT_EQ(test.run(restarts.ask(fails)).error(), ErrorCode::not_found);
    EXPECT_EQ(test.run(restarts.ask(look)).value(), 1);
    EXPECT_EQ(test.run(restarts.ask(fails)).error(), ErrorCode::not_found);
    EXPECT_EQ(test.run(restarts.ask(look)).error(), ErrorCode::unavailable);
    EXPECT_TRUE(restarts.stopped());
    auto stops = start(1, {.on_failure = ActorFailure::stop});
    EXPECT_TRUE(test.run(stops.tell(fails)).value());
    test.settle();
    EXPECT_TRUE(stops.stopped());
    EXPECT_FALSE(test.run(stops.tell(look)).value());
    ASSERT_EQ(sink.reports().size(), 1U) << "of tell";
}

TEST_F(Actors, stop_handles_what_waits_and_a_cancel_refuses_it) {
    auto actor = start(0);
    auto first = test.start(actor.ask([](int& n) { return ++n; }));
    auto second = test.start(actor.ask([](int& n) { return ++n; }));
    test.start([](this auto, Actor<int> own) -> Task<> {
        own.stop();
        co_return;
    }(actor));
    test.settle();
    EXPECT_EQ(first.value() + second.value(), 3);
    TaskScope scope;
    auto held = Actor<int>::start(scope, test.loop(), [] { return 0; });
    auto never = test.start(held.tell([](int&) -> Task<> { co_await sleep_for(1h); }));
    auto asks = test.start(held.ask([](int& n) { return n; }));
    test.settle();
    EXPECT_TRUE(never.value());
    scope.cancel();
    test.settle();
    EXPECT_EQ(asks.error(), ErrorCode::unavailable);
    EXPECT_EQ(scope.size(), 0U);
}

class Critical : public ::testing::Test {
protected:
    template <class F>
    auto on_loop(F body) {
        return runtime.block_on(body());
    }
    Runtime runtime = Runtime::single_threaded();
    const CancellationToken parent = CancellationToken::make();
    test::RecordingSink sink;

    CriticalTask make(CriticalTask::Body body) {
        return {runtime.primary(), parent, "keeper", std::move(body)};
    }
};

Task<> waits_for(CancellationToken token) {
    const auto own = token;
    co_await sleep_until(Deadline::never());
}
Task<> ends(CancellationToken) { co_return; }
Task<> fails(CancellationToken) {
    throw Error{ErrorCode::internal, "broke"};
    co_return;
}

TEST_F(Critical, an_end_by_itself_concerns_nobody) {
    auto task = make(ends);
    runtime.block_on(task.join());
    EXPECT_TRUE(task.finished());
    EXPECT_FALSE(parent.cancelled());
}

TEST_F(Critical, a_failure_cancels_the_parent_and_is_thrown_with_its_name) {
    auto task = make(fails);
    try {
        runtime.block_on(task.join());
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::internal);
        EXPECT_THAT(error.what(), ::testing::HasSubstr("critical task keeper"));
    }
    EXPECT_TRUE(parent.cancelled());
    auto foreign = make([](CancellationToken) -> Task<> {
        throw std::runtime_error{"foreign"};
        co_return;
    });
    EXPECT_THROW(runtime.block_on(foreign.join()), Error);
    EXPECT_TRUE(sink.reports().empty());
}

TEST_F(Critical, the_parent_is_cancelled_before_anybody_joins) {
    auto task = make(fails);
    while (!parent.cancelled()) std::this_thread::yield();
    EXPECT_THROW(runtime.block_on(task.join()), Error);
}

TEST_F(Critical, a_graceful_cancel_leaves_the_parent_alone) {
    auto task = make(waits_for);
    EXPECT_FALSE(task.finished());
    task.cancel();
    EXPECT_TRUE(task.cancelled());
    runtime.block_on(task.join());
    EXPECT_FALSE(parent.cancelled());
}

TEST_F(Critical, a_cancelled_parent_ends_it) {
    auto task = make(waits_for);
    parent.cancel();
    runtime.block_on(task.join());
}

TEST_F(Critical, one_failure_of_several_ends_all) {
    auto first = make(waits_for);
    auto second = make(waits_for);
    auto third = make(fails);
    runtime.block_on(first.join());
    runtime.block_on(second.join());
    EXPECT_THROW(runtime.block_on(third.join()), Error);
}

TEST_F(Critical, a_dropped_handle_cancels_and_says_so) {
    std::atomic<bool> gone{false};
    {
        const auto task = make([&](CancellationToken token) -> Task<> {
            auto ended = co_await as_result(waits_for(token));
            gone = !ended;
        });
    }
    while (!gone) std::this_thread::yield();
    EXPECT_FALSE(parent.cancelled());
    ASSERT_EQ(sink.reports().size(), 1U);
    EXPECT_THAT(sink.reports()[0], ::testing::HasSubstr("keeper"));
}

TEST_F(Critical, a_failure_that_nobody_joins_for_is_reported_once) {
    for (const bool before : {false, true}) {
        const auto token = CancellationToken::make();
        std::promise<void> release;
        auto released = release.get_future().share();
        const auto earlier = sink.reports().size();
        {
            CriticalTask task{
                runtime.primary(),
                token,
                "orphan",
                [released](CancellationToken) -> Task<> {
                    released.wait();
                    throw Error{ErrorCode::internal, "broke"};
                    co_return;
                }
            };
            if (before) {
                release.set_value();
                while (!task.finished()) std::this_thread::yield();
            }
            task.detach();
            if (!before) release.set_value();
        }
        while (sink.reports().size() == earlier) std::this_thread::yield();
        EXPECT_EQ(sink.reports().size(), earlier + 1);
        EXPECT_THAT(sink.reports().back(), ::testing::HasSubstr("broke"));
        EXPECT_TRUE(token.cancelled());
    }
}

}  // namespace
}  // namespace stator
