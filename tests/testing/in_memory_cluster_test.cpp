#include "stator/testing/in_memory_cluster.hpp"

#include <string>

#include <gtest/gtest.h>

#include "stator/component/router.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::InMemoryCluster;

Task<std::string> greet(Context, std::string name) { co_return "hello " + name; }

Task<std::string> serve_and_call(const InMemoryCluster* cluster) {
    const auto worker = co_await cluster->join();
    const auto served = co_await worker.endpoint("test.greeter.greet").start(greet);
    const auto caller = co_await cluster->join();
    const auto client = co_await caller.endpoint("test.greeter.greet").client();
    co_await client.wait_for_instances(Deadline::in(10s));
    const Router<std::string, std::string> router{client};
    co_return co_await router.ask("you");
}

TEST(InMemoryCluster, members_find_and_call_each_other_and_clusters_do_not_meet) {
    const InMemoryCluster cluster;
    const InMemoryCluster other;
    EXPECT_EQ(cluster.run(serve_and_call(&cluster)), "hello you");
    auto nobody = [](this auto, const InMemoryCluster* where) -> Task<> {
        const auto member = co_await where->join();
        const auto client = co_await member.endpoint("test.greeter.greet").client();
        co_await client.wait_for_instances(Deadline::in(20ms));
    };
    EXPECT_THROW(other.run(nobody(&other)), Error);
}

TEST(InMemoryCluster, a_test_that_hangs_ends_at_the_limit) {
    const InMemoryCluster cluster{{.limit = 10ms}};
    auto hangs = [](this auto) -> Task<> { co_await sleep_until(Deadline::never()); };
    try {
        cluster.run(hangs());
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::deadline_exceeded);
    }
}

}  // namespace
}  // namespace stator
