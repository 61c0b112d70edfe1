// Events by ZeroMQ: between buses, and with peers that are libzmq itself.
#include <sys/resource.h>

#include <fstream>
#include <set>

#include <nlohmann/json.hpp>

#include "stator/events/channel_record.hpp"
#include "stator/runtime/offload.hpp"
#include "stator/store/memory_store.hpp"
#include "tests/events/accounting.hpp"
#include "tests/events/zmq_peer.hpp"

namespace stator::test {
namespace {

/// As far as the machine lets us.
void raise_descriptor_limit(rlim_t to) {
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, to));
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

const EventScope generate{"hello", "backend", "generate"};

Task<std::shared_ptr<store::KeyValueStore>> open_store(Loop* loop) {
    co_return store::MemoryStore::open(*loop, {.name = "events-zmq"});
}

/// A store and a bus, which close with the test.
class Bus {
public:
    explicit Bus(Loops& loops, ZmqEventOptions zmq = {}) : loops_{loops} {
        store_ = *Loops::run_on(loops.secondary(), open_store(&loops.secondary()));
        EventBusOptions options;
        options.plane = EventPlane::zmq;
        options.store = store_;
        options.zmq = std::move(zmq);
        auto made = loops.run(make_bus(&loops.secondary(), std::move(options)));
        EXPECT_TRUE(made) << made.error().what();
        bus_ = *made;
    }
    Bus(const Bus&) = delete;
    Bus& operator=(const Bus&) = delete;
    ~Bus() {
        EXPECT_RUNS(loops_, bus_->close(Deadline::in(5s)));
        EXPECT_RUNS(loops_, store_->close(Deadline::in(5s)));
    }
    const std::shared_ptr<EventBus>& operator*() const { return bus_; }
    const std::shared_ptr<store::KeyValueStore>& store() const { return store_; }

private:
    Loops& loops_;
    std::shared_ptr<store::KeyValueStore> store_;
    std::shared_ptr<EventBus> bus_;
};

class ZmqEvents : public ::testing::Test {
protected:
    Loops loops;
    const Bus bus{loops};
};

Task<std::string> endpoint_of(
    std::shared_ptr<store::KeyValueStore> store,
    EventScope scope,
    std::string topic,
    std::uint64_t id
) {
    const auto entry = co_await store->get(EventChannel{scope, topic, id, {}}.key());
    require(entry.has_value(), "listed");
    co_return std::get<ZmqChannel>(channel_from_record(entry->value)->transport).endpoint;
}

/// Publishes until the first one has arrived.
Task<EventEnvelope> until_heard(const Publisher* publisher, const Subscriber* subscriber) {
    const auto by = Deadline::in(patience);
    while (!by.passed()) {
        co_await publisher->publish(Bytes::of_static("hello"));
        if (auto event = subscriber->try_next()) co_return std::move(*event);
        co_await sleep_for(2ms);
    }
    throw Error{ErrorCode::internal, "nothing arrives"};
}

Task<> for_a_stand_in(
    std::shared_ptr<EventBus> bus, std::shared_ptr<store::KeyValueStore> store, BlockingPool* pool
) {
    const auto publisher = co_await bus->publisher(generate, "kv-events");
    const auto endpoint = co_await endpoint_of(store, generate, "kv-events", publisher.id());
    auto peer = co_await offload(*pool, [endpoint] {
        auto made = std::make_unique<ZmqPeer>(ZMQ_SUB);
        made->connect(endpoint, "kv-events");
        return made;
    });
    auto read = [](ZmqPeer* from, BlockingPool* on) -> Task<EventEnvelope> {
        const auto parts = co_await offload(*on, [from] { return from->receive(); });
        std::vector<Bytes> bytes;
        for (const auto& part : parts) bytes.push_back(Bytes::copy_of(part));
        auto event = read_parts(bytes);
        require(event.has_value(), "four parts that agree");
        co_return std::move(*event);
    };
    TaskScope scope;
    Run run{.publishers = 1, .events = 0, .listeners = 1};
    scope.spawn(publish_all(&publisher, &run));
    auto last = co_await read(peer.get(), pool);
    for (int i = 0; i < 10; ++i) {
        const auto event = co_await read(peer.get(), pool);
        require(event.publisher_id == publisher.id() && event.topic == "kv-events", "of what");
        require(event.sequence == last.sequence + 1, "in order");
        require(event.payload.view() == "end", "as published");
        last = event;
    }
    ++run.done;
    co_await scope.join();
}

TEST_F(ZmqEvents, AreReadByAStandIn) {
    BlockingPool pool{1};
    EXPECT_RUNS(loops, for_a_stand_in(*bus, bus.store(), &pool));
}

std::string from_hex(const std::string& text) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2)
        bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
    return bytes;
}

