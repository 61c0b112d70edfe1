// What tests of calls by NATS share.
#pragma once

#include <gtest/gtest.h>

#include "cluster_fixture.hpp"
#include "stator/nats/client.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/offload.hpp"
#include "tests/support/nats_server.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters): the test outlives every task
namespace stator::testing {

using namespace std::chrono_literals;
using Text = Router<std::string, std::string>;

inline constexpr auto path = "demo.backend.generate";
inline const CallOptions by_nats{.plane = Plane::dynamo};

class ByNats : public ClusterTest {
public:
    explicit ByNats(NatsServer::Options options = {}) : server{std::move(options)} {
        adjust = [this](DistributedConfig& config) {
            config.request_plane = settings::RequestPlane::nats;
            config.nats.server = server.url();
            config.nats.startup_timeout = 10s;
            config.settle = 10ms;
        };
    }
    void threads_of(std::size_t count) { ClusterTest::threads = count; }
    NatsServer server;
    // The server ends with the thread that has started it.
    BlockingPool servers{{.threads = 1, .idle_time = 60s}};
};

inline Stream<std::string> letters(Context, std::string text) {
    for (const char letter : text) co_yield std::string{letter};
}

inline Task<std::string> ask(const Text& router, std::string text, CallOptions options = by_nats) {
    std::string all;
    for (const auto& item : co_await collect(router.generate(std::move(text), options)))
        all += item;
    co_return all;
}

inline Task<Client> client_of(DistributedRuntime cluster, std::size_t instances = 1) {
    auto client = co_await cluster.endpoint(path).client();
    while (client.instances()->routable.size() < instances) co_await sleep_for(1ms);
    co_return client;
}

/// A member's record of an instance that is somebody else's: whoever has subscribed to the subject.
inline Task<discovery::Registration> list_subject(DistributedRuntime member, std::string subject) {
    discovery::Instance record;
    record.endpoint = EndpointId::parse(path).value();
    record.id = InstanceId::random();
    record.transport = {discovery::TransportKind::nats_tcp, std::move(subject)};
    const auto lease = co_await member.discovery().store()->grant_lease({});
    co_return co_await member.discovery().publish(record, lease);
}

template <class T>
Task<std::string> detail_of(Task<T> task) {
    const auto outcome = co_await as_result(std::move(task));
    co_return outcome ? std::string{"none"} : outcome.error().detail();
}

}  // namespace stator::testing
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters)
