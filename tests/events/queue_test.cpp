// The queue of a subscriber: what each policy keeps, and that every event is accounted for.
#include <gtest/gtest.h>

#include "events/event_queue.hpp"
#include "stator/runtime/combinators.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::test {
namespace {

using namespace events;

EventEnvelope event(std::uint64_t publisher, std::uint64_t sequence, std::string_view text = "") {
    return {
        .publisher_id = publisher,
        .sequence = sequence,
        .published_at = 1,
        .topic = "t",
        .payload = Bytes::copy_of(text)
    };
}

SubscribeOptions options(Overflow overflow, std::size_t most_events = 3) {
    return {
        .scope = {"ns", {}, {}},
        .topic = "t",
        .most_events = most_events,
        .most_bytes = 1000,
        .overflow = overflow,
        .key = {}
    };
}

/// "1/0 1/1": publisher and sequence.
std::string all_of(EventQueue& queue) {
    std::string text;
    while (const auto taken = queue.take()) {
        if (!text.empty()) text += ' ';
        text += std::to_string(taken->publisher_id) + "/" + std::to_string(taken->sequence);
    }
    return text;
}

void put_five(EventQueue& queue) {
    for (std::uint64_t i = 0; i < 5; ++i) queue.put(event(1, i));
}

/// Each source's events are delivered, dropped or missed, once.
void expect_exact(const EventQueue& queue) {
    const auto counts = queue.counts();
    std::uint64_t sent = 0;
    std::uint64_t dropped = 0;
    std::uint64_t missed = 0;
    for (const auto& source : queue.sources()) {
        sent += source.last - source.first + 1;
        dropped += source.dropped;
        missed += source.missed;
    }
    EXPECT_EQ(sent, counts.delivered + counts.dropped + counts.missed + counts.waiting);
    EXPECT_EQ(dropped, counts.dropped);
    EXPECT_EQ(missed, counts.missed);
}

TEST(EventQueue, DropsTheNewest) {
    EventQueue queue{options(Overflow::drop_newest)};
    put_five(queue);
    expect_exact(queue);
    EXPECT_EQ(all_of(queue), "1/0 1/1 1/2");
    EXPECT_EQ(queue.counts().dropped, 2U);
    expect_exact(queue);
}

TEST(EventQueue, DropsTheOldest) {
    EventQueue queue{options(Overflow::drop_oldest)};
    put_five(queue);
    EXPECT_EQ(all_of(queue), "1/2 1/3 1/4");
    EXPECT_EQ(queue.counts().dropped, 2U);
    expect_exact(queue);
}

TEST(EventQueue, KeepsTheLatestOfEachPublisher) {
    EventQueue queue{options(Overflow::keep_latest)};
    for (std::uint64_t i = 0; i < 4; ++i) {
        queue.put(event(1, i));
        queue.put(event(2, i));
    }
    EXPECT_EQ(all_of(queue), "1/3 2/3");
    queue.put(event(1, 4));
    EXPECT_EQ(all_of(queue), "1/4");
    EXPECT_EQ(queue.counts().dropped, 6U);
    expect_exact(queue);
}

TEST(EventQueue, KeepsTheLatestOfEachKeyAndDropsTheOldestKeys) {
    auto wanted = options(Overflow::keep_latest);
    wanted.key = [](const EventEnvelope& of) { return of.payload.to_string(); };
    EventQueue queue{wanted};
    queue.put(event(1, 0, "a"));
    queue.put(event(1, 1, "b"));
    queue.put(event(1, 2, "a"));  // in the place of the first
    queue.put(event(1, 3, "c"));
    queue.put(event(1, 4, "d"));  // "a" goes
    queue.put(event(1, 5, "b"));
    EXPECT_EQ(all_of(queue), "1/5 1/3 1/4");
    queue.put(event(1, 6, "b"));
    EXPECT_EQ(all_of(queue), "1/6");
    expect_exact(queue);
}

TEST(EventQueue, IsBoundedInBytesToo) {
    const std::string text(400, 'x');
    for (const auto overflow : {Overflow::drop_newest, Overflow::drop_oldest}) {
        EventQueue queue{options(overflow, 100)};
        for (std::uint64_t i = 0; i < 5; ++i) queue.put(event(1, i, text));
        EXPECT_EQ(all_of(queue), overflow == Overflow::drop_newest ? "1/0 1/1" : "1/3 1/4");
        // One is taken, however large.
        queue.put(event(1, 5, std::string(5000, 'x')));
        queue.put(event(1, 6, "y"));
        EXPECT_EQ(all_of(queue), overflow == Overflow::drop_newest ? "1/5" : "1/6");
        expect_exact(queue);
    }
    EventQueue latest{options(Overflow::keep_latest, 100)};
    for (std::uint64_t publisher = 1; publisher < 4; ++publisher) latest.put(event(publisher, 0));
    for (std::uint64_t publisher = 1; publisher < 4; ++publisher)
        latest.put(event(publisher, 1, text));
    EXPECT_EQ(all_of(latest), "2/1 3/1");
    expect_exact(latest);
}

TEST(EventQueue, CountsGapsAndWhatComesTwice) {
    EventQueue queue{options(Overflow::drop_newest, 100)};
    queue.put(event(1, 7));
    queue.put(event(1, 10));
    queue.put(event(1, 10));
    queue.put(event(1, 9));
    queue.put(event(2, 3));
    queue.put(event(1, 11));
    queue.count_unreadable();
    EXPECT_EQ(all_of(queue), "1/7 1/10 2/3 1/11");
    const auto counts = queue.counts();
    EXPECT_EQ(counts.delivered, 4U);
    EXPECT_EQ(counts.missed, 2U);
    EXPECT_EQ(counts.repeated, 2U);
    EXPECT_EQ(counts.unreadable, 1U);
    const std::vector<SourceCounts> sources{{1, 7, 11, 0, 2}, {2, 3, 3, 0, 0}};
    EXPECT_EQ(queue.sources(), sources);
}

TEST(EventQueue, TellsASequenceThatReachesTheEnd) {
    EventQueue queue{options(Overflow::drop_newest)};
    constexpr auto last = std::numeric_limits<std::uint64_t>::max();
    queue.put(event(1, last - 1));
    queue.put(event(1, last));
    queue.put(event(1, 0));
    EXPECT_EQ(queue.counts().repeated, 1U);
    EXPECT_EQ(queue.counts().missed, 0U);
}

TEST(EventQueue, WhatWaitsIsTakenAfterTheEnd) {
    EventQueue queue{options(Overflow::drop_newest)};
    int ends = 0;
    queue.on_close([&] { ++ends; });
    queue.put(event(1, 0));
    queue.close();
    queue.close();
    queue.put(event(1, 1));
    EXPECT_EQ(ends, 1);
    EXPECT_EQ(all_of(queue), "1/0");
    queue.on_close([&] { ++ends; });
    EXPECT_EQ(ends, 2);
}

TEST(EventQueue, AbandonedItKeepsNothing) {
    EventQueue queue{options(Overflow::drop_newest)};
    queue.put(event(1, 0));
    queue.abandon();
    EXPECT_FALSE(queue.take());
    EXPECT_EQ(queue.counts().waiting, 0U);
}

TEST(EventQueue, BlocksUntilSomethingIsTaken) {
    Loops loops;
    EventQueue queue{options(Overflow::block, 1)};
    EXPECT_FALSE(queue.blocks(1));
    queue.put(event(1, 0));
    EXPECT_TRUE(queue.blocks(1));
    EXPECT_TRUE(queue.take());
    EXPECT_RUNS(loops, with_deadline(Deadline::in(patience), queue.room()));
    queue.put(event(1, 1));
    EXPECT_TRUE(queue.blocks(1));
    queue.close();
    EXPECT_FALSE(queue.blocks(1));
    EXPECT_RUNS(loops, with_deadline(Deadline::in(patience), queue.room()));
    EventQueue other{options(Overflow::drop_newest, 1)};
    other.put(event(1, 0));
    EXPECT_FALSE(other.blocks(1));
}

Task<> take_all(EventQueue* queue, std::uint64_t* taken) {
    while (co_await queue->next()) ++*taken;
}

/// Takers on two loops, putters on threads: each event goes to one taker, none is left.
TEST(EventQueue, WakesWhoeverWaits) {
    Loops loops;
    auto wanted = options(Overflow::drop_newest, 100'000);
    wanted.most_bytes = 100'000;
    EventQueue queue{wanted};
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    TaskScope scope;
    scope.spawn_on(loops.primary(), take_all(&queue, &first));
    scope.spawn_on(loops.secondary(), take_all(&queue, &second));
    {
        std::vector<std::jthread> threads;
        for (std::uint64_t publisher = 0; publisher < 3; ++publisher) {
            threads.emplace_back([&, publisher] {
                for (std::uint64_t i = 0; i < 2000; ++i) queue.put(event(publisher, i));
            });
        }
    }
    queue.close();
    EXPECT_RUNS(loops, with_deadline(Deadline::in(patience), scope.join()));
    EXPECT_EQ(first + second, 6000U);
    expect_exact(queue);
}

}  // namespace
}  // namespace stator::test
