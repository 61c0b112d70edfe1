// DistributedRuntime over a real etcd.
#include "tests/component/cluster_fixture.hpp"
#include "tests/support/etcd_server.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::ClusterTest;

class OverEtcd : public ClusterTest {
protected:
    OverEtcd() {
        adjust = [this](DistributedConfig& config) {
            config.discovery = DiscoveryBackend::etcd;
            config.etcd.endpoints = {server_.url()};
        };
    }

    testing::EtcdServer server_;
};

Stream<std::string> echo(Context, std::string text) { co_yield std::move(text); }

Task<> be_called(DistributedRuntime worker, DistributedRuntime caller) {
    const auto served = co_await worker.endpoint("a.b.c").start(echo);
    const auto client = co_await caller.endpoint("a.b.c").client();
    co_await client.wait_for_instances(Deadline::in(10s));
    const Router<std::string, std::string> router{client};
    EXPECT_EQ(
        co_await testing::collect(router.generate("hello")), std::vector<std::string>{"hello"}
    );
    const auto records = co_await caller.etcd_client().list("v1/instances/");
    EXPECT_EQ(records.entries.size(), 1U);
    for (const auto& record : records.entries) {
        EXPECT_EQ(record.key, "v1/instances/a/b/c/" + worker.instance_id().to_string());
        EXPECT_NE(record.lease, 0);
    }
}

TEST_F(OverEtcd, AWorkerIsFoundAndItsRecordGoesWithIt) {
    run([](ClusterTest* test) -> Task<> {
        const auto worker = co_await test->join();
        const auto caller = co_await test->join();
        co_await be_called(worker, caller);
        co_await worker.close(Deadline::in(5s));
        EXPECT_TRUE((co_await caller.etcd_client().list("v1/instances/")).entries.empty());
        co_await caller.close(Deadline::in(5s));
        try {
            (void)co_await caller.etcd_client().status();
            ADD_FAILURE() << "its store is closed";
        } catch (const Error& error) {
            EXPECT_EQ(error.detail(), "store.closed");
        }
    });
}

class WithoutEtcd : public ClusterTest {};

TEST_F(WithoutEtcd, ItsClientIsAnErrorByName) {
    run([](ClusterTest* test) -> Task<> {
        const auto cluster = co_await test->join();
        try {
            (void)cluster.etcd_client();
            ADD_FAILURE() << "there is one";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::unimplemented);
            EXPECT_EQ(error.detail(), "component.no_etcd");
        }
        test->adjust = [](DistributedConfig& config) {
            config.discovery = DiscoveryBackend::etcd;
            config.etcd.endpoints = {
                "http://127.0.0.1:" + std::to_string(testing::free_ports(1).front())
            };
            config.etcd.startup_timeout = 300ms;
        };
        const auto refused = co_await as_result(test->join());
        EXPECT_FALSE(refused);
        if (!refused) EXPECT_EQ(refused.error().detail(), "store.unreachable");
    });
}

}  // namespace
}  // namespace stator
