// Tokens, scopes, channels, select, pools and actors under ten thousand interleavings each.

#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/actor.hpp"
#include "stator/runtime/channel.hpp"
#include "stator/runtime/notify.hpp"
#include "stator/runtime/object_pool.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/select.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "stator/testing/seeded_scheduler.hpp"
#include "tests/support/iterations.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::for_each_seed;
using testing::SeededScheduler;

const std::uint64_t seeds = test::iterations(10'000);

/// Throws when `held` is false: the seed is then named.
void check(bool held, const char* what) {
    if (!held) throw std::runtime_error{what};
}

Task<> pause(SeededScheduler* scheduler) {
    for (auto turns = scheduler->random().below(4); turns > 0; --turns) co_await yield();
}

TEST(Seeded, tokens_reach_every_waiter_below_and_none_above) {
    for_each_seed(seeds, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, 3};
        const auto root = CancellationToken::make();
        const auto branch = root.child_token();
        const auto other = root.child_token();
        int woken = 0;
        int others = 0;
        auto waits = [&](this auto, CancellationToken token, int* count) -> Task<> {
            co_await pause(&scheduler);
            const auto leaf = token.child_token();
            co_await leaf.wait();
            check(leaf.cancelled(), "woken without a cancel");
            ++*count;
        };
        auto cancels = [&](this auto, CancellationToken token) -> Task<> {
            co_await pause(&scheduler);
            token.cancel();
        };
        for (std::size_t i = 0; i < 6; ++i) scheduler.spawn(i % 3, waits(branch, &woken));
        for (std::size_t i = 0; i < 3; ++i) scheduler.spawn(i, waits(other, &others));
        scheduler.spawn(seed % 3, cancels(branch));
        scheduler.run();
        check(woken == 6, "a waiter below was not woken");
        check(others == 0, "a waiter beside was woken");
        check(!root.cancelled(), "the parent was cancelled");
        scheduler.spawn(0, cancels(root));
        scheduler.run_to_end();
        check(others == 3, "a waiter was not woken by the root");
    });
}

TEST(Seeded, scopes_join_every_task_and_keep_the_first_error) {
    for_each_seed(seeds, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, 3};
        int ended = 0;
        bool joined = false;
        auto work = [&](this auto, bool fails) -> Task<> {
            struct Count {
                int* at;
                ~Count() { ++*at; }
            } const count{&ended};
            co_await pause(&scheduler);
            if (fails) throw Error{ErrorCode::internal, "planned"};
            co_await sleep_for(1h);
        };
        auto owner = [&](this auto) -> Task<> {
            TaskScope scope{co_await current_token()};
            for (std::size_t i = 0; i < 5; ++i) {
                scope.spawn_on(scheduler.loop(scheduler.random().below(3)), work(i == 3));
                co_await pause(&scheduler);
            }
            const auto result = co_await as_result(scope.join());
            check(ended == 5, "joined before every task had ended");
            check(!result && result.error().code() == ErrorCode::internal, "the error was lost");
            joined = true;
        };
        scheduler.spawn(0, owner());
        scheduler.run_to_end();
        check(joined, "not joined");
    });
}

TEST(Seeded, channels_keep_order_and_lose_and_double_nothing) {
    for_each_seed(seeds, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, 3};
        Channel<int> channel{1 + seed % 3};
        const auto token = CancellationToken::make();
        std::vector<int> sent(3, 0);
        std::vector<int> received(3, 0);
        int producers = 3;
        auto produce = [&](this auto, int name) -> Task<> {
            for (int i = 0; i < 8; ++i) {
                co_await pause(&scheduler);
                check(co_await channel.send(name * 100 + i), "closed early");
                ++sent[static_cast<std::size_t>(name)];
            }
            if (--producers == 0) channel.close();
        };
        auto consume = [&](this auto, bool gives_up) -> Task<> {
            std::vector<int> last(3, -1);
            for (;;) {
                std::optional<int> item;
                auto take = [&](this auto) -> Task<> { item = co_await channel.receive(); };
                const auto taken =
                    co_await as_result(with_token(gives_up ? token : CancellationToken{}, take()));
                if (!taken || !item) co_return;
                const auto from = static_cast<std::size_t>(*item / 100);
                check(*item % 100 > last[from], "out of order");
                last[from] = *item % 100;
                ++received[from];
            }
        };
        auto cancels = [&](this auto) -> Task<> {
            for (int i = 0; i < 6; ++i) co_await pause(&scheduler);
            token.cancel();
        };
        for (std::size_t i = 0; i < 3; ++i) scheduler.spawn(i, produce(static_cast<int>(i)));
        scheduler.spawn(seed % 3, consume(true));
        scheduler.spawn((seed + 1) % 3, consume(false));
        scheduler.spawn(2, cancels());
        scheduler.run_to_end();
        check(sent == std::vector<int>(3, 8), "not everything was sent");
        check(received == sent, "items were lost or doubled");
    });
}

