// Events between members of a cluster; the snippets of docs/events.md.
#include <atomic>
#include <filesystem>
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "cluster_fixture.hpp"
#include "stator/events/channel_record.hpp"
#include "stator/runtime/combinators.hpp"
#include "tests/support/nats_server.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using namespace events;
using testing::ClusterTest;
using testing::NatsServer;
using Load = std::map<std::string, int>;

const EventScope backend{"demo", "backend", {}};

// clang-format off
Task<> tell_load(DistributedRuntime cluster, int active) {
    const auto bus = co_await cluster.event_bus();
    const auto publisher = co_await bus->publisher({"demo", "backend", {}}, "load");
    while (active > 0) {
        co_await publisher.publish(std::map<std::string, int>{{"active", active--}});
        co_await sleep_for(100ms);
    }
    co_await publisher.close();
}

Task<> watch_load(DistributedRuntime cluster) {
    const auto bus = co_await cluster.event_bus();
    const auto loads = co_await bus->subscribe({
        .scope = {"demo", "backend", {}}, .topic = "load", .overflow = Overflow::keep_latest,
    });
    while (const auto event = co_await loads.next()) {
        const auto load = Payload<std::map<std::string, int>>::decode(event->payload, PayloadCodec::msgpack);
        if (load) fmt::print("{:x} has {}\n", event->publisher_id, load->at("active"));
    }
}
// clang-format on

class InAFolder : public ClusterTest {
public:
    InAFolder() {
        adjust = [this](DistributedConfig& config) {
            config.discovery = DiscoveryBackend::file;
            config.file_root = folder.string();
            config.settle = 10ms;
        };
    }
    ~InAFolder() override { std::filesystem::remove_all(folder); }
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / fmt::format("stator-events-{:x}", os_random());
};

SubscribeOptions to_load() {
    SubscribeOptions options;
    options.scope = backend;
    options.topic = "load";
    return options;
}

Task<EventEnvelope> until_heard(const Publisher* publisher, const Subscriber* subscriber) {
    for (;;) {
        co_await publisher->publish(Load{{"active", 1}});
        if (auto event = subscriber->try_next()) co_return std::move(*event);
        co_await sleep_for(2ms);
    }
}

Task<> between(DistributedRuntime one, DistributedRuntime other, EventPlane plane) {
    const auto from = co_await one.event_bus();
    const auto to = co_await other.event_bus();
    EXPECT_EQ(from->plane(), plane);
    EXPECT_EQ(from, co_await one.event_bus());
    const auto subscriber = co_await to->subscribe(to_load());
    const auto publisher = co_await from->publisher(backend, "load");
    const auto event = co_await until_heard(&publisher, &subscriber);
    EXPECT_EQ(event.publisher_id, publisher.id());
    const auto load = Payload<Load>::decode(event.payload, PayloadCodec::msgpack);
    EXPECT_TRUE(load && load->at("active") == 1);
    const auto prefix = channels_prefix(backend, "load");
    const auto listed = co_await other.discovery().store()->list(prefix);
    EXPECT_EQ(listed.size(), plane == EventPlane::in_process ? 0U : 1U);
    co_await one.close(Deadline::in(5s));
    EXPECT_TRUE((co_await other.discovery().store()->list(prefix)).empty());
    const auto late = co_await as_result(one.event_bus());
    EXPECT_EQ(late.error().detail(), "events.closed");
    EXPECT_FALSE(publisher.try_publish(Bytes{}));
}

class EventsOfACluster : public ClusterTest {};

TEST_F(EventsOfACluster, StayInTheProcessWithAStoreInMemory) {
    run([](ClusterTest* test) -> Task<> {
        co_await between(co_await test->join(), co_await test->join(), EventPlane::in_process);
    });
}

TEST_F(InAFolder, EventsGoDirectly) {
    run([](ClusterTest* test) -> Task<> {
        co_await between(co_await test->join(), co_await test->join(), EventPlane::zmq);
    });
}

class ByNatsEvents : public InAFolder {
public:
    ByNatsEvents() {
        adjust = [this, before = adjust](DistributedConfig& config) {
            before(config);
            config.event_plane = settings::EventPlane::nats;
            config.nats.server = server.url();
            config.nats.startup_timeout = 10s;
        };
    }
    /// As the default: longer than any end may take.
    void waits_long() {
        adjust = [before = adjust](DistributedConfig& config) {
            before(config);
            config.nats.startup_timeout = 120s;
        };
    }
    NatsServer server;
};

TEST_F(ByNatsEvents, EventsGoByTheServer) {
    run([](ClusterTest* test) -> Task<> {
        co_await between(co_await test->join(), co_await test->join(), EventPlane::nats);
    });
}

Task<> keep_detail(DistributedRuntime cluster, std::string* detail) {
    const auto bus = co_await as_result(cluster.event_bus());
    *detail = bus ? "none" : bus.error().detail();
}

/// A start waits for the server for as long as the settings say; the end does not.
Task<> end_while_it_starts(ClusterTest* test) {
    const auto cluster = co_await test->join();
    std::string first;
    std::string second;
    TaskScope scope;
    scope.spawn(keep_detail(cluster, &first));
    scope.spawn(keep_detail(cluster, &second));
    co_await sleep_for(50ms);
    const auto begun = Clock::current().now();
    co_await cluster.close(Deadline::in(1s));
    EXPECT_LT(Clock::current().now() - begun, 2s);
    co_await scope.join();
    EXPECT_LT(Clock::current().now() - begun, 6s);
    EXPECT_EQ(first, "events.closed");
    EXPECT_EQ(second, "events.closed");
}

TEST_F(ByNatsEvents, AServerThatDoesNotComeDelaysNoEnd) {
    server.kill();
    waits_long();
    run(end_while_it_starts);
}

TEST_F(ByNatsEvents, AServerThatHangsFromTheBeginningDelaysNoEnd) {
    server.pause();
    waits_long();
    run(end_while_it_starts);
    server.resume();
}

TEST_F(InAFolder, AStartThatFailedMayBeTriedAgain) {
    adjust = [before = adjust](DistributedConfig& config) {
        before(config);
        config.zmq_module = "/nowhere/stator_zmq.so";
    };
    run([](ClusterTest* test) -> Task<> {
        const auto cluster = co_await test->join();
        for (int i = 0; i < 2; ++i) {
            const auto bus = co_await as_result(cluster.event_bus());
            EXPECT_EQ(bus.error().detail(), "events.module");
        }
    });
}

Task<> until_listed(DistributedRuntime cluster) {
    const auto store = cluster.discovery().store();
    while ((co_await store->list(channels_prefix(backend, "load"))).empty())
        co_await sleep_for(1ms);
}

TEST_F(InAFolder, TheSnippetsRun) {
    run([](ClusterTest* test) -> Task<> {
        const auto cluster = co_await test->join();
        const auto other = co_await test->join();
        TaskScope scope;
        scope.spawn(watch_load(cluster));
        scope.spawn(tell_load(other, 1));
        co_await until_listed(cluster);
        co_await other.close(Deadline::in(5s));
        co_await cluster.close(Deadline::in(5s));
        co_await scope.close();
    });
}

}  // namespace
}  // namespace stator
