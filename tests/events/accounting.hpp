// Many publishers and subscribers of one topic, each event accounted for.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "stator/events/event_bus.hpp"
#include "stator/runtime/combinators.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::test {

using namespace events;

inline const EventScope backend{"ns", "backend", {}};

inline Task<std::shared_ptr<EventBus>> make_bus(Loop* loop, EventBusOptions options) {
    co_return co_await EventBus::open(*loop, std::move(options));
}

inline Task<EventEnvelope> next_event(const Subscriber* of) {
    auto event = co_await with_deadline(Deadline::in(patience), of->next());
    require(event.has_value(), "the subscriber has ended");
    co_return std::move(*event);
}

/// What one subscriber does.
struct Listener {
    std::shared_ptr<EventBus> bus;
    SubscribeOptions options;
    std::size_t pause_every = 0;  ///< events; 0: it never pauses
    Subscriber subscriber{};
    std::map<std::uint64_t, std::uint64_t> delivered{};  ///< by publisher
    std::map<std::uint64_t, bool> ended{};
};

/// The events of a run: each publisher sends `events` of them, then "end" until all have seen it.
struct Run {
    std::size_t publishers = 0;
    std::size_t events = 0;
    std::vector<std::shared_ptr<EventBus>> from{};  ///< buses of publishers, in turns
    std::atomic<std::size_t> done{0};               ///< listeners
    std::size_t listeners = 0;
};

inline Task<> publish_all(const Publisher* publisher, Run* run) {
    for (std::size_t i = 0; i < run->events; ++i) {
        co_await publisher->publish(Bytes::of_static("event"));
        if (i % 16 == 15) co_await yield();
    }
    while (run->done < run->listeners) {
        co_await publisher->publish(Bytes::of_static("end"));
        co_await sleep_for(2ms);
    }
}

inline Task<> listen(Listener* listener, Run* run) {
    std::size_t taken = 0;
    while (listener->ended.size() < run->publishers) {
        const auto event = co_await next_event(&listener->subscriber);
        ++listener->delivered[event.publisher_id];
        if (event.payload.view() == "end") listener->ended[event.publisher_id] = true;
        if (listener->pause_every != 0 && ++taken % listener->pause_every == 0)
            co_await sleep_for(1ms);
    }
    listener->subscriber.close();
    while (const auto event = listener->subscriber.try_next())
        ++listener->delivered[event->publisher_id];
    ++run->done;
}

/// sent = delivered + dropped + missed, for each publisher, from the first event that came.
inline void expect_exact(const Listener& listener, std::size_t publishers) {
    const auto counts = listener.subscriber.counts();
    const auto sources = listener.subscriber.sources();
    EXPECT_EQ(sources.size(), publishers);
    std::uint64_t sent = 0;
    for (const auto& source : sources) {
        const auto delivered = listener.delivered.at(source.publisher_id);
        const auto of_source = source.last - source.first + 1;
        EXPECT_EQ(of_source, delivered + source.dropped + source.missed) << source.publisher_id;
        sent += of_source;
    }
    EXPECT_EQ(sent, counts.delivered + counts.dropped + counts.missed);
    EXPECT_EQ(counts.repeated, 0U);
    EXPECT_EQ(counts.unreadable, 0U);
    EXPECT_EQ(counts.waiting, 0U);
}

inline Task<> run_all(Run* run, std::vector<Listener>* listeners, Loop* publishing) {
    run->listeners = listeners->size();
    for (auto& listener : *listeners)
        listener.subscriber = co_await listener.bus->subscribe(listener.options);
    std::vector<Publisher> publishers;
    for (std::size_t i = 0; i < run->publishers; ++i) {
        publishers.push_back(co_await run->from[i % run->from.size()]->publisher(
            listeners->front().options.scope, listeners->front().options.topic
        ));
    }
    TaskScope scope;
    for (auto& listener : *listeners) scope.spawn(listen(&listener, run));
    for (const auto& publisher : publishers)
        scope.spawn_on(*publishing, publish_all(&publisher, run));
    const auto ended = co_await as_result(scope.join());
    co_await scope.close();
    if (!ended) throw ended.error();
    for (const auto& publisher : publishers) co_await publisher.close();
}

inline SubscribeOptions to_topic(
    Overflow overflow, std::size_t most_events, std::string topic = "t"
) {
    SubscribeOptions options;
    options.scope = backend;
    options.topic = std::move(topic);
    options.most_events = most_events;
    options.overflow = overflow;
    return options;
}

}  // namespace stator::test
