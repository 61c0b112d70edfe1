// What a service tells of itself, to a real server's clients.
#include "stator/nats/service.hpp"

#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"
#include "tests/nats/nats_fixture.hpp"

namespace stator::test {
namespace {

using nats::Service;
using nats::ServiceCounts;
using ServicePtr = std::shared_ptr<Service>;

constexpr auto subject = "hello_backend.generate-2040a200c5fa3e19";

Task<ServicePtr> start_service(Client client, std::string name) {
    auto service = co_await Service::start(
        client,
        {.name = std::move(name),
         .version = "1.6.1",
         .description = "Dynamo component backend in namespace hello"}
    );
    service->add({.subject = subject, .queue_group = "q", .counts = [] { return ServiceCounts{}; }}
    );
    co_return service;
}

Task<std::string> ask(Client client, std::string where) {
    const auto answer =
        co_await client.request(publication(std::move(where), ""), Deadline::in(patience));
    co_return answer.payload.to_string();
}

Task<> told_as_the_original_does(Client client) {
    const auto service = co_await start_service(client, "hello_backend");
    const auto& id = service->id();
    const auto head = [&](std::string_view type) {
        return R"({"type":"io.nats.micro.v1.)" + std::string{type} +
               R"(_response","name":"hello_backend","id":")" + id + "\"";
    };
    for (const auto& where :
         {std::string{"$SRV.PING"},
          std::string{"$SRV.PING.hello_backend"},
          "$SRV.PING.hello_backend." + id}) {
        const auto ping = co_await ask(client, where);
        require(ping == head("ping") + R"(,"version":"1.6.1","metadata":{}})", ping);
    }
    const auto info = co_await ask(client, "$SRV.INFO");
    require(
        info == head("info") + R"(,"description":"Dynamo component backend in namespace hello",)"
                               R"("version":"1.6.1","metadata":{},"endpoints":[)"
                               R"({"name":"hello_backend-generate-2040a200c5fa3e19",)"
                               R"("subject":"hello_backend.generate-2040a200c5fa3e19",)"
                               R"("queue_group":"q","metadata":{}}]})",
        info
    );
    auto stats = co_await ask(client, "$SRV.STATS.hello_backend");
    const auto started = stats.find(R"("started":")");
    require(started != stats.npos, stats);
    require(stats.substr(started + 11).find("Z\"") == 29, "nanoseconds");
    stats.erase(started, 11 + 32);
    require(
        stats == head("stats") +
                     R"(,"version":"1.6.1","endpoints":[)"
                     R"({"name":"hello_backend-generate-2040a200c5fa3e19",)"
                     R"("subject":"hello_backend.generate-2040a200c5fa3e19",)"
                     R"("num_requests":0,"num_errors":0,"processing_time":0,)"
                     R"("average_processing_time":0,"last_error":"","queue_group":"q"}]})",
        stats
    );
    co_await service->close();
    const auto error = co_await error_of(ask(client, "$SRV.PING.hello_backend"));
    require(error == "unavailable nats.no_responders", error);
}

TEST(NatsService, IsToldAsTheOriginalDoes) {
    const NatsServer server;
    Loops loops;
    const Connected client{loops, server};
    EXPECT_RUNS(loops, told_as_the_original_does(*client));
}

Task<std::string> told(std::string data) { co_return data; }

Task<> all_of_a_component(Client client) {
    const auto service = co_await start_service(client, "hello_backend");
    service->add(
        {.subject = "hello_backend.other-1",
         .queue_group = "q",
         .counts =
             [] {
                 return ServiceCounts{
                     .requests = 4,
                     .errors = 1,
                     .processing_ns = 400,
                     .last_error = "Server overloaded",
                 };
             },
         .data = [] { return told(R"({"slots":[1,2]})"); }}
    );
    const auto stats = decode_json(co_await ask(client, "$SRV.STATS.hello_backend"));
    require(stats.has_value(), "no JSON");
    const auto& endpoints = stats->at("endpoints");
    require(endpoints.size() == 2, "both");
    require(endpoints.at(1).at("average_processing_time") == 100, "average");
    require(endpoints.at(1).at("num_errors") == 1, "errors");
    require(endpoints.at(1).at("data").at("slots").at(1) == 2, "data");
    require(!endpoints.at(0).contains("data"), "none of its own");
    service->remove(subject);
    require(service->endpoints() == 1, "one left");
    co_await service->close();
}

TEST(NatsService, AnswersForAllEndpointsOfAComponent) {
    const NatsServer server;
    Loops loops;
    const Connected client{loops, server};
    EXPECT_RUNS(loops, all_of_a_component(*client));
}

Task<int> now(const int* of) { co_return *of; }

Task<std::string> told_later(Event* release, int* times) {
    ++*times;
    co_await release->wait();
    co_return "1";
}

Task<> while_statistics_are_made(Client client) {
    Event release;
    int times = 0;
    const auto service = co_await start_service(client, "hello_backend");
    service->add({.subject = "s", .queue_group = "q", .data = [&release, &times] {
                      return told_later(&release, &times);
                  }});
    const auto inbox = Client::new_inbox();
    const auto answers = co_await client.subscribe(to(inbox));
    auto question = publication("$SRV.STATS.hello_backend", "");
    question.reply = inbox;
    require(client.publish(question).has_value(), "asked");
    (void)co_await ask(client, "$SRV.PING.hello_backend");
    while (co_await on_loop(client.loop(), now(&times)) == 0) co_await yield();
    // All who ask meanwhile get the next answer.
    for (int i = 0; i < 20; ++i) require(client.publish(question).has_value(), "asked");
    (void)co_await ask(client, "$SRV.INFO.hello_backend");
    require(!answers.try_next(), "nothing yet");
    release.set();
    for (int i = 0; i < 21; ++i) {
        const auto answer = co_await next_message(&answers);
        require(decode_json(answer.payload.view())->at("endpoints").at(1).at("data") == 1, "data");
    }
    require(co_await on_loop(client.loop(), now(&times)) == 2, "made twice");
    co_await service->close();
}

TEST(NatsService, TellsTheRestWhileStatisticsAreMade) {
    const NatsServer server;
    Loops loops;
    const Connected client{loops, server};
    EXPECT_RUNS(loops, while_statistics_are_made(*client));
}

}  // namespace
}  // namespace stator::test
