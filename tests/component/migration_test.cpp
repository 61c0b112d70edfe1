// Answers that go on at another instance, through a router.
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cluster_fixture.hpp"
#include "stator/codec/payload_json.hpp"
#include "stator/pipeline/link.hpp"
#include "stator/pipeline/migrate.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): handlers live as long as their
// endpoint
namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::ClusterTest;
using testing::collect;

constexpr auto path = "demo.model.generate";

// As in docs/pipelines.md.
struct Prompt {
    std::vector<int> tokens;
    int max_tokens = 0;
};

/// What is left of a request after these tokens.
std::optional<Prompt> rest_of(const Prompt& prompt, std::span<const int> had) {
    if (std::ssize(had) >= prompt.max_tokens) return std::nullopt;
    auto rest = prompt;
    rest.tokens.insert(rest.tokens.end(), had.begin(), had.end());
    rest.max_tokens -= static_cast<int>(had.size());
    return rest;
}

auto generation(Router<Prompt, int> router) {
    return frontend<Prompt, int>()
        .link(migrate({.limit = 3, .max_items = 4096}, rest_of))
        .link(route_to(std::move(router)));
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Prompt, tokens, max_tokens)

/// How many tokens an instance makes before it fails, for each of its calls in turn; then all.
using Faults = std::map<InstanceId, std::vector<int>>;

struct Fleet {
    std::map<InstanceId, std::vector<Prompt>> asked{};
    std::vector<ServedEndpoint> served{};
    std::optional<DistributedRuntime> worker{};
    std::optional<DistributedRuntime> caller{};
    std::optional<Client> client{};
};

/// The token after a prompt is its length: it depends on all that came before.
Stream<int> tokens_of(Prompt prompt, std::optional<int> fault) {
    for (int i = 0; i < prompt.max_tokens; ++i) {
        if (fault == i) throw Error{ErrorCode::disconnected, "test.lost", "the engine is gone"};
        co_yield static_cast<int>(prompt.tokens.size()) + i;
    }
    if (fault == prompt.max_tokens) throw Error{ErrorCode::disconnected, "test.lost", ""};
}

Task<> start(ClusterTest* test, Fleet* fleet, Faults faults) {
    fleet->worker = co_await test->join();
    fleet->caller = co_await test->join();
    for (const auto& [id, instance_faults] : faults) {
        fleet->served.push_back(co_await fleet->worker->endpoint(path).start(
            [fleet, own = id, planned = instance_faults](Context, Prompt prompt) {
                auto& asked = fleet->asked[own];
                const auto call = asked.size();
                asked.push_back(prompt);
                return tokens_of(
                    std::move(prompt),
                    call < planned.size() ? std::optional{planned[call]} : std::nullopt
                );
            },
            {.instance_id = id}
        ));
    }
    fleet->client = co_await fleet->caller->endpoint(path).client();
    while (fleet->client->instances()->routable.size() < faults.size()) co_await sleep_for(1ms);
}

class Migration : public ClusterTest {};

TEST_F(Migration, AnInstanceThatFailedIsNotAskedAgain) {
    run([](ClusterTest* test) -> Task<> {
        Fleet fleet;
        // Whoever is asked first fails, and would fail again.
        co_await start(
            test,
            &fleet,
            {{InstanceId{1}, {2, 0, 0}},
             {InstanceId{2}, {2, 0, 0}},
             {InstanceId{3}, {2, 0, 0}},
             {InstanceId{4}, {}}}
        );
        for (const auto mode : {RouterMode::session, RouterMode::round_robin}) {
            for (auto& [id, asked] : fleet.asked) asked.clear();
            const auto service = generation(Router<Prompt, int>{*fleet.client, mode});
            const Context context{{.headers = {{"x-session-id", "s"}}}};
            const auto tokens = co_await collect(service.generate(context, {{7, 7}, 9}));
            EXPECT_EQ(tokens, (std::vector{2, 3, 4, 5, 6, 7, 8, 9, 10}));
            for (const auto& [id, asked] : fleet.asked) EXPECT_LE(asked.size(), 1U);
        }
    });
}

TEST_F(Migration, WhenNobodyElseIsThereItMayBeAskedAgain) {
    run([](ClusterTest* test) -> Task<> {
        Fleet fleet;
        co_await start(test, &fleet, {{InstanceId{1}, {2}}});
        const auto service = generation(Router<Prompt, int>{*fleet.client});
        EXPECT_EQ(co_await collect(service.generate({}, {{}, 4})), (std::vector{0, 1, 2, 3}));
        const auto& asked = fleet.asked[InstanceId{1}];
        EXPECT_EQ(asked.size(), 2U);
        EXPECT_EQ(asked.back().tokens, (std::vector{0, 1}));
        EXPECT_EQ(asked.back().max_tokens, 2);
    });
}

TEST_F(Migration, OnlyTheEndWasLost) {
    run([](ClusterTest* test) -> Task<> {
        Fleet fleet;
        co_await start(test, &fleet, {{InstanceId{1}, {3}}});
        const auto service = generation(Router<Prompt, int>{*fleet.client});
        EXPECT_EQ(co_await collect(service.generate({}, {{}, 3})), (std::vector{0, 1, 2}));
        EXPECT_EQ(fleet.asked[InstanceId{1}].size(), 1U);
    });
}

TEST_F(Migration, AmongInstancesOfTheSameProcess) {
    run([](ClusterTest* test) -> Task<> {
        Fleet fleet;
        co_await start(test, &fleet, {{InstanceId{1}, {1, 0}}, {InstanceId{2}, {}}});
        const auto client = co_await fleet.worker->endpoint(path).client();
        while (client.instances()->routable.size() < 2) co_await sleep_for(1ms);
        const auto service = generation(Router<Prompt, int>{client});
        for (int i = 0; i < 2; ++i)
            EXPECT_EQ(co_await collect(service.generate({}, {{}, 3})), (std::vector{0, 1, 2}));
        for (const auto& [id, asked] : fleet.asked) EXPECT_GE(asked.size(), 1U) << id.to_string();
    });
}

}  // namespace
}  // namespace stator
// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
