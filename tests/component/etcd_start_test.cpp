// DistributedRuntime over etcd: starts that fail at step n, for every n, and what a process holds.
#include <dlfcn.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/component/cluster_fixture.hpp"
#include "tests/support/descriptors.hpp"
#include "tests/support/etcd_server.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::ClusterTest;
using testing::EtcdServer;

/// Refuses the call of that number from now on; the module stays loaded.
void refuse_call(int number, bool after) {
    void* const module = ::dlopen(STATOR_REFUSING_ETCD, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(module, nullptr) << ::dlerror();
    using Refuse = void (*)(int, bool);
    const auto refuse = reinterpret_cast<Refuse>(::dlsym(module, "stator_refuse_call"));
    ASSERT_NE(refuse, nullptr);
    refuse(number, after);
}

/// Of ours: gRPC keeps a pool of its own, which grows and shrinks as it likes, under names of its
/// own.
std::vector<std::string> threads() {
    std::vector<std::string> names;
    for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
        std::string name;
        std::getline(std::ifstream{task.path() / "comm"}, name);
        const auto begins = [&](std::string_view with) { return name.starts_with(with); };
        if (begins("primary-") || begins("secondary-") || begins("stall-watch"))
            names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
}

/// gRPC lets go of connections and threads in its own time.
template <class Condition>
Task<bool> eventually(Condition condition) {
    const auto until = Deadline::in(10s);
    while (!condition()) {
        if (until.passed()) co_return false;
        co_await sleep_for(10ms);
    }
    co_return true;
}

Stream<std::string> echo(Context, std::string text) { co_yield std::move(text); }

class EtcdStart : public ClusterTest {
protected:
    EtcdStart() {
        adjust = [this](DistributedConfig& config) {
            config.discovery = DiscoveryBackend::etcd;
            config.etcd.endpoints = {server.url()};
            config.etcd.module = STATOR_REFUSING_ETCD;
        };
    }

public:
    EtcdServer server;
    EtcdServer* direct = &server;
};

/// Joins and serves a model; false if either was refused.
Task<bool> start(ClusterTest* test) {
    const auto joined = co_await as_result(test->join());
    if (!joined) co_return false;
    const auto served = co_await as_result(
        joined->endpoint("a.b.c").start(echo, {.model_card = R"({"display_name":"m"})"})
    );
    // From here on it is an end, not a start.
    refuse_call(-1, false);
    co_await joined->close(Deadline::in(5s));
    co_return served.has_value();
}

Task<std::vector<std::string>> keys(ClusterTest* test) {
    const auto other = co_await test->join();
    std::vector<std::string> found;
    for (const auto& entry : (co_await other.etcd_client().list("v1/")).entries) {
        if (entry.key != "v1/x_stator/store_id") found.push_back(entry.key);
    }
    co_await other.close(Deadline::in(5s));
    co_return found;
}

Task<> fail_at_each_step(ClusterTest* test, EtcdServer* server, bool after) {
    refuse_call(-1, false);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(co_await start(test));  // what is made once is made
    EXPECT_TRUE((co_await keys(test)).empty());
    const auto descriptors_before = test::open_descriptors();
    const auto threads_before = threads();
    const auto leases = [server] { return server->leases_granted() - server->leases_revoked(); };
    EXPECT_EQ(leases(), 0U);
    int failed = 0;
    for (int step = 0; step < 10; ++step) {
        SCOPED_TRACE(step);
        refuse_call(step, after);
        if (!co_await start(test)) ++failed;
        refuse_call(-1, false);
        EXPECT_TRUE((co_await keys(test)).empty());
        // A lease that was granted without an answer runs out.
        if (!after) EXPECT_EQ(leases(), 0U);
        EXPECT_TRUE(co_await eventually([&] {
            return test::open_descriptors() <= descriptors_before && threads() == threads_before;
        })) << test::open_descriptors()
            << " descriptors; before: " << descriptors_before;
        EXPECT_EQ(threads(), threads_before);
    }
    // The store's identity, the lease, the model, the instance. Those after them, and of watches in
    // between, are no part of the start.
    EXPECT_EQ(failed, 4);
}

TEST_F(EtcdStart, ThatIsRefusedAtAnyStepLeavesNothing) {
    run([](ClusterTest* test) -> Task<> {
        co_await fail_at_each_step(test, static_cast<EtcdStart*>(test)->direct, false);
    });
}

TEST_F(EtcdStart, WhoseAnswerIsLostAtAnyStepLeavesNothing) {
    run([](ClusterTest* test) -> Task<> {
        co_await fail_at_each_step(test, static_cast<EtcdStart*>(test)->direct, true);
    });
}

Task<> count_watches(ClusterTest* test, EtcdServer* server) {
    const auto worker = co_await test->join();
    const auto caller = co_await test->join();
    const auto served = co_await worker.endpoint("a.b.c").start(echo);
    EXPECT_TRUE(co_await eventually([&] { return server->watches() == 1; })) << "of its own key";
    {
        std::vector<Client> clients;
        for (int i = 0; i < 20; ++i)
            clients.push_back(co_await caller.ns("a").component("b").endpoint("c").client());
        co_await clients.back().wait_for_instances(Deadline::in(10s));
        for (const auto& client : clients)
            EXPECT_EQ(client.instances(), clients.front().instances()) << "one set for all";
        EXPECT_TRUE(co_await eventually([&] { return server->watches() == 1 + 1; }));
        const auto other = co_await caller.endpoint("a.b.other").client();
        EXPECT_TRUE(co_await eventually([&] { return server->watches() == 1 + 2; }));
    }
    EXPECT_TRUE(co_await eventually([&] { return server->watches() == 1; })) << "nobody looks";
    const auto again = co_await as_result(worker.endpoint("a.b.c").start(echo));
    EXPECT_FALSE(again) << "the same instance of the same endpoint twice";
    if (!again) EXPECT_EQ(again.error().code(), ErrorCode::already_exists);
    co_await caller.close(Deadline::in(5s));
    co_await worker.close(Deadline::in(5s));
    EXPECT_TRUE(co_await eventually([&] { return server->watches() == 0; }));
}

TEST_F(EtcdStart, HasOneWatchForEachEndpointThatItCallsAndOneForItsKey) {
    run([](ClusterTest* test) -> Task<> {
        co_await count_watches(test, static_cast<EtcdStart*>(test)->direct);
    });
}

Task<> look_without_a_lease(ClusterTest* test, EtcdServer* server) {
    const auto worker = co_await test->join();
    const auto served = co_await worker.endpoint("a.b.c").start(echo);
    const auto granted = server->leases_granted();
    auto config = worker.config();
    config.instance_id = InstanceId{};
    const auto tool = co_await DistributedRuntime::for_cli(test->runtime(), config);
    EXPECT_EQ((co_await tool.discovery().list_all()).size(), 1U);
    const auto client = co_await tool.endpoint("a.b.c").client();
    co_await client.wait_for_instances(Deadline::in(10s));
    const Router<std::string, std::string> router{client};
    EXPECT_EQ(co_await testing::collect(router.generate("x")), std::vector<std::string>{"x"});
    EXPECT_EQ(server->leases_granted(), granted);
    // What is served all the same is found, and goes with the tool.
    const auto extra = co_await tool.endpoint("a.b.extra").start(echo);
    EXPECT_EQ((co_await worker.discovery().list_all()).size(), 2U);
    co_await tool.close(Deadline::in(5s));
    EXPECT_EQ((co_await worker.discovery().list_all()).size(), 1U);
    co_await worker.close(Deadline::in(5s));
}

TEST_F(EtcdStart, OfAToolTakesNoLease) {
    run([](ClusterTest* test) -> Task<> {
        co_await look_without_a_lease(test, static_cast<EtcdStart*>(test)->direct);
    });
}

}  // namespace
}  // namespace stator
