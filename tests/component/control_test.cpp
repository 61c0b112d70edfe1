// An operator takes instances off line and puts them back, while others call them.
#include "stator/component/control.hpp"

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cluster_fixture.hpp"
#include "stator/discovery/drained.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/store/memory_store.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): handlers live as long as their
// endpoint
namespace stator::testing {
namespace {

using namespace std::chrono_literals;
using Action = ControlRequest::Action;
using Json = nlohmann::json;
using observe::InstanceState;
using Text = Router<std::string, std::string>;

constexpr auto path = "demo.backend.generate";
constexpr auto other_path = "demo.backend.other";

Task<std::string> echo(Context, std::string text) { co_return text; }

std::string detail_of(const Result<std::string>& result) {
    return result ? *result : result.error().detail();
}

class Control : public ClusterTest {
public:
    Control() {
        adjust = [this](DistributedConfig& config) {
            config.health_state = health = std::make_shared<observe::Health>();
            config.remote_control = enabled;
            config.settle = 10ms;
        };
    }
    /// Of one process, from another.
    static Task<Result<std::string>> ask(
        const DistributedRuntime* from, const discovery::MuxAddress* where, ControlRequest request
    ) {
        co_return co_await as_result(from->control(*where, std::move(request)));
    }
    static Task<discovery::MuxAddress> address_of(const DistributedRuntime* cluster) {
        const auto all = co_await cluster->discovery().list_all();
        if (all.empty() || !all.front().mux) throw Error{ErrorCode::internal, "nothing is there"};
        co_return *all.front().mux;
    }
    static Task<std::string> listed(const DistributedRuntime* cluster) {
        const auto on_line = co_await cluster->discovery().list_all();
        const auto drained = co_await cluster->discovery().list_drained();
        co_return fmt::format("{} on line, {} drained", on_line.size(), drained.size());
    }

