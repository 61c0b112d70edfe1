// Events by a real nats-server.
#include "stator/events/channel_record.hpp"
#include "stator/store/memory_store.hpp"
#include "tests/events/accounting.hpp"
#include "tests/nats/nats_fixture.hpp"

namespace stator::test {
namespace {

Task<std::shared_ptr<store::KeyValueStore>> open_store(Loop* loop) {
    co_return store::MemoryStore::open(*loop, {.name = "events-nats"});
}

/// A connection, a store and a bus, which close with the test.
class Bus {
public:
    Bus(Loops& loops, const NatsServer& server)
        : loops_{loops},
          client_{loops, server},
          store_{*Loops::run_on(loops.secondary(), open_store(&loops.secondary()))} {
        EventBusOptions options;
        options.plane = EventPlane::nats;
        options.nats = *client_;
        options.store = store_;
        bus_ = *loops.run(make_bus(&loops.secondary(), std::move(options)));
    }
    Bus(const Bus&) = delete;
    Bus& operator=(const Bus&) = delete;
    ~Bus() {
        EXPECT_RUNS(loops_, bus_->close(Deadline::in(5s)));
        EXPECT_RUNS(loops_, store_->close(Deadline::in(5s)));
    }
    const std::shared_ptr<EventBus>& operator*() const { return bus_; }
    const std::shared_ptr<store::KeyValueStore>& store() const { return store_; }
    const Client& client() const { return *client_; }

private:
    Loops& loops_;
    Connected client_;
    std::shared_ptr<store::KeyValueStore> store_;
    std::shared_ptr<EventBus> bus_;
};

class NatsEvents : public ::testing::Test {
protected:
    NatsServer server;
    Loops loops;
    const Bus bus{loops, server};
};

const EventScope generate{"hello", "backend", "generate"};

Task<> on_the_wire(std::shared_ptr<EventBus> bus, Client client) {
    const auto prefix = generate.to_subject();
    const auto raw = co_await client.subscribe(to(prefix + ".kv-events"));
    auto wanted = to_topic(Overflow::drop_newest, 10, "kv-events");
    wanted.scope = generate;
    const auto subscriber = co_await bus->subscribe(wanted);
    const auto publisher = co_await bus->publisher(generate, "kv-events");
    for (std::uint64_t i = 0; i < 3; ++i) {
        require(co_await publisher.publish(std::map<std::string, int>{{"n", 1}}) == i, "number");
        const auto event = read_envelope((co_await next_message(&raw)).payload);
        require(event && event->publisher_id == publisher.id(), "ours, readable by others");
        require(event->sequence == i && event->payload.view() == "\x81\xa1n\x01", "as published");
        require(co_await next_event(&subscriber) == *event, "the same for us");
    }
    // What a publisher of another kind sends.
    const EventEnvelope foreign{7, 41, 1, "kv-events", Bytes::of_static("\x90")};
    const EventEnvelope other{7, 42, 1, "kv_metrics", Bytes::of_static("\x90")};
    for (const auto& event : {foreign, other}) {
        auto sent = publication(prefix + ".kv-events", write_envelope(event)->view());
        require(client.publish(sent).has_value(), "sent");
    }
    require(client.publish(publication(prefix + ".kv-events", "\xc1")).has_value(), "sent");
    require(co_await next_event(&subscriber) == foreign, "a foreign one");
    co_await publisher.publish(Bytes{});
    require((co_await next_event(&subscriber)).sequence == 3, "goes on");
    require(subscriber.counts().unreadable == 2, "what is no event of the topic");
}

TEST_F(NatsEvents, AreEnvelopesUnderTheirSubject) {
    EXPECT_RUNS(loops, on_the_wire(*bus, bus.client()));
}

Task<> until_listed(std::shared_ptr<store::KeyValueStore> store, std::string key, std::size_t n) {
    while ((co_await store->list(key)).size() != n) co_await sleep_for(1ms);
}

Task<> listed(std::shared_ptr<EventBus> bus, std::shared_ptr<store::KeyValueStore> store) {
    const auto prefix = channels_prefix(generate, "t");
    auto dropped = std::optional{co_await bus->publisher(generate, "t")};
    const auto publisher = co_await bus->publisher(generate, "t");
    const auto left = co_await bus->publisher(generate, "t");
    require((co_await store->list(prefix)).size() == 3, "listed at once");
    const EventChannel record{generate, "t", publisher.id(), NatsChannel{generate.to_subject()}};
    const auto entry = co_await store->get(record.key());
    require(entry && channel_from_record(entry->value) == record, "its record");
    co_await publisher.close();
    require(!co_await store->get(record.key()), "gone when close returns");
    dropped.reset();
    co_await with_deadline(Deadline::in(patience), until_listed(store, prefix, 1));
    co_await bus->close(Deadline::in(5s));
    require((co_await store->list(prefix)).empty(), "with the bus the others");
}

TEST_F(NatsEvents, ListTheirPublishers) { EXPECT_RUNS(loops, listed(*bus, bus.store())); }

Task<> unlisted(std::shared_ptr<EventBus> bus, store::MemoryStore* store) {
    store->simulate_outage(true);
    const auto error = co_await error_of(bus->publisher(generate, "t"));
    store->simulate_outage(false);
    require(error.starts_with("unavailable"), error);
    // What may have been written all the same is taken back.
    co_await with_deadline(
        Deadline::in(patience),
        until_listed(store->shared_from_this(), channels_prefix(generate, "t"), 0)
    );
}

TEST_F(NatsEvents, APublisherThatCannotBeListedIsNone) {
    EXPECT_RUNS(loops, unlisted(*bus, dynamic_cast<store::MemoryStore*>(bus.store().get())));
}

Task<> no_block(std::shared_ptr<EventBus> bus) {
    require(
        co_await error_of(bus->subscribe(to_topic(Overflow::block, 1))) ==
            "unimplemented events.block",
        "no means to hold publishers up"
    );
}

TEST_F(NatsEvents, CannotHoldPublishersUp) { EXPECT_RUNS(loops, no_block(*bus)); }

Task<> every_policy(
    std::shared_ptr<EventBus> here, std::shared_ptr<EventBus> there, Loop* publishing
) {
    Run run{.publishers = 8, .events = 2000, .from = {here, there}};
    std::vector<Listener> listeners;
    const auto add = [&](std::shared_ptr<EventBus> bus, Overflow overflow, std::size_t pause) {
        const auto most = pause == 0 ? 1'000'000U : 64U;
        listeners.push_back(
            {.bus = std::move(bus), .options = to_topic(overflow, most), .pause_every = pause}
        );
    };
    add(here, Overflow::drop_newest, 32);
    add(there, Overflow::drop_oldest, 32);
    add(here, Overflow::keep_latest, 8);
    add(there, Overflow::drop_newest, 0);
    co_await run_all(&run, &listeners, publishing);
    for (const auto& listener : listeners) expect_exact(listener, run.publishers);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_GT(listeners[i].subscriber.counts().dropped, 0U);
    EXPECT_EQ(listeners[3].subscriber.counts().dropped, 0U);
}

TEST_F(NatsEvents, AreAllAccountedForUnderEveryPolicy) {
    const Bus there{loops, server};
    EXPECT_RUNS(loops, every_policy(*bus, *there, &loops.secondary()));
}

Task<EventEnvelope> one_that_arrives(const Publisher* from, const Subscriber* to) {
    for (;;) {
        (void)from->try_publish(Bytes{});
        if (auto event = to->try_next()) co_return std::move(*event);
        co_await sleep_for(2ms);
    }
}

/// Some are lost with the connection: how many is known.
Task<> through_an_outage(std::shared_ptr<EventBus> bus, NatsServer* server) {
    Listener listener{.bus = bus, .options = to_topic(Overflow::drop_newest, 1'000'000)};
    listener.subscriber = co_await bus->subscribe(listener.options);
    const auto publisher = co_await bus->publisher(backend, "t");
    const auto arrives = [&] {
        return with_deadline(
            Deadline::in(patience), one_that_arrives(&publisher, &listener.subscriber)
        );
    };
    const auto first = co_await arrives();
    require(first.sequence == 0, "the first");
    ++listener.delivered[first.publisher_id];
    server->kill();
    while (publisher.try_publish(Bytes{})) co_await sleep_for(1ms);
    server->start();
    (void)co_await arrives();
    ++listener.delivered[first.publisher_id];
    listener.subscriber.close();
    while (listener.subscriber.try_next()) ++listener.delivered[first.publisher_id];
    expect_exact(listener, 1);
}

TEST_F(NatsEvents, ComeAgainAfterAnOutage) { EXPECT_RUNS(loops, through_an_outage(*bus, &server)); }

Task<> client_gone(std::shared_ptr<EventBus> bus, Client client) {
    const auto subscriber = co_await bus->subscribe(to_topic(Overflow::drop_newest, 10));
    const auto publisher = co_await bus->publisher(backend, "t");
    co_await client.close(Deadline::in(5s));
    require(!co_await with_deadline(Deadline::in(patience), subscriber.next()), "the end");
    require(co_await error_of(publisher.publish(Bytes{})) == "unavailable nats.closed", "closed");
}

TEST_F(NatsEvents, EndWithTheirConnection) { EXPECT_RUNS(loops, client_gone(*bus, bus.client())); }

}  // namespace
}  // namespace stator::test