TEST(Seeded, select_loses_nothing_that_it_took) {
    for_each_seed(seeds, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, 2};
        Channel<int> left{2};
        Channel<int> right{2};
        int taken = 0;
        auto produce = [&](this auto, Channel<int>* into) -> Task<> {
            for (int i = 0; i < 10; ++i) {
                co_await pause(&scheduler);
                co_await into->send(1);
            }
        };
        auto receive = [](Channel<int>* from) -> Task<int> {
            co_return (co_await from->receive()).value_or(0);
        };
        auto consume = [&](this auto) -> Task<> {
            while (taken < 20) {
                auto [l, r] = co_await select(receive(&left), receive(&right));
                check(l || r, "nothing selected");
                taken += l.value_or(0) + r.value_or(0);
            }
        };
        scheduler.spawn(0, produce(&left));
        scheduler.spawn(1, produce(&right));
        scheduler.spawn(seed % 2, consume());
        scheduler.run_to_end();
        check(taken == 20, "items were lost");
    });
}

TEST(Seeded, pools_lend_each_object_to_one_at_a_time) {
    for_each_seed(seeds, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, 3};
        struct Seat {
            int users = 0;
        };
        const ObjectPool<Seat> pool{std::vector<Seat>(2)};
        const auto token = CancellationToken::make();
        int served = 0;
        auto use = [&](this auto) -> Task<> {
            co_await pause(&scheduler);
            auto seat = co_await pool.acquire();
            check(++seat->users == 1, "an object was lent twice");
            co_await pause(&scheduler);
            --seat->users;
            ++served;
        };
        for (std::size_t i = 0; i < 6; ++i) scheduler.spawn(i % 3, use());
        auto gives_up = [&](this auto) -> Task<> {
            (void)co_await as_result(with_token(token, use()));
        };
        for (std::size_t i = 0; i < 3; ++i) scheduler.spawn(i, gives_up());
        auto cancels = [&](this auto) -> Task<> {
            co_await pause(&scheduler);
            token.cancel();
        };
        scheduler.spawn(0, cancels());
        // One that was cancelled while it had a seat has not got up in order.
        scheduler.run_to_end();
        check(served >= 6, "somebody was not served");
        check(pool.available() == 2, "an object was not given back");
    });
}

TEST(Seeded, actors_answer_every_question_once_and_in_order) {
    for_each_seed(seeds, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, 3};
        TaskScope scope;
        auto actor = Actor<int>::start(
            scope, scheduler.loop(0), [] { return 0; }, {.mailbox = 1 + seed % 3}
        );
        int answers = 0;
        bool inside = false;
        auto asks = [&](this auto) -> Task<> {
            int last = 0;
            for (int i = 0; i < 4; ++i) {
                co_await pause(&scheduler);
                const int now = co_await actor.ask([&](int& n) -> Task<int> {
                    check(!std::exchange(inside, true), "two messages at once");
                    co_await pause(&scheduler);
                    inside = false;
                    co_return ++n;
                });
                check(now > last, "out of order");
                last = now;
                ++answers;
            }
            if (answers == 12) actor.stop();
        };
        for (std::size_t i = 0; i < 3; ++i) scheduler.spawn(i, asks());
        scheduler.run_to_end();
        check(answers == 12, "a question was not answered");
        check(scope.size() == 0 && actor.stopped(), "the actor did not end");
    });
}

TEST(Seeded, notifications_are_not_lost_with_a_waiter_that_gives_up) {
    for_each_seed(seeds, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, 2};
        Notify notify;
        const auto token = CancellationToken::make();
        int woken = 0;
        auto waits = [&](this auto) -> Task<> {
            co_await notify.wait();
            ++woken;
        };
        auto gives_up = [&](this auto) -> Task<> {
            const auto ended = co_await as_result(with_token(token, waits()));
            if (!ended) co_return;
            --woken;
            notify.notify_one();  // not for this one
        };
        auto acts = [&](this auto) -> Task<> {
            co_await pause(&scheduler);
            token.cancel();
            co_await pause(&scheduler);
            notify.notify_one();
        };
        scheduler.spawn(0, gives_up());
        scheduler.spawn(seed % 2, waits());
        scheduler.spawn(1, acts());
        scheduler.run_to_end();
        check(woken == 1, "the notification was lost");
    });
}

}  // namespace
}  // namespace stator