    bool enabled = true;
    std::shared_ptr<observe::Health> health;  // of the latest that joined
};

TEST_F(Control, TakesAnInstanceOffLineAndBack) {
    run([](ClusterTest* base) -> Task<> {
        auto* test = static_cast<Control*>(base);
        const auto worker = co_await test->join();
        const auto health = test->health;
        Event finish;
        const auto slow = [&finish](Context, std::string text) -> Task<std::string> {
            if (text == "slow") co_await finish.wait();
            co_return text;
        };
        const auto served = co_await worker.endpoint(path).start(slow);
        const auto caller = co_await test->join();
        const auto client = co_await caller.endpoint(path).client();
        co_await client.wait_for_instances(Deadline::in(5s));
        const Text router{client};
        std::string reply;
        TaskScope scope;
        scope.spawn([](const Text* of, std::string* into) -> Task<> {
            *into = co_await of->ask("slow");
        }(&router, &reply));
        while (served.inflight() == 0) co_await sleep_for(1ms);

        const auto where = co_await address_of(&caller);
        const auto report = Json::parse(detail_of(
            co_await ask(&caller, &where, {.endpoint = EndpointId{"demo", "backend", "generate"}})
        ));
        EXPECT_EQ(report["instances"][0]["endpoint"], path);
        EXPECT_EQ(report["instances"][0]["instance_id"], served.instance_id().to_string());
        EXPECT_EQ(report["instances"][0]["state"], "draining");
        EXPECT_EQ(report["instances"][0]["requests"], 1);
        EXPECT_EQ(co_await listed(&caller), "0 on line, 1 drained");
        const auto drained = co_await caller.discovery().list_drained();
        EXPECT_TRUE(drained.front().draining());
        EXPECT_EQ(drained.front().mux->address, where.address);
        EXPECT_EQ(drained.front().id, served.instance_id());
        EXPECT_EQ(served.health().state, InstanceState::draining);
        EXPECT_FALSE(health->report().ready);
        // Nobody is sent there, and who runs finishes.
        EXPECT_FALSE(co_await as_result(client.wait_for_instances(Deadline::in(20ms))));
        finish.set();
        co_await scope.join();
        EXPECT_EQ(reply, "slow");
        EXPECT_EQ(served.inflight(), 0U);

        (void)co_await ask(&caller, &where, {.action = Action::resume});
        EXPECT_EQ(co_await listed(&caller), "1 on line, 0 drained");
        EXPECT_EQ(served.health().state, InstanceState::ready);
        co_await client.wait_for_instances(Deadline::in(5s));
        EXPECT_EQ(co_await router.ask("again"), "again");
        co_await served.shutdown(Deadline::in(5s));
        EXPECT_EQ(co_await listed(&caller), "0 on line, 0 drained");
    });
}

TEST_F(Control, WhatIsAskedTwiceIsDoneOnce) {
    run([](ClusterTest* base) -> Task<> {
        auto* test = static_cast<Control*>(base);
        const auto worker = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(echo);
        const auto where = co_await address_of(&worker);
        EXPECT_TRUE(co_await ask(&worker, &where, {.action = Action::resume}));
        EXPECT_EQ(co_await listed(&worker), "1 on line, 0 drained");
        for (int i = 0; i < 2; ++i) {
            EXPECT_TRUE(co_await ask(&worker, &where, {}));
            EXPECT_EQ(co_await listed(&worker), "0 on line, 1 drained");
        }
        for (int i = 0; i < 2; ++i) {
            EXPECT_TRUE(co_await ask(&worker, &where, {.action = Action::resume}));
            EXPECT_EQ(co_await listed(&worker), "1 on line, 0 drained");
        }
    });
}

TEST_F(Control, RefusesByName) {
    run([](ClusterTest* base) -> Task<> {
        auto* test = static_cast<Control*>(base);
        const auto worker = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(echo);
        const auto where = co_await address_of(&worker);
        EXPECT_EQ(
            detail_of(co_await ask(&worker, &where, {.endpoint = EndpointId{"a", "b", "c"}})),
            "control.not_served"
        );
        EXPECT_EQ(
            detail_of(co_await ask(&worker, &where, {.instance = InstanceId{1}})),
            "control.not_served"
        );
        EXPECT_EQ(co_await listed(&worker), "1 on line, 0 drained");
        test->enabled = false;
        const auto closed = co_await test->join();
        const auto other = co_await closed.endpoint("demo.closed.generate").start(echo);
        discovery::MuxAddress its;
        for (const auto& instance : co_await closed.discovery().list_all()) {
            if (instance.id == other.instance_id()) its = *instance.mux;
        }
        EXPECT_EQ(detail_of(co_await ask(&worker, &its, {})), "control.disabled");
        EXPECT_EQ(other.health().state, InstanceState::ready);
    });
}

TEST_F(Control, OneEndpointOfAnInstanceGoesWithoutTheOther) {
    run([](ClusterTest* base) -> Task<> {
        auto* test = static_cast<Control*>(base);
        const auto worker = co_await test->join();
        const auto one = co_await worker.endpoint(path).start(echo);
        const auto two = co_await worker.endpoint(other_path).start(echo);
        const auto caller = co_await test->join();
        const auto first = co_await caller.endpoint(path).client();
        const auto second = co_await caller.endpoint(other_path).client();
        co_await first.wait_for_instances(Deadline::in(5s));
        co_await second.wait_for_instances(Deadline::in(5s));
        const Text router{second};
        const Text gone{first};
        EXPECT_EQ(co_await gone.ask("a"), "a");
        const auto where = co_await address_of(&caller);
        EXPECT_TRUE(
            co_await ask(&caller, &where, {.endpoint = EndpointId{"demo", "backend", "generate"}})
        );
        EXPECT_EQ(co_await listed(&caller), "1 on line, 1 drained");
        EXPECT_EQ(co_await router.ask("b"), "b");
        // Its connection still answers: it is the refusal that tells.
        EXPECT_FALSE(co_await as_result(gone.ask("c")));
        EXPECT_TRUE(co_await ask(&caller, &where, {}));
        EXPECT_EQ(co_await listed(&caller), "0 on line, 2 drained");
        EXPECT_FALSE(co_await as_result(router.ask("d")));
        EXPECT_TRUE(co_await ask(&caller, &where, {.action = Action::resume}));
        EXPECT_EQ(co_await listed(&caller), "2 on line, 0 drained");
        co_await first.wait_for_instances(Deadline::in(5s));
        EXPECT_EQ(co_await gone.ask("e"), "e");
    });
}

TEST_F(Control, AStoreThatFailsLeavesItOnLine) {
    run([](ClusterTest* base) -> Task<> {
        auto* test = static_cast<Control*>(base);
        const auto worker = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(echo);
        const auto store =
            std::dynamic_pointer_cast<store::MemoryStore>(worker.discovery().store());
        const auto where = co_await address_of(&worker);
        store->simulate_outage(true);
        EXPECT_EQ(detail_of(co_await ask(&worker, &where, {})), "store.outage");
        EXPECT_EQ(served.health().state, InstanceState::ready);
        store->simulate_outage(false);
        const Text router{co_await worker.endpoint(path).client()};
        EXPECT_EQ(co_await router.ask("a"), "a");
        EXPECT_TRUE(co_await ask(&worker, &where, {}));
        store->simulate_outage(true);
        EXPECT_EQ(
            detail_of(co_await ask(&worker, &where, {.action = Action::resume})), "store.outage"
        );
        EXPECT_EQ(served.health().state, InstanceState::draining);
        store->simulate_outage(false);
        EXPECT_EQ(co_await listed(&worker), "0 on line, 1 drained");
        EXPECT_TRUE(co_await ask(&worker, &where, {.action = Action::resume}));
        EXPECT_EQ(co_await listed(&worker), "1 on line, 0 drained");
    });
}

TEST_F(Control, WhatIsDrainedEndsAsEverythingElse) {
    run([](ClusterTest* base) -> Task<> {
        auto* test = static_cast<Control*>(base);
        const auto worker = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(echo);
        const auto where = co_await address_of(&worker);
        EXPECT_TRUE(co_await ask(&worker, &where, {}));
        co_await served.shutdown(Deadline::in(5s));
        EXPECT_EQ(co_await listed(&worker), "0 on line, 0 drained");
        EXPECT_EQ(
            detail_of(co_await ask(&worker, &where, {.action = Action::resume})),
            "control.not_served"
        );
    });
}

TEST_F(Control, NoCallFailsWhileWorkersGoAndComeBack) {
    run([](ClusterTest* base) -> Task<> {
        auto* test = static_cast<Control*>(base);
        const auto one = co_await test->join();
        const auto first = co_await one.endpoint(path).start(echo);
        const auto where_one = co_await address_of(&one);
        const auto two = co_await test->join();
        const auto second = co_await two.endpoint(path).start(echo);
        discovery::MuxAddress where_two;
        for (const auto& instance : co_await two.discovery().list_all()) {
            if (instance.id == second.instance_id()) where_two = *instance.mux;
        }
        const auto caller = co_await test->join();
        const auto client = co_await caller.endpoint(path).client();
        co_await client.wait_for_instances(Deadline::in(5s));
        bool over = false;
        int calls = 0;
        TaskScope scope;
        for (int i = 0; i < 8; ++i) {
            scope.spawn([](Text router, bool* end, int* count) -> Task<> {
                for (; !*end; ++*count) EXPECT_EQ(co_await router.ask("x"), "x");
            }(Text{client}, &over, &calls));
        }
        for (int i = 0; i < 20; ++i) {
            const auto& where = i % 2 == 0 ? where_one : where_two;
            EXPECT_TRUE(co_await ask(&caller, &where, {}));
            const int before = calls;
            while (calls < before + 50) co_await sleep_for(1ms);
            EXPECT_TRUE(co_await ask(&caller, &where, {.action = Action::resume}));
            // The other one leaves only once callers know that this one is back.
            while (client.instances()->routable.size() < 2) co_await sleep_for(1ms);
        }
        over = true;
        co_await scope.join();
    });
}

TEST(ControlRequests, AreReadStrictly) {
    const auto good =
        control_request_from_json(R"({"action":"drain","endpoint":"a.b.c","instance":"1f"})");
    ASSERT_TRUE(good);
    EXPECT_EQ(good->endpoint->to_string(), "a.b.c");
    EXPECT_EQ(good->instance, InstanceId{0x1f});
    EXPECT_EQ(to_json(*good), R"({"action":"drain","endpoint":"a.b.c","instance":"1f"})");
    const auto known = control_request_from_json("", Action::resume);
    ASSERT_TRUE(known);
    EXPECT_EQ(known->action, Action::resume);
    EXPECT_TRUE(control_request_from_json("{}", Action::resume));
    for (const auto* bad :
         {"",
          "[]",
          "{",
          "{}",
          R"({"action":"stop"})",
          R"({"action":3})",
          R"({"action":"drain","instance":""})",
          R"({"action":"drain","other":1})"}) {
        const auto read = control_request_from_json(bad);
        ASSERT_FALSE(read) << bad;
        EXPECT_EQ(read.error().code(), ErrorCode::invalid_request) << bad;
        EXPECT_EQ(read.error().detail(), "control.request") << bad;
    }
    EXPECT_FALSE(control_request_from_json(R"({"action":"drain"})", Action::resume));
    EXPECT_FALSE(control_request_from_json(R"({"action":"drain","endpoint":"a"})"));
}

TEST(DrainedRecords, AreReadBackAndNothingElse) {
    discovery::Instance instance{
        .endpoint = {"ns", "comp", "ep"},
        .id = InstanceId{0xab},
        .transport = {discovery::TransportKind::tcp, "127.0.0.1:1/ab/ns/comp/ep"},
        .device_type = std::nullopt,
        .request_plane_codec = std::nullopt,
        .mux = discovery::MuxAddress{.address = "127.0.0.1:1"},
    };
    const auto key = discovery::drained_key(instance);
    EXPECT_EQ(key, "v1/x_stator/drained/ns/comp/ep/ab");
    const auto record = discovery::to_drained_record(instance);
    ASSERT_TRUE(record);
    const auto read = discovery::from_drained_record(key, *record);
    ASSERT_TRUE(read);
    EXPECT_TRUE(read->draining());
    EXPECT_EQ(read->mux->address, "127.0.0.1:1");
    EXPECT_FALSE(discovery::from_drained_record("v1/instances/ns/comp/ep/ab", *record));
    EXPECT_FALSE(discovery::from_drained_record(key, "{"));
    instance.mux.reset();
    EXPECT_FALSE(discovery::to_drained_record(instance));
}

}  // namespace
}  // namespace stator::testing
// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
