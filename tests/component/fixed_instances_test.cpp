// A process without discovery: the instances that it is told of are all there are.
#include "tests/component/cluster_fixture.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::ClusterTest;

Stream<std::string> echo(Context, std::string text) { co_yield std::move(text); }

class FixedInstances : public ClusterTest {};

Task<> call_without_discovery(ClusterTest* test) {
    const auto worker = co_await test->join();
    const auto served = co_await worker.endpoint("a.b.c").start(echo);
    test->adjust = [known = co_await worker.discovery().list_all()](DistributedConfig& config) {
        config.fixed = known;
    };
    const auto caller = co_await test->join();
    EXPECT_EQ((co_await caller.discovery().list_all()).size(), 1U);
    const auto client = co_await caller.endpoint("a.b.c").client();
    co_await client.wait_for_instances(Deadline::in(5s));
    const Router<std::string, std::string> router{client};
    EXPECT_EQ(co_await testing::collect(router.generate("x")), std::vector<std::string>{"x"});
    // What it serves nobody finds, but those who are told.
    const auto hidden = co_await caller.endpoint("a.b.hidden").start(echo);
    EXPECT_EQ((co_await worker.discovery().list_all()).size(), 1U);
    EXPECT_EQ(hidden.health().registration, "registered") << "as far as anybody can know";
    const auto alone = co_await test->join();
    EXPECT_EQ((co_await alone.discovery().list_all()).size(), 1U) << "a store for each";
    // That the worker has left discovery is no news here; that it has gone is.
    co_await served.shutdown(Deadline::in(5s));
    co_await worker.close(Deadline::in(5s));
    const auto refused =
        co_await as_result(testing::collect(router.generate("x", {.deadline = Deadline::in(1s)})));
    EXPECT_FALSE(refused);
}

TEST_F(FixedInstances, AreAllThatAProcessWithoutDiscoveryKnows) { run(call_without_discovery); }

Task<> refuse(ClusterTest* test) {
    test->adjust = [](DistributedConfig& config) {
        discovery::Instance nowhere;
        nowhere.endpoint = {"a", "b", "c"};
        nowhere.id = InstanceId{1};
        config.fixed.emplace().push_back(std::move(nowhere));
    };
    const auto joined = co_await as_result(test->join());
    EXPECT_FALSE(joined);
    if (!joined) EXPECT_EQ(joined.error().code(), ErrorCode::invalid_request);
}

TEST_F(FixedInstances, ThatCannotBeCalledAreRefusedByName) { run(refuse); }

}  // namespace
}  // namespace stator