/// What Dynamo 1.6.1 wrote: messages by their order, and the record of the publisher.
struct Capture {
    std::vector<std::vector<std::string>> messages;
    std::string key;
    EventChannel channel;
};

Capture kv_events() {
    std::ifstream file{STATOR_SOURCE_DIR "/tests/events/captures/event-plane.json"};
    Capture capture;
    for (const auto& message : nlohmann::json::parse(file).at("messages")) {
        if (message.at("plane") == "event-zmq" && message.at("name") == "kv-events") {
            auto& parts = capture.messages.emplace_back();
            for (const auto& part : message.at("parts_hex"))
                parts.push_back(from_hex(part.get<std::string>()));
        }
        if (message.at("name") != "records") continue;
        for (const auto& [name, text] : message.at("decoded").items()) {
            if (!name.starts_with(channels_bucket)) continue;
            const auto channel = channel_from_record(text.get<std::string>());
            if (channel->topic == "kv-events" &&
                std::holds_alternative<ZmqChannel>(channel->transport))
                capture.channel = *channel;
        }
    }
    return capture;
}

Task<> of_a_stand_in(
    std::shared_ptr<EventBus> bus, std::shared_ptr<store::KeyValueStore> store, BlockingPool* pool
) {
    auto capture = kv_events();
    require(capture.messages.size() == 3, "captures");
    auto wanted = to_topic(Overflow::drop_newest, 100'000, "kv-events");
    wanted.scope = generate;
    const auto subscriber = co_await bus->subscribe(wanted);
    auto peer = std::make_unique<ZmqPeer>(ZMQ_PUB);
    capture.channel.transport = ZmqChannel{peer->bind()};
    co_await store->put(capture.channel.key(), *to_record(capture.channel));
    // The first one until it arrives, then each.
    const auto send = [&](std::vector<std::string> parts) {
        return offload(*pool, [&peer, parts] { peer->send(parts); });
    };
    std::optional<EventEnvelope> first;
    for (const auto by = Deadline::in(patience); !first && !by.passed();) {
        co_await send(capture.messages[0]);
        co_await sleep_for(2ms);
        first = subscriber.try_next();
    }
    require(first && first->sequence == 0, "the first");
    co_await send(capture.messages[1]);
    // What is none: too few parts, too many, parts that contradict, another publisher, and one
    // whose topic only begins like ours.
    auto bad = capture.messages[1];
    bad[2] = std::string(8, '\x09');
    auto unknown = capture.messages[1];
    unknown[1] = std::string(8, '\x01');
    auto longer = capture.messages[1];
    longer[0] += "-more";
    const auto& id = capture.messages[1][1];
    co_await send({"kv-events", id, "x"});
    co_await send({"kv-events", id, "1", "2", "3", "4", "5", "6", "7"});
    co_await send(bad);
    co_await send({"kv-events"});
    co_await send(unknown);
    co_await send(longer);
    co_await send(capture.messages[2]);
    for (std::uint64_t i = 1; i < 3; ++i) {
        const auto event = co_await next_event(&subscriber);
        require(event.sequence == i && event.publisher_id == capture.channel.publisher_id, "next");
        require(event.payload.view().starts_with("\x91\x84\xa9worker_id"), "its payload");
    }
    require(subscriber.counts().unreadable == 3, "unreadable");
    require(subscriber.counts().missed == 0 && !subscriber.try_next(), "nothing else");
    co_await store->remove(capture.channel.key());
}

TEST_F(ZmqEvents, OfAStandInAreRead) {
    BlockingPool pool{1};
    EXPECT_RUNS(loops, of_a_stand_in(*bus, bus.store(), &pool));
}

Task<> shared_sockets(std::shared_ptr<EventBus> bus, std::shared_ptr<store::KeyValueStore> store) {
    std::vector<Publisher> publishers;
    std::set<std::string> endpoints;
    for (int i = 0; i < 3; ++i) {
        for (const auto* topic : {"a", "b", "ab"}) {
            publishers.push_back(co_await bus->publisher(backend, topic));
            endpoints.insert(co_await endpoint_of(store, backend, topic, publishers.back().id()));
        }
    }
    require(endpoints.size() == 3, "a socket for each publisher of a topic, and no more");
    const auto one = co_await bus->subscribe(to_topic(Overflow::drop_newest, 10'000, "a"));
    const auto two = co_await bus->subscribe(to_topic(Overflow::drop_newest, 10'000, "a"));
    for (const auto& publisher : publishers) {
        if (publisher.topic() != "a") co_await publisher.publish(Bytes::of_static("other"));
    }
    for (const auto& publisher : publishers) {
        if (publisher.topic() != "a") continue;
        require((co_await until_heard(&publisher, &one)).topic == "a", "its own topic");
    }
    std::set<std::uint64_t> heard;
    while (heard.size() < 3) heard.insert((co_await next_event(&two)).publisher_id);
    require(two.counts().repeated == 0 && two.counts().unreadable == 0, "each once");
}

TEST_F(ZmqEvents, ShareSocketsWhereTheyCan) {
    EXPECT_RUNS(loops, shared_sockets(*bus, bus.store()));
}

Task<> come_and_go(std::shared_ptr<EventBus> from, std::shared_ptr<EventBus> to) {
    const auto subscriber = co_await to->subscribe(to_topic(Overflow::drop_newest, 100'000));
    for (int i = 0; i < 5; ++i) {
        const auto publisher = co_await from->publisher(backend, "t");
        auto event = co_await until_heard(&publisher, &subscriber);
        while (event.publisher_id != publisher.id()) event = co_await next_event(&subscriber);
        // What was published last arrives, though discovery is quicker.
        const auto last = co_await publisher.publish(Bytes::of_static("last"));
        co_await publisher.close();
        while (event.sequence != last) event = co_await next_event(&subscriber);
        require(event.payload.view() == "last", "the last");
    }
    require(subscriber.counts().missed == 0 && subscriber.counts().repeated == 0, "all");
}

TEST_F(ZmqEvents, PublishersComeAndGo) {
    const Bus to{loops};
    EXPECT_RUNS(loops, come_and_go(*bus, *to));
}

Task<> every_policy(std::vector<std::shared_ptr<EventBus>> buses, Loop* publishing) {
    Run run{.publishers = 8, .events = 2000, .from = {buses[0], buses[1]}};
    std::vector<Listener> listeners;
    const auto add = [&](std::size_t bus, Overflow overflow, std::size_t pause) {
        const auto most = pause == 0 ? 1'000'000U : 64U;
        listeners.push_back(
            {.bus = buses[bus], .options = to_topic(overflow, most), .pause_every = pause}
        );
    };
    add(0, Overflow::drop_newest, 32);
    add(1, Overflow::drop_oldest, 32);
    add(1, Overflow::keep_latest, 8);
    add(2, Overflow::drop_newest, 0);
    co_await run_all(&run, &listeners, publishing);
    for (const auto& listener : listeners) expect_exact(listener, run.publishers);
    EXPECT_EQ(listeners[3].subscriber.counts().dropped, 0U);
}

TEST_F(ZmqEvents, AreAllAccountedForUnderEveryPolicy) {
    const Bus two{loops};
    const Bus three{loops};
    EXPECT_RUNS(loops, every_policy({*bus, *two, *three}, &loops.secondary()));
}

/// 64 publishers in 4 buses, 8 subscribers in 8, each of which dials all: 512 connections.
Task<> many_to_many(
    std::vector<std::shared_ptr<EventBus>> from,
    std::vector<std::shared_ptr<EventBus>> to,
    Loop* publishing
) {
    Run run{.publishers = 64, .events = 500, .from = std::move(from)};
    constexpr std::array policies{
        Overflow::drop_newest, Overflow::drop_oldest, Overflow::keep_latest
    };
    std::vector<Listener> listeners;
    for (std::size_t i = 0; i < to.size(); ++i) {
        const bool slow = i >= 4;
        listeners.push_back(
            {.bus = to[i],
             .options = to_topic(policies[i % policies.size()], slow ? 256 : 1'000'000),
             .pause_every = slow ? 64U : 0U}
        );
    }
    const auto begun = std::chrono::steady_clock::now();
    co_await run_all(&run, &listeners, publishing);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    SubscriberCounts all;
    for (const auto& listener : listeners) {
        expect_exact(listener, run.publishers);
        const auto counts = listener.subscriber.counts();
        all.delivered += counts.delivered;
        all.dropped += counts.dropped;
        all.missed += counts.missed;
    }
    fmt::print(
        "64 x 8: {:.1f} s, {:.0f} events/s arrived; delivered {}, dropped {}, missed {}\n",
        took.count(),
        static_cast<double>(all.delivered + all.dropped) / took.count(),
        all.delivered,
        all.dropped,
        all.missed
    );
    // Those of a drop_newest with room for all lose nothing here.
    EXPECT_EQ(listeners[0].subscriber.counts().dropped, 0U);
}

TEST_F(ZmqEvents, OfManyPublishersToManySubscribersAreAllAccountedFor) {
    raise_descriptor_limit(4096);
    Loops others;
    std::vector<std::unique_ptr<Bus>> buses;
    std::vector<std::shared_ptr<EventBus>> from;
    std::vector<std::shared_ptr<EventBus>> to;
    for (int i = 0; i < 4; ++i) from.push_back(**buses.emplace_back(std::make_unique<Bus>(loops)));
    for (int i = 0; i < 8; ++i) to.push_back(**buses.emplace_back(std::make_unique<Bus>(others)));
    EXPECT_RUNS(others, many_to_many(from, to, &loops.primary()));
}

Task<> wait_for(std::counting_semaphore<>* of, BlockingPool* pool) {
    co_await offload(*pool, [of] { of->acquire(); });
}

/// A process that takes nothing: its loop stands still, so that its socket fills up.
Task<> held_up(
    std::shared_ptr<EventBus> from,
    std::shared_ptr<EventBus> fast_bus,
    Subscriber* slow,
    Publisher* publisher,
    std::counting_semaphore<>* heard,
    std::counting_semaphore<>* blocked,
    BlockingPool* pool
) {
    const auto fast = co_await fast_bus->subscribe(to_topic(Overflow::drop_newest, 1'000'000));
    *publisher = co_await from->publisher(backend, "t");
    (void)co_await until_heard(publisher, &fast);
    (void)co_await until_heard(publisher, slow);
    heard->release();
    co_await wait_for(blocked, pool);
    const auto begun = publisher->sent();
    const auto payload = Bytes::copy_of(std::string(8192, 'x'));
    for (std::uint64_t i = 0; i < 4000; ++i) {
        co_await publisher->publish(payload);
        if (i % 20 != 0) continue;
        // As fast as the other one takes them.
        while ((co_await next_event(&fast)).sequence < begun + i) {
        }
    }
    while ((co_await next_event(&fast)).sequence < begun + 3999) {
    }
    require(fast.counts().missed == 0 && fast.counts().dropped == 0, "the fast one gets all");
}

Task<Subscriber> subscribe_to(std::shared_ptr<EventBus> bus) {
    co_return co_await bus->subscribe(to_topic(Overflow::drop_newest, 1'000'000));
}

/// Publishes until what was published last has arrived, and nothing waits.
Task<> until_the_last_is_heard(const Subscriber* slow, const Publisher* publisher) {
    const auto by = Deadline::in(patience);
    for (bool heard = false; !heard && !by.passed();) {
        const auto sent = co_await publisher->publish(Bytes::of_static("end"));
        for (int turns = 0; !heard && turns < 50; ++turns) {
            co_await sleep_for(1ms);
            while (const auto event = slow->try_next()) heard = event->sequence == sent;
        }
    }
    require(!by.passed(), "the last is heard");
}

Task<> catch_up(Subscriber* slow, Publisher* publisher) {
    const auto first = slow->sources().at(0).first;
    co_await until_the_last_is_heard(slow, publisher);
    const auto counts = slow->counts();
    const auto source = slow->sources().at(0);
    require(counts.missed > 0, "some did not fit");
    require(counts.delivered == source.last - first + 1 - counts.missed, "exactly");
    require(counts.dropped == 0, "none here");
}

TEST_F(ZmqEvents, AProcessThatStandsStillSlowsNobody) {
    Loops others;  // of the slow one
    const Bus from{loops, {.most_unsent = 1000}};
    const Bus to{others, {.most_unsent = 50}};
    auto slow = *others.run(subscribe_to(*to));
    Publisher publisher;
    std::counting_semaphore<> heard{0};
    std::counting_semaphore<> blocked{0};
    BlockingPool pool{1};
    {
        std::jthread blocker{[&] {
            heard.acquire();
            BlockedLoop still{others.primary()};
            blocked.release();
            heard.acquire();
        }};
        EXPECT_RUNS(loops, held_up(*from, *bus, &slow, &publisher, &heard, &blocked, &pool));
        heard.release(2);
    }
    EXPECT_RUNS(loops, catch_up(&slow, &publisher));
    EXPECT_RUNS(loops, publisher.close());
}

/// Of what waits for a process that takes nothing only so many bytes are kept. What is more is
/// refused, and what is refused has no number; when the process has had its time it is cut off.
Task<> kept_within_bounds(
    std::shared_ptr<EventBus> from,
    std::shared_ptr<EventBus> fast_bus,
    Subscriber* slow,
    Loop* still
) {
    const auto fast = co_await fast_bus->subscribe(to_topic(Overflow::drop_newest, 1'000'000));
    const auto publisher = co_await from->publisher(backend, "t");
    (void)co_await until_heard(&publisher, &fast);
    (void)co_await until_heard(&publisher, slow);
    const auto payload = Bytes::copy_of(std::string(64U << 10U, 'x'));
    std::uint64_t refused = 0;
    {
        const BlockedLoop blocked{*still};
        const auto by = Deadline::in(patience);
        // The first refusals, and then more than the bound in a row: it is cut off.
        for (int in_a_row = 0; (refused == 0 || in_a_row < 128) && !by.passed();) {
            const auto sent = publisher.try_publish(payload);
            if (sent) {
                ++in_a_row;
                while ((co_await next_event(&fast)).sequence < *sent) {
                }
                continue;
            }
            EXPECT_EQ(sent.error().code(), ErrorCode::overloaded);
            EXPECT_EQ(sent.error().detail(), "events.unsent");
            ++refused;
            in_a_row = 0;
            co_await sleep_for(10ms);
        }
        EXPECT_FALSE(by.passed());
    }
    EXPECT_GT(refused, 0U);
    // It dials again, and knows what it has missed.
    co_await until_the_last_is_heard(slow, &publisher);
    const auto source = slow->sources().at(0);
    const auto counts = slow->counts();
    EXPECT_GT(counts.missed, 0U);
    EXPECT_EQ(counts.delivered, source.last - source.first + 1 - counts.missed);
    while (fast.try_next()) {
    }
    EXPECT_EQ(fast.counts().missed, 0U) << "what is refused has no number";
}

TEST_F(ZmqEvents, OfWhatWaitsForAProcessThatStandsStillOnlySoMuchIsKept) {
    Loops others;
    const Bus from{loops, {.most_unsent_bytes = 4U << 20U, .most_stall = 1s}};
    const Bus to{others, {.most_unsent = 10}};
    auto slow = *others.run(subscribe_to(*to));
    EXPECT_RUNS(loops, kept_within_bounds(*from, *bus, &slow, &others.primary()));
}

Task<> sent_at_the_end(std::shared_ptr<EventBus> from, std::shared_ptr<EventBus> to) {
    const auto subscriber = co_await to->subscribe(to_topic(Overflow::drop_newest, 100'000));
    const auto publisher = co_await from->publisher(backend, "t");
    const auto first = co_await until_heard(&publisher, &subscriber);
    std::uint64_t last = 0;
    for (int i = 0; i < 2000; ++i) last = co_await publisher.publish(Bytes::of_static("event"));
    co_await from->close(Deadline::in(5s));
    auto event = first;
    while (event.sequence != last) event = co_await next_event(&subscriber);
    require(subscriber.counts().missed == 0, "all of it");
}

TEST_F(ZmqEvents, WhatWaitsIsSentAtTheEnd) {
    const Bus to{loops};
    EXPECT_RUNS(loops, sent_at_the_end(*bus, *to));
}

Task<> subscribe_and_publish(std::shared_ptr<EventBus> bus) {
    const auto subscriber = co_await bus->subscribe(to_topic(Overflow::drop_newest, 10));
    const auto publisher = co_await bus->publisher(backend, "t");
    co_await publisher.publish(Bytes{});
}

/// Wherever in it the other one's end comes.
TEST_F(ZmqEvents, EndWhileSomebodyBegins) {
    for (int i = 0; i < 30; ++i) {
        const Bus begun{loops};
        TaskScope scope;
        std::optional<Result<void>> outcome;
        std::binary_semaphore done{0};
        scope.spawn_on(
            loops.primary(), keep_outcome(subscribe_and_publish(*begun), &outcome, &done)
        );
        if (i % 3 != 0) std::this_thread::sleep_for(std::chrono::microseconds{i * 20});
        EXPECT_TRUE(Loops::run_on(loops.secondary(), (*begun)->close(Deadline::in(5s))));
        done.acquire();
        EXPECT_RUNS(loops, scope.close());
        if (!*outcome) EXPECT_EQ(outcome->error().detail(), "events.closed");
    }
}

Task<> refusals(std::shared_ptr<EventBus> bus) {
    require(
        co_await error_of(bus->subscribe(to_topic(Overflow::block, 1))) ==
            "unimplemented events.block",
        "no means to hold publishers up"
    );
    const auto publisher = co_await bus->publisher(backend, "t");
    const auto large = Bytes::copy_of(std::string(std::size_t{65} << 20U, 'x'));
    require(
        co_await error_of(publisher.publish(large)) == "payload_too_large events.too_large", "large"
    );
    require(publisher.sent() == 0, "not sent");
}

TEST_F(ZmqEvents, WhatCannotBeIsRefused) {
    EXPECT_RUNS(loops, refusals(*bus));
    const auto error = [&](ZmqEventOptions zmq) {
        EventBusOptions options;
        options.plane = EventPlane::zmq;
        options.store = bus.store();
        options.zmq = std::move(zmq);
        return *loops.run(error_of(make_bus(&loops.secondary(), options)));
    };
    EXPECT_EQ(error({.bind_host = "0.0.0.0"}), "invalid_request events.options");
    EXPECT_EQ(error({.module = "/nowhere/stator_zmq.so"}), "unimplemented events.module");
    const Bus elsewhere{loops, {.bind_host = "192.0.2.1"}};
    EXPECT_EQ(
        *loops.run(error_of((*elsewhere)->publisher(backend, "t"))), "unavailable events.sockets"
    );
}

}  // namespace
}  // namespace stator::test
