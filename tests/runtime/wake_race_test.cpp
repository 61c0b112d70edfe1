// Waking loops that sleep, and destroying what woke.

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/channel.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/version_gate.hpp"
#include "tests/runtime/patience.hpp"
#include "tests/runtime/race_rig.hpp"

namespace stator {
namespace {

using test::Dice;
using test::give_up;

template <class Condition>
void await(std::uint64_t seed, const char* otherwise, Condition condition) {
    const auto until = std::chrono::steady_clock::now() + test::patience();
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) give_up(otherwise, seed);
        std::this_thread::yield();
    }
}

TEST(WakeRace, no_wake_up_of_a_loop_that_goes_to_sleep_is_lost) {
    const auto seed = test::seed();
    const test::Budget budget{test::iterations(100'000)};
    LoopPool pool{1, "sleeper"};
    std::atomic<std::size_t> ran{0};
    std::atomic<std::size_t> posted{0};
    auto poster = [&](Dice dice) {
        for (std::size_t i = 0; budget.allows(i); ++i) {
            ++posted;
            // This thread hears of it some 100 ns later: the loop must not be asleep by then.
            pool[0].post([&, delay = dice.below(600)] {
                ++ran;
                test::spin(delay);
            });
            // Nothing else wakes the loop: if this one is lost it sleeps for ever.
            if (i % 4 == 0) await(seed, "a wake-up was lost", [&] { return ran == posted; });
            dice.pause();
        }
    };
    Dice dice{seed};
    std::thread other{poster, Dice{dice()}};
    poster(Dice{dice()});
    other.join();
    await(seed, "a wake-up was lost", [&] { return ran == posted; });
}

/// One of two that play on until the first says that it is over.
struct Player {
    Event turn;
    std::size_t played = 0;
};

Task<> play(Player* self, Player* other, test::Budget budget, std::atomic<bool>* over) {
    while (!*over) {
        co_await self->turn.wait();
        self->turn.reset();
        if (!budget.allows(++self->played)) *over = true;
        other->turn.set();
    }
}

TEST(WakeRace, two_loops_wake_each_other) {
    const auto seed = test::seed();
    const test::Budget budget{test::iterations(100'000)};
    LoopPool pool{2, "player"};
    Player left;
    Player right;
    std::atomic<bool> over{false};
    TaskScope scope;
    scope.spawn_on(pool[0], play(&left, &right, budget, &over));
    scope.spawn_on(pool[1], play(&right, &left, test::Budget{SIZE_MAX}, &over));
    left.turn.set();
    await(seed, "a wake-up was lost", [&] { return scope.size() == 0; });
    EXPECT_LE(left.played - right.played, 1U);
}

Task<> send_all(Channel<std::size_t>* channel, test::Budget budget, std::size_t* sent) {
    for (*sent = 0; budget.allows(*sent); ++*sent) co_await channel->send(*sent);
    channel->close();
}

Task<> receive_all(Channel<std::size_t>* channel, std::atomic<std::size_t>* received) {
    while (auto item = co_await channel->receive()) {
        EXPECT_EQ(*item, *received);
        ++*received;
    }
}

TEST(WakeRace, a_channel_between_two_loops_stalls_nobody_at_any_capacity) {
    const auto seed = test::seed();
    LoopPool pool{2, "end"};
    for (const std::size_t capacity : {1, 3, 64}) {
        const test::Budget budget{test::iterations(100'000)};
        Channel<std::size_t> channel{capacity};
        std::size_t sent = 0;
        std::atomic<std::size_t> received{0};
        TaskScope scope;
        scope.spawn_on(pool[0], send_all(&channel, budget, &sent));
        scope.spawn_on(pool[1], receive_all(&channel, &received));
        await(seed, "a channel stands still", [&] { return scope.size() == 0; });
        EXPECT_EQ(received, sent);
    }
}

Task<> take_turns(
    Semaphore* semaphore, test::Budget budget, std::size_t* inside, std::atomic<std::size_t>* turns
) {
    for (std::size_t i = 0; budget.allows(i); ++i) {
        const auto permit = co_await semaphore->acquire();
        ++*inside;  // no atomic: one at a time
        if (i % 16 == 0) co_await yield();
        ++*turns;
    }
}

TEST(WakeRace, a_semaphore_between_two_loops_stalls_nobody) {
    const auto seed = test::seed();
    const test::Budget budget{test::iterations(50'000)};
    LoopPool pool{2, "turn"};
    Semaphore semaphore{1};
    std::size_t inside = 0;
    std::atomic<std::size_t> turns{0};
    TaskScope scope;
    for (std::size_t i = 0; i < 4; ++i) {
        scope.spawn_on(pool[i % 2], take_turns(&semaphore, budget, &inside, &turns));
    }
    await(seed, "a semaphore stands still", [&] { return scope.size() == 0; });
    EXPECT_EQ(inside, turns);
}

TEST(WakeRace, an_item_that_comes_while_its_receiver_goes_to_wait_is_seen) {
    const auto seed = test::seed();
    const test::Budget budget{test::iterations(100'000)};
    LoopPool pool{1, "receiver"};
    Channel<std::size_t> channel{4};
    std::atomic<std::size_t> received{0};
    auto receiver = [&](this auto, Dice dice) -> Task<> {
        while (auto item = co_await channel.receive()) {
            EXPECT_EQ(*item, received);
            ++received;
            test::spin(dice.below(400));
        }
    };
    Dice dice{seed};
    TaskScope scope;
    scope.spawn_on(pool[0], receiver(Dice{dice()}));
    for (std::size_t i = 0; budget.allows(i); ++i) {
        ASSERT_TRUE(channel.try_send(std::size_t{i}));
        await(seed, "an item was not seen", [&] { return received > i; });
        test::spin(dice.below(100));
    }
    channel.close();
    await(seed, "the task never ended", [&] { return scope.size() == 0; });
}

/// Makes a Thing on a loop, hands it to `wake` on this thread, and destroys it as soon as it is
/// woken, which may be before `wake` has returned.
template <class Thing, class Wait, class Wake>
void woken_destroys(Wait wait, Wake wake, std::size_t rounds = test::iterations(50'000)) {
    const test::Budget budget{rounds};
    const auto seed = test::seed();
    LoopPool pool{1, "destroyer"};
    std::atomic<Thing*> offered{nullptr};
    std::atomic<std::size_t> destroyed{0};
    std::atomic<bool> over{false};
    auto body = [&](this auto) -> Task<> {
        while (!over) {
            auto thing = std::make_unique<Thing>();
            offered.store(thing.get(), std::memory_order_release);
            co_await wait(thing.get());
            thing.reset();
            ++destroyed;
        }
    };
    TaskScope scope;
    scope.spawn_on(pool[0], body());
    for (std::size_t i = 0; !over; ++i) {
        Thing* thing = nullptr;
        await(seed, "nothing was offered", [&] {
            thing = offered.exchange(nullptr, std::memory_order_acquire);
            return thing != nullptr;
        });
        if (!budget.allows(i + 1)) over = true;
        wake(*thing);
        await(seed, "nobody was woken", [&] { return destroyed > i; });
    }
    await(seed, "the task never ended", [&] { return scope.size() == 0; });
}

TEST(WakeRace, a_woken_task_may_destroy_the_event_at_once) {
    auto wait = [](Event* event) -> Task<> { co_await event->wait(); };
    woken_destroys<Event>(wait, [](Event& event) { event.set(); });
}

TEST(WakeRace, a_woken_task_may_destroy_the_channel_at_once) {
    struct One : Channel<int> {
        One() : Channel{1} {}
    };
    auto wait = [](One* channel) -> Task<> { EXPECT_EQ(co_await channel->receive(), 7); };
    woken_destroys<One>(wait, [](One& channel) { channel.try_send(7); });
    auto wait_closed = [](One* channel) -> Task<> { EXPECT_FALSE(co_await channel->receive()); };
    woken_destroys<One>(wait_closed, [](One& channel) { channel.close(); });
}

TEST(WakeRace, a_woken_task_may_destroy_the_semaphore_at_once) {
    struct Taken : Semaphore {
        Taken() : Semaphore{1}, permit{try_acquire()} {}
        std::optional<Permit> permit;
    };
    auto wait = [](Taken* taken) -> Task<> { const auto permit = co_await taken->acquire(); };
    woken_destroys<Taken>(wait, [](Taken& taken) {
        const auto permit = std::exchange(taken.permit, std::nullopt);
    });
}

TEST(WakeRace, a_woken_task_may_destroy_the_gate_at_once) {
    auto wait = [](VersionGate* gate) -> Task<> { EXPECT_EQ(co_await gate->wait_past(0), 1U); };
    woken_destroys<VersionGate>(wait, [](VersionGate& gate) { gate.advance(); });
    // Without a wait, by looking.
    auto look = [](VersionGate* gate) -> Task<> {
        while (gate->version() == 0) co_await yield();
    };
    woken_destroys<VersionGate>(look, [](VersionGate& gate) { gate.advance(); }, 1000);
}

}  // namespace
}  // namespace stator
