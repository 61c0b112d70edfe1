// Publishers and subscribers of one process.
#include "tests/events/accounting.hpp"

namespace stator::test {
namespace {

/// A bus that closes with the test.
class Bus {
public:
    explicit Bus(Loops& loops, std::string name = "test") : loops_{loops} {
        EventBusOptions options;
        options.name = std::move(name);
        auto made = loops.run(make_bus(&loops.secondary(), std::move(options)));
        bus_ = *made;
    }
    Bus(const Bus&) = delete;
    Bus& operator=(const Bus&) = delete;
    ~Bus() { EXPECT_RUNS(loops_, bus_->close(Deadline::in(5s))); }
    const std::shared_ptr<EventBus>& operator*() const { return bus_; }

private:
    Loops& loops_;
    std::shared_ptr<EventBus> bus_;
};

class LocalEvents : public ::testing::Test {
protected:
    Loops loops;
    const Bus bus{loops};
};

Task<> scopes_and_topics(std::shared_ptr<EventBus> bus, std::shared_ptr<EventBus> other) {
    const std::vector<EventScope> scopes{{"ns", {}, {}}, {"ns", "c", {}}, {"ns", "c", "e"}};
    std::vector<Subscriber> subscribers;
    for (const auto& scope : scopes) {
        for (const auto* topic : {"a", "ab"}) {
            auto options = to_topic(Overflow::drop_newest, 10, topic);
            options.scope = scope;
            subscribers.push_back(co_await bus->subscribe(options));
        }
    }
    for (const auto& scope : scopes) {
        for (const auto* topic : {"a", "ab"}) {
            const auto publisher = co_await bus->publisher(scope, topic);
            const auto elsewhere = co_await other->publisher(scope, topic);
            require(publisher.id() != 0 && publisher.id() <= max_publisher_id, "id");
            require(publisher.scope() == scope && publisher.topic() == topic, "of what");
            co_await publisher.publish(std::string{scope.to_path() + topic});
            co_await elsewhere.publish(std::string{"unheard"});
            require(publisher.sent() == 1, "sent");
        }
    }
    std::size_t at = 0;
    for (const auto& scope : scopes) {
        for (const auto* topic : {"a", "ab"}) {
            const auto& subscriber = subscribers[at++];
            const auto event = co_await next_event(&subscriber);
            const auto text = Payload<std::string>::decode(event.payload, PayloadCodec::msgpack);
            require(text && *text == scope.to_path() + topic, "its own");
            require(event.topic == topic && event.sequence == 0, "envelope");
            require(!subscriber.try_next(), "nothing of others");
        }
    }
}

TEST_F(LocalEvents, GoToTheirScopeAndTopic) {
    const Bus other{loops, "other"};
    EXPECT_RUNS(loops, scopes_and_topics(*bus, *other));
}

Task<> slow_beside_fast(std::shared_ptr<EventBus> bus) {
    const auto fast = co_await bus->subscribe(to_topic(Overflow::drop_newest, 10'000));
    const auto idle = co_await bus->subscribe(to_topic(Overflow::drop_newest, 10));
    const auto late = co_await bus->subscribe(to_topic(Overflow::drop_oldest, 10));
    const auto publisher = co_await bus->publisher(backend, "t");
    for (std::uint64_t i = 0; i < 5000; ++i)
        require(co_await publisher.publish(Bytes{}) == i, "numbers");
    for (std::uint64_t i = 0; i < 5000; ++i)
        require((co_await next_event(&fast)).sequence == i, "all, in order");
    for (std::uint64_t i = 0; i < 10; ++i) {
        require((co_await next_event(&idle)).sequence == i, "the first");
        require((co_await next_event(&late)).sequence == 4990 + i, "the last");
    }
    require(idle.counts().dropped == 4990 && late.counts().dropped == 4990, "dropped");
}

TEST_F(LocalEvents, SlowSubscribersSlowNobody) { EXPECT_RUNS(loops, slow_beside_fast(*bus)); }

Task<> hold_up(std::shared_ptr<EventBus> bus, Loop* elsewhere) {
    const auto other = co_await bus->subscribe(to_topic(Overflow::drop_newest, 100'000));
    const auto all = co_await bus->subscribe(to_topic(Overflow::block, 4));
    const auto publisher = co_await bus->publisher(backend, "t");
    for (int i = 0; i < 4; ++i) require(publisher.try_publish(Bytes{}).has_value(), "room");
    const auto full = publisher.try_publish(Bytes{});
    require(!full && full.error().detail() == "events.full", "full");
    require(publisher.sent() == 4, "a refused event has no number");
    require(other.counts().waiting == 4, "nobody has got it");
    Run run{.publishers = 1, .events = 1000, .listeners = 1};
    TaskScope scope;
    scope.spawn_on(*elsewhere, publish_all(&publisher, &run));
    for (std::uint64_t i = 0; i < 1004; ++i)
        require((co_await next_event(&all)).sequence == i, "each");
    ++run.done;
    // A full one that goes lets the publisher go on.
    all.close();
    co_await with_deadline(Deadline::in(patience), scope.join());
    require(all.counts().dropped == 0 && all.counts().missed == 0, "none is lost");
}

TEST_F(LocalEvents, BlockHoldsUpItsPublishers) {
    EXPECT_RUNS(loops, hold_up(*bus, &loops.secondary()));
}

Task<> cancelled_in_between(std::shared_ptr<EventBus> bus) {
    const auto all = co_await bus->subscribe(to_topic(Overflow::block, 1));
    const auto publisher = co_await bus->publisher(backend, "t");
    co_await publisher.publish(Bytes{});
    const auto error =
        co_await error_of(with_deadline(Deadline::in(5ms), publisher.publish(Bytes{})));
    require(error.starts_with("deadline_exceeded"), error);
    require(publisher.sent() == 1, "not sent");
    require((co_await next_event(&all)).sequence == 0, "the first");
    require(!all.try_next(), "not the second");
}

TEST_F(LocalEvents, AWaitingPublishCanBeCancelled) {
    EXPECT_RUNS(loops, cancelled_in_between(*bus));
}

Task<> every_policy(std::shared_ptr<EventBus> bus, Loop* publishing) {
    Run run{.publishers = 8, .events = 3000, .from = {bus}};
    std::vector<Listener> listeners;
    const auto add = [&](Overflow overflow, std::size_t most, std::size_t pause) {
        listeners.push_back({.bus = bus, .options = to_topic(overflow, most), .pause_every = pause}
        );
    };
    add(Overflow::drop_newest, 64, 32);
    add(Overflow::drop_oldest, 64, 32);
    add(Overflow::keep_latest, 64, 8);
    add(Overflow::drop_newest, 1'000'000, 0);
    add(Overflow::block, 64, 0);
    co_await run_all(&run, &listeners, publishing);
    for (const auto& listener : listeners) expect_exact(listener, run.publishers);
    for (const auto& listener : listeners) EXPECT_EQ(listener.subscriber.counts().missed, 0U);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_GT(listeners[i].subscriber.counts().dropped, 0U);
    for (std::size_t i = 3; i < 5; ++i) {
        EXPECT_EQ(listeners[i].subscriber.counts().dropped, 0U);
        for (const auto& source : listeners[i].subscriber.sources()) EXPECT_EQ(source.first, 0U);
    }
}

TEST_F(LocalEvents, AreAllAccountedForUnderEveryPolicy) {
    EXPECT_RUNS(loops, every_policy(*bus, &loops.secondary()));
}

Task<> refused(std::shared_ptr<EventBus> bus) {
    const auto topic = [&](std::string name) { return error_of(bus->publisher(backend, name)); };
    require(co_await topic("") == "invalid_request events.topic", "empty");
    require(co_await topic("\xff") == "invalid_request events.topic", "not UTF-8");
    require(co_await topic(std::string(129, 't')) == "invalid_request events.topic", "long");
    require(
        co_await error_of(bus->publisher({"ns", {}, "e"}, "t")) == "invalid_request events.scope",
        "scope"
    );
    require(
        co_await error_of(bus->subscribe(to_topic(Overflow::block, 0))) ==
            "invalid_request events.bounds",
        "bounds"
    );
}

TEST_F(LocalEvents, BadNamesAreRefused) { EXPECT_RUNS(loops, refused(*bus)); }

Task<> at_the_end(std::shared_ptr<EventBus> bus) {
    const auto subscriber = co_await bus->subscribe(to_topic(Overflow::drop_newest, 10));
    const auto publisher = co_await bus->publisher(backend, "t");
    const auto closed = co_await bus->publisher(backend, "t");
    co_await publisher.publish(Bytes{});
    co_await closed.close();
    co_await closed.close();
    require(co_await error_of(closed.publish(Bytes{})) == "unavailable events.closed", "closed");
    co_await bus->close(Deadline::in(5s));
    co_await bus->close(Deadline::in(5s));
    require(co_await error_of(publisher.publish(Bytes{})) == "unavailable events.closed", "ended");
    (void)co_await next_event(&subscriber);
    require(!co_await subscriber.next(), "the end");
    require(
        co_await error_of(bus->publisher(backend, "t")) == "unavailable events.closed", "no more"
    );
    require(
        co_await error_of(bus->subscribe(to_topic(Overflow::block, 1))) ==
            "unavailable events.closed",
        "no more"
    );
}

TEST_F(LocalEvents, EndWithTheirBus) { EXPECT_RUNS(loops, at_the_end(*bus)); }

TEST_F(LocalEvents, OtherPlanesNeedMore) {
    for (const auto plane : {EventPlane::nats, EventPlane::zmq}) {
        EventBusOptions options;
        options.plane = plane;
        const auto error = loops.run(error_of(make_bus(&loops.secondary(), options)));
        EXPECT_EQ(*error, "invalid_request events.options") << to_string(plane);
    }
}

}  // namespace
}  // namespace stator::test
