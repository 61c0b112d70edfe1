// Endpoints that are probed: what the process's health says of them, and what it costs.
#include <atomic>
#include <string>

#include "stator/observe/metrics.hpp"
#include "tests/component/cluster_fixture.hpp"

namespace stator::testing {
namespace {

using namespace std::chrono_literals;
using observe::InstanceState;

/// What the handler does when it is asked; shared with it.
struct Behaviour {
    std::atomic<bool> stall_first{false};
    std::atomic<bool> stall_tail{false};
    std::atomic<bool> fail{false};
    std::atomic<int> calls{0};
    std::atomic<int> running{0};
};

struct Counted {
    explicit Counted(std::atomic<int>& number_) : number{number_} { ++number; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() { --number; }
    std::atomic<int>& number;
};

Stream<std::string> behave(std::shared_ptr<Behaviour> how, std::string text) {
    const Counted counted{how->running};
    ++how->calls;
    if (how->fail) throw Error{ErrorCode::internal, "the engine is broken"};
    if (how->stall_first) co_await sleep_until(Deadline::never());
    co_yield text;
    if (how->stall_tail) co_await sleep_until(Deadline::never());
    co_yield text;
}

class CanaryTest : public ClusterTest {
public:
    struct Place {
        DistributedRuntime cluster;
        ServedEndpoint served;
    };
    Task<Place> serve(std::string payload = "\"ping\"", bool withdraw = false) {
        DistributedConfig config;
        config.discovery = DiscoveryBackend::memory;
        config.memory_name = name;
        config.health_state = health;
        config.health = {
            .canaries = true,
            .canary_wait = 20ms,
            .request_timeout = 100ms,
            .stream_timeout = 300ms,
            .busy_stall = 150ms,
            .canary_withdraw = withdraw,
        };
        auto cluster = co_await DistributedRuntime::connect(runtime(), config);
        auto served =
            co_await cluster.endpoint("demo.backend.generate")
                .start(
                    [how = how](Context, std::string text) { return behave(how, std::move(text)); },
                    {.health_check = std::move(payload)}
                );
        co_return Place{std::move(cluster), std::move(served)};
    }
    Task<> until(const Place* place, InstanceState state) {
        while (place->served.health().state != state) co_await sleep_for(2ms);
    }

