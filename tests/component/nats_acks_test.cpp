// Acknowledgements by NATS that leave together: what workers write, and what callers read.
#include "transport/nats_acks.hpp"

#include <algorithm>
#include <map>
#include <ranges>

#include "nats_fixture.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines): the test outlives every task
namespace stator {
namespace {

using namespace std::chrono_literals;
using namespace testing;  // NOLINT(google-build-using-namespace)

constexpr auto also = "x-stator-also-accepted";

Task<nats::Client> client_beside(NatsServer* server) {
    nats::ClientOptions options{.server = server->url()};
    options.startup_timeout = 10s;
    co_return co_await nats::Client::connect(*Loop::current(), options);
}

Task<nats::Subscription> hears(nats::Client client, std::string subject) {
    nats::SubscribeOptions options;
    options.subjects = {std::move(subject)};
    co_return co_await client.subscribe(std::move(options));
}

std::string value_of(const nats::Message& message, std::string_view header) {
    const auto* const value = message.header(header);
    return value == nullptr ? std::string{} : *value;
}

/// "subject payload header" of each, in the order of the subjects.
Task<std::vector<std::string>> take(nats::Subscription* from, std::size_t count) {
    std::vector<std::string> lines;
    while (lines.size() < count) {
        const auto message = co_await with_deadline(Deadline::in(10s), from->next());
        lines.push_back(fmt::format(
            "{} {} {}", message->subject, message->payload.view(), value_of(*message, also)
        ));
    }
    std::ranges::sort(lines);
    co_return lines;
}

class NatsAcknowledgements : public ByNats {};

TEST_F(NatsAcknowledgements, OfOneInboxAreOneMessage) {
    run([this](ClusterTest*) -> Task<> {
        const auto client = co_await client_beside(&server);
        auto heard = co_await hears(client, "in.>");
        transport::NatsAcks acks{client};
        acks.accepted("in.a.1", true);
        acks.accepted("in.b.1", true);
        acks.accepted("in.a.2", true);
        acks.accepted("in.a.9", false);   // of one that would not read the header
        acks.accepted("in.a.c.3", true);  // another inbox
        acks.refused("in.a.4", "no");
        acks.accepted("", true);  // nobody waits
        acks.accepted("in.a.17", true);
        acks.send();
        EXPECT_EQ(
            co_await take(&heard, 5),
            (std::vector<std::string>{
                "in.a.1  2,17", "in.a.4 no ", "in.a.9  ", "in.a.c.3  ", "in.b.1  "
            })
        );
        acks.send();  // they are gone
        acks.accepted("in.a.5", true);
        acks.send();
        EXPECT_EQ(co_await take(&heard, 1), std::vector<std::string>{"in.a.5  "});
        co_await client.close(Deadline::in(5s));
    });
}

TEST_F(NatsAcknowledgements, EachRequestIsAcknowledgedOnce) {
    run([this](ClusterTest* test) -> Task<> {
        constexpr std::size_t calls = 200;
        const auto worker = co_await test->join();
        const auto caller = co_await test->join();
        const auto served = co_await worker.endpoint(path).start(letters);
        const Text router{co_await client_of(caller)};
        const auto client = co_await client_beside(&server);
        auto requests = co_await hears(
            client, fmt::format("demo_backend.generate-{}", served.instance_id().to_string())
        );
        auto acks = co_await hears(client, "_INBOX.>");
        std::vector<Task<std::string>> many;
        for (std::size_t i = 0; i < calls; ++i) many.push_back(ask(router, std::to_string(i)));
        const auto answers = co_await when_all(std::move(many));
        for (std::size_t i = 0; i < calls; ++i) EXPECT_EQ(answers[i], std::to_string(i));
        std::map<std::string, int> expected;
        for (std::size_t i = 0; i < calls; ++i) {
            const auto request = co_await with_deadline(Deadline::in(10s), requests.next());
            ++expected[request->reply];
        }
        std::map<std::string, int> found;
        for (std::size_t told = 0; told < calls;) {
            const auto ack = co_await with_deadline(Deadline::in(10s), acks.next());
            if (!expected.contains(ack->subject)) continue;  // of somebody's own flush
            ++found[ack->subject];
            ++told;
            const auto inbox = ack->subject.substr(0, ack->subject.rfind('.') + 1);
            for (const auto number : std::views::split(value_of(*ack, also), ',')) {
                if (number.empty()) continue;
                ++found[inbox + std::string{number.begin(), number.end()}];
                ++told;
            }
        }
        EXPECT_EQ(found, expected);
        co_await client.close(Deadline::in(5s));
    });
}

/// A worker that acknowledges three requests by one message, and never answers.
Task<> acknowledge_three(nats::Subscription* requests, nats::Client client) {
    nats::Publication ack;
    std::string others;
    for (int i = 0; i < 3; ++i) {
        const auto request = co_await with_deadline(Deadline::in(10s), requests->next());
        EXPECT_EQ(value_of(*request, "x-stator-reads-acks"), "many");
        if (i == 0) {
            ack.subject = request->reply;
        } else {
            others += (i > 1 ? "," : "") + request->reply.substr(request->reply.rfind('.') + 1);
        }
    }
    ack.headers.push_back({also, others});
    EXPECT_TRUE(client.publish(std::move(ack)));
}

TEST_F(NatsAcknowledgements, TheCallerReadsThemAll) {
    const auto usual = adjust;
    adjust = [usual](DistributedConfig& config) {
        usual(config);
        config.dynamo.ack_timeout = 5s;
        config.dynamo.home_timeout = 200ms;
    };
    run([this](ClusterTest* test) -> Task<> {
        const auto caller = co_await test->join();
        const auto client = co_await client_beside(&server);
        auto requests = co_await hears(client, "demo_backend.generate-1");
        const auto listed = co_await list_subject(caller, "demo_backend.generate-1");
        const Text router{co_await client_of(caller)};
        const auto [first, second, third, done] = co_await when_all(
            detail_of(ask(router, "a")),
            detail_of(ask(router, "b")),
            detail_of(ask(router, "c")),
            acknowledge_three(&requests, client)
        );
        // Without their acknowledgement they would wait for that.
        EXPECT_EQ(first, "dynamo.no_call_home");
        EXPECT_EQ(second, "dynamo.no_call_home");
        EXPECT_EQ(third, "dynamo.no_call_home");
        co_await client.close(Deadline::in(5s));
    });
}

}  // namespace
}  // namespace stator
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines)