    const std::string name = std::to_string(os_random());
    std::shared_ptr<observe::Health> health = std::make_shared<observe::Health>();
    std::shared_ptr<Behaviour> how = std::make_shared<Behaviour>();
};

TEST_F(CanaryTest, AHealthyEndpointIsReadyAfterItsFirstProbe) {
    run([this](ClusterTest*) -> Task<> {
        const auto place = co_await serve();
        co_await until(&place, InstanceState::ready);
        EXPECT_TRUE(health->report().ready);
        const int calls = how->calls;
        EXPECT_GE(calls, 1);
        while (how->calls < calls + 3) co_await sleep_for(2ms);  // idle: probed again
        EXPECT_TRUE(health->report().ready);
        EXPECT_EQ(place.served.inflight(), 0U) << "probes are no requests";
    });
}

TEST_F(CanaryTest, EachWayToFailIsNamedAndEnds) {
    run([this](ClusterTest*) -> Task<> {
        const auto place = co_await serve();
        struct Way {
            std::atomic<bool>& how;
            std::string reason;
        };
        for (const auto& way :
             {Way{how->stall_first, "no answer within"},
              Way{how->stall_tail, "stalled after 1 items"},
              Way{how->fail, "the engine is broken"}}) {
            co_await until(&place, InstanceState::ready);
            way.how = true;
            co_await until(&place, InstanceState::unhealthy);
            EXPECT_NE(place.served.health().reason.find(way.reason), std::string::npos)
                << place.served.health().reason;
            EXPECT_FALSE(health->report().ready);
            EXPECT_LE(how->running.load(), 1) << "one probe at a time";
            way.how = false;
        }
        co_await until(&place, InstanceState::ready);
        co_await place.served.shutdown(Deadline::in(5s));
        while (how->running > 0) co_await sleep_for(1ms);
    });
}

TEST_F(CanaryTest, APayloadThatTheHandlerCannotReadIsUnhealthy) {
    run([this](ClusterTest*) -> Task<> {
        const auto place = co_await serve("{");
        co_await until(&place, InstanceState::unhealthy);
    });
}

TEST_F(CanaryTest, ABusyEndpointIsNotProbedButMustMakeProgress) {
    run([this](ClusterTest*) -> Task<> {
        const auto place = co_await serve();
        co_await until(&place, InstanceState::ready);
        how->stall_tail = true;
        auto client = co_await place.cluster.endpoint("demo.backend.generate").client();
        co_await client.wait_for_instances(Deadline::in(5s));
        Router<std::string, std::string> router{client, RouterMode::round_robin};
        TaskScope scope;
        auto call = [](Router<std::string, std::string>* through) -> Task<> {
            auto reply = through->generate("hello");
            while (co_await reply.next()) {
            }
        };
        scope.spawn(call(&router));
        while (place.served.inflight() == 0) co_await yield();
        // A probe that was on its way stalls as well, and is told of first.
        while (place.served.health().reason.find("1 requests without progress") == std::string::npos
        ) {
            co_await sleep_for(2ms);
        }
        const int calls = how->calls;
        co_await sleep_for(60ms);
        EXPECT_EQ(how->calls, calls);
        how->stall_tail = false;
        co_await scope.close();
        co_await until(&place, InstanceState::ready);
    });
}

TEST_F(CanaryTest, OnlyIfAskedToAnUnhealthyEndpointLeavesDiscovery) {
    for (const bool withdraw : {false, true}) {
        health = std::make_shared<observe::Health>();
        run([this, withdraw](ClusterTest*) -> Task<> {
            const auto place = co_await serve("\"ping\"", withdraw);
            co_await until(&place, InstanceState::ready);
            how->fail = true;
            co_await until(&place, InstanceState::unhealthy);
            if (withdraw) {
                while (!(co_await place.cluster.discovery().list_all()).empty())
                    co_await sleep_for(2ms);
            } else {
                co_await sleep_for(30ms);
                EXPECT_EQ((co_await place.cluster.discovery().list_all()).size(), 1U);
            }
            how->fail = false;
            co_await until(&place, InstanceState::ready);
            while ((co_await place.cluster.discovery().list_all()).size() != 1)
                co_await sleep_for(2ms);
            co_await place.served.shutdown(Deadline::in(5s));
            EXPECT_TRUE((co_await place.cluster.discovery().list_all()).empty());
        });
    }
}

TEST_F(CanaryTest, ABurningPrimaryPoolIsUnhealthyNotUnnoticed) {
    run([this](ClusterTest*) -> Task<> {
        const auto place = co_await serve();
        co_await until(&place, InstanceState::ready);
        const auto noticed = std::make_shared<std::atomic<bool>>(false);
        runtime().secondary().spawn(
            [](ServedEndpoint served, std::shared_ptr<std::atomic<bool>> seen) -> Task<> {
                while (served.health().state != InstanceState::unhealthy) co_await sleep_for(2ms);
                *seen = true;
            }(place.served, noticed)
        );
        while (!*noticed) {
        }
        co_await until(&place, InstanceState::ready);
    });
}

class HealthOfCluster : public CanaryTest {};

TEST_F(HealthOfCluster, FollowsTheEndpointFromItsStartToItsEnd) {
    run([this](ClusterTest*) -> Task<> {
        DistributedConfig config;
        config.discovery = DiscoveryBackend::memory;
        config.memory_name = name;
        config.health_state = health;
        auto cluster = co_await DistributedRuntime::connect(runtime(), config);
        EXPECT_FALSE(health->report().ready);
        const auto endpoint = cluster.endpoint("demo.backend.generate");
        const auto handler = [how = how](Context, std::string text) {
            return behave(how, std::move(text));
        };
        const auto served = co_await endpoint.start(handler);
        EXPECT_TRUE(health->report().ready);
        EXPECT_EQ(health->instances().size(), 1U);
        EXPECT_NE(health->instances()[0]->record()->find("demo"), std::string::npos);
        how->stall_tail = true;
        auto client = co_await endpoint.client();
        co_await client.wait_for_instances(Deadline::in(5s));
        Router<std::string, std::string> router{client, RouterMode::round_robin};
        auto reply = router.generate("hello");
        EXPECT_EQ(co_await reply.next(), "hello");
        const auto requests = health->instances()[0]->requests();
        EXPECT_EQ(requests.size(), 1U);
        EXPECT_EQ(requests.at(0).state, "live");
        TaskScope scope;
        scope.spawn(served.shutdown(Deadline::in(1s)));
        while (health->report().ready) co_await yield();
        EXPECT_EQ(served.health().state, InstanceState::draining);
        co_await scope.join();
        EXPECT_TRUE(health->instances().empty());
        EXPECT_FALSE(health->report().ready);
        const auto text = observe::metrics().text({{"dynamo_endpoint", "generate"}});
        EXPECT_EQ(text.find("dynamo_component_requests_total"), std::string::npos)
            << "its series end with it: " << text;
    });
}

TEST_F(HealthOfCluster, ATornDownClusterLeavesNothingBehind) {
    std::weak_ptr<const observe::InstanceView> view;
    run([&](ClusterTest*) -> Task<> {
        const auto place = co_await serve();
        co_await until(&place, InstanceState::ready);
        view = health->instances()[0];
    });
    EXPECT_TRUE(health->instances().empty());
    EXPECT_TRUE(view.expired());
}

TEST_F(HealthOfCluster, AnEndpointThatIsNotGracefulKillsItsRequests) {
    run([this](ClusterTest*) -> Task<> {
        auto cluster = co_await join();
        how->stall_tail = true;
        const auto endpoint = cluster.endpoint("demo.backend.generate");
        const auto served = co_await endpoint.start(
            [how = how](Context, std::string text) { return behave(how, std::move(text)); },
            {.graceful_shutdown = false}
        );
        auto client = co_await endpoint.client();
        co_await client.wait_for_instances(Deadline::in(5s));
        Router<std::string, std::string> router{client, RouterMode::round_robin};
        auto reply = router.generate("hello");
        EXPECT_EQ(co_await reply.next(), "hello");
        const auto begun = Loop::current()->now();
        co_await served.shutdown(Deadline::in(10s));
        EXPECT_LT(Loop::current()->now() - begun, 5s);
        const auto end = co_await as_result([](Stream<std::string>* of) -> Task<> {
            (void)co_await of->next();
        }(&reply));
        EXPECT_EQ(end.error().code(), ErrorCode::unavailable);
    });
}

}  // namespace
}  // namespace stator::testing
