// A client and a real nats-server, which is killed, paused and started again.
#include <fcntl.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include <fmt/format.h>

#include "stator/runtime/combinators.hpp"
#include "stator/runtime/offload.hpp"
#include "tests/nats/nats_fixture.hpp"

namespace stator::test {
namespace {

TEST(NatsClient, NeedsAServer) {
    Loops loops;
    ClientOptions options{.server = "nats://127.0.0.1:1"};
    options.startup_timeout = 200ms;
    const auto error = loops.run(error_of(connect_client(&loops.secondary(), options)));
    EXPECT_EQ(*error, "unavailable nats.unreachable");
}

TEST(NatsClient, NeedsItsModule) {
    Loops loops;
    ClientOptions options;
    options.module = "/nowhere/stator_nats.so";
    const auto error = loops.run(error_of(connect_client(&loops.secondary(), options)));
    EXPECT_EQ(*error, "unimplemented nats.module");
}

Task<> all_arrive(Client client) {
    const auto subscription = co_await client.subscribe(to("a.*"));
    for (int i = 0; i < 1000; ++i) {
        auto made = publication("a.x", std::to_string(i));
        made.headers = {{"n", std::to_string(i)}, {"twice", "1"}, {"twice", "2"}};
        made.reply = "back";
        while (!client.publish(made)) co_await yield();
    }
    for (int i = 0; i < 1000; ++i) {
        const auto message = co_await next_message(&subscription);
        require(message.subject == "a.x" && message.reply == "back", "where from, where to");
        require(message.payload.view() == std::to_string(i), "in order");
        require(message.headers.size() == 3, "headers");
        require(*message.header("n") == std::to_string(i), "header");
    }
    require(!subscription.try_next() && subscription.dropped() == 0, "no more");
    const auto counts = client.counts();
    require(counts.out_messages >= 1000 && counts.in_messages >= 1000, "counts");
    require(counts.connects == 1 && counts.unsent == 0, "connects");
}

TEST(NatsClient, BringsMessagesInOrder) {
    const NatsServer server;
    Loops loops;
    const Connected client{loops, server};
    EXPECT_RUNS(loops, all_arrive(*client));
    EXPECT_EQ(client->server(), server.url());
    EXPECT_EQ(client->max_payload(), 1U << 20U);
}

Task<> one_of_a_group(Client client) {
    const auto one = co_await client.subscribe(to("jobs", "q"));
    const auto two = co_await client.subscribe(to("jobs", "q"));
    const auto all = co_await client.subscribe(to("jobs"));
    for (int i = 0; i < 100; ++i) require(client.publish(publication("jobs", "x")).has_value(), "");
    for (int i = 0; i < 100; ++i) co_await next_message(&all);
    co_await client.flush(Deadline::in(patience));
    require(one.waiting() + two.waiting() == 100, "each once");
    require(one.waiting() > 0 && two.waiting() > 0, "both");
}

TEST(NatsClient, GivesAMessageToOneOfAGroup) {
    const NatsServer server;
    Loops loops;
    const Connected client{loops, server};
    EXPECT_RUNS(loops, one_of_a_group(*client));
}

Task<> echo(Client client, const Subscription* requests) {
    while (const auto message = co_await requests->next()) {
        Publication answer;
        answer.subject = message->reply;
        answer.payload = message->payload;
        (void)client.publish(std::move(answer));
    }
}

Task<std::string> ask(Client client, std::string text) {
    const auto answer = co_await client.request(publication("echo", text), Deadline::in(patience));
    co_return answer.payload.to_string();
}

Task<> many_requests(Client client) {
    auto requests = co_await client.subscribe(to("echo"));
    TaskScope scope;
    scope.spawn(echo(client, &requests));
    std::vector<Task<std::string>> asked;
    for (int i = 0; i < 500; ++i) asked.push_back(ask(client, std::to_string(i)));
    const auto answers = co_await when_all(std::move(asked));
    for (int i = 0; i < 500; ++i) require(answers[i] == std::to_string(i), "the right answer");
    requests.close();
    co_await scope.join();
}

TEST(NatsClient, ManyRequestsAtATime) {
    const NatsServer server;
    Loops loops;
    const Connected client{loops, server};
    EXPECT_RUNS(loops, many_requests(*client));
}

Task<> nobody_there(Client client) {
    const auto begin = std::chrono::steady_clock::now();
    const auto error =
        co_await error_of(client.request(publication("nobody", "?"), Deadline::in(patience)));
    require(error == "unavailable nats.no_responders", error);
    require(std::chrono::steady_clock::now() - begin < 5s, "at once");
}

TEST(NatsClient, SaysAtOnceThatNobodyAnswers) {
    const NatsServer server;
    Loops loops;
    const Connected client{loops, server};
    EXPECT_RUNS(loops, nobody_there(*client));
}

Task<> largest(Client client) {
    const auto subscription = co_await client.subscribe(to("big"));
    std::string text(client.max_payload(), 'x');
    require(client.publish(publication("big", text)).has_value(), "as much as the server takes");
    require((co_await next_message(&subscription)).payload.size() == text.size(), "whole");
    // Headers count, too: at the limit the server takes it, beyond it would cut the connection.
    auto with_header = publication("big", {});
    with_header.headers = {{"key", "value"}};
    with_header.payload = Bytes::copy_of(text.substr(with_header.size()));
    require(client.publish(with_header).has_value(), "with headers");
    require((co_await next_message(&subscription)).size() == text.size(), "with headers");
    text += 'x';
    const auto refused = client.publish(publication("big", text));
    require(!refused && refused.error().code() == ErrorCode::payload_too_large, "too large");
    const auto asked =
        co_await error_of(client.request(publication("big", text), Deadline::in(patience)));
    require(asked == "payload_too_large nats.too_large", asked);
    co_await client.flush(Deadline::in(patience));
    require(client.counts().connects == 1, "nothing was sent");
}

TEST(NatsClient, RefusesWhatTheServerWouldNotTake) {
    const NatsServer server{{.configuration = "max_payload: 100000"}};
    Loops loops;
    const Connected client{loops, server};
    EXPECT_EQ(client->max_payload(), 100'000);
    EXPECT_RUNS(loops, largest(*client));
}

Task<> until_connected(Client client, std::uint64_t connects) {
    const auto until = Deadline::in(patience);
    while (client.counts().connects < connects ||
           !co_await as_result(client.flush(Deadline::in(1s)))) {
        require(!until.passed(), "the server does not come back");
        co_await sleep_for(5ms);
    }
}

Task<> load(Client client, const std::atomic<bool>* stop, std::atomic<int>* lost, int* good) {
    while (!*stop) {
        const auto answer =
            co_await as_result(client.request(publication("echo", "x"), Deadline::in(patience)));
        if (answer) {
            ++*good;
        } else {
            const auto& detail = answer.error().detail();
            require(
                detail == "nats.disconnected" || detail == "nats.connection_lost" ||
                    detail == "nats.no_responders",
                detail
            );
            ++*lost;
            co_await sleep_for(1ms);
        }
    }
}

Task<> killed_under_load(Client worker, Client caller, NatsServer* server, BlockingPool* threads) {
    auto requests = co_await worker.subscribe(to("echo", "q"));
    TaskScope workers;
    TaskScope callers;
    workers.spawn(echo(worker, &requests));
    std::atomic<bool> stop{false};
    std::atomic<int> lost{0};
    int good = 0;
    for (int i = 0; i < 16; ++i) callers.spawn(load(caller, &stop, &lost, &good));
    for (std::uint64_t round = 1; round <= 3; ++round) {
        const int before = good;
        while (good < before + 100) co_await sleep_for(1ms);
        co_await offload(*threads, [server] {
            server->kill();
            server->start();
        });
        co_await until_connected(worker, round + 1);
        co_await until_connected(caller, round + 1);
    }
    const int before = good;
    while (good < before + 100) co_await sleep_for(1ms);
    stop = true;
    co_await callers.join();
    requests.close();
    co_await workers.join();
    require(lost > 0, "some were under way");
    require(worker.counts().connects == 4, "once after each");
}

TEST(NatsClient, ServersThatDieUnderLoadAreComeBackTo) {
    NatsServer server;
    Loops loops;
    // The server ends with the thread that has started it.
    BlockingPool threads{{.threads = 1, .idle_time = 60s}};
    const Connected worker{loops, server};
    const Connected caller{loops, server};
    EXPECT_RUNS(loops, killed_under_load(*worker, *caller, &server, &threads));
}

Task<> hangs(Client client, NatsServer* server) {
    const auto subscription = co_await client.subscribe(to("a"));
    server->pause();
    const auto error =
        co_await error_of(client.request(publication("a", "x"), Deadline::in(patience)));
    require(error == "disconnected nats.connection_lost", error);
    server->resume();
    co_await until_connected(client, 2);
    require(client.publish(publication("a", "y")).has_value(), "it works again");
    for (;;) {
        const auto message = co_await next_message(&subscription);
        if (message.payload.view() == "y") break;  // the one before may have come through
    }
}

TEST(NatsClient, AServerThatHangsIsGivenUp) {
    NatsServer server;
    Loops loops;
    ClientOptions options{.server = server.url()};
    options.ping_interval = 100ms;
    const Connected client{loops, options};
    EXPECT_RUNS(loops, hangs(*client, &server));
}

/// Much, until the socket is full and the thread that writes blocks.
Task<bool> fill(Client client) {
    const std::string text(100'000, 'x');
    const auto until = Deadline::in(patience);
    while (!until.passed()) {
        const auto sent = client.publish(publication("a", text));
        if (!sent) co_return sent.error().detail() == "nats.congested";
        co_await yield();
    }
    co_return false;
}

TEST(NatsClient, AServerThatTakesNothingDelaysNobody) {
    NatsServer server;
    Loops loops;
    ClientOptions options{.server = server.url()};
    options.startup_timeout = 10s;
    options.write_timeout = 30s;
    auto client = loops.run(connect_client(&loops.secondary(), options));
    ASSERT_TRUE(client);
    server.pause();
    const auto full = loops.run(fill(*client));
    EXPECT_TRUE(full && *full);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_RUNS(loops, client->close(Deadline::in(200ms)));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    server.kill();  // its thread ends by itself now
}

/// Not at once, and all the same soon: what could not be written is given up with its connection.
Task<> cut_off(Client client, NatsServer* server) {
    auto heard = co_await client.subscribe(to("a"));
    server->pause();
    const std::string text(100'000, 'x');
    const auto until = Deadline::in(patience);
    while (client.state() == nats::ConnectionState::connected) {
        require(!until.passed(), "the connection is given up");
        // Refused once the socket is full, if that is before it is given up.
        (void)client.publish(publication("a", text));
        co_await yield();
    }
    require(client.counts().unsent > 0, "what waited is lost, and counted");
    server->resume();
    co_await until_connected(client, 2);
    require(client.publish(publication("a", "y")).has_value(), "it works again");
    // What the server got before it was paused may come, nothing that was written later.
    std::size_t late = 0;
    for (;;) {
        const auto message = co_await next_message(&heard);
        if (message.payload.view() == "y") break;
        ++late;
    }
    require(late <= client.counts().out_messages, "no more than was written");
}

TEST(NatsClient, AServerThatTakesNothingIsGivenUp) {
    NatsServer server;
    Loops loops;
    ClientOptions options{.server = server.url()};
    options.write_timeout = 200ms;
    options.ping_interval = 60s;  // not by its silence
    const Connected client{loops, options};
    EXPECT_RUNS(loops, cut_off(*client, &server));
}

TEST(NatsClient, ADeadServerDelaysNoEnd) {
    NatsServer server;
    Loops loops;
    ClientOptions options{.server = server.url()};
    options.startup_timeout = 10s;
    auto client = loops.run(connect_client(&loops.secondary(), options));
    ASSERT_TRUE(client);
    server.kill();
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_RUNS(loops, client->close(Deadline::in(1s)));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    EXPECT_EQ(client->state(), nats::ConnectionState::closed);
}

/// What had been sent when it was asked for still comes, whoever hands it on, then the end.
Task<> drained_of_all(Client publisher, Client client, bool without_statuses) {
    constexpr int all = 500;
    const std::string subject = "drained";
    auto wanted = to(subject);
    wanted.without_statuses = without_statuses;
    auto subscription = co_await client.subscribe(wanted);
    const auto other = co_await client.subscribe(wanted);
    for (int round = 0; round < 2 * all; ++round) {
        while (!publisher.publish(publication(subject, std::to_string(round)))) co_await yield();
        if (round == all) co_await publisher.flush(Deadline::in(patience));
        if (round == all) subscription.drain();
    }
    int next = 0;
    while (const auto message = co_await with_deadline(Deadline::in(patience), subscription.next()))
        EXPECT_EQ(message->payload.view(), std::to_string(next++));
    EXPECT_GT(next, all);
    for (int i = 0; i < 2 * all; ++i) co_await next_message(&other);
}

TEST(NatsClient, DrainingBringsWhatWasSent) {
    const NatsServer server;
    Loops loops;
    const Connected publisher{loops, server};
    const Connected client{loops, server};
    EXPECT_RUNS(loops, drained_of_all(*publisher, *client, false));
    EXPECT_RUNS(loops, drained_of_all(*publisher, *client, true));
}

/// The descriptors of this process that are sockets, and would be a child's.
int inherited_sockets() {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        std::error_code gone;
        const auto what = std::filesystem::read_symlink(entry, gone).string();
        const int flags = ::fcntl(std::stoi(entry.path().filename()), F_GETFD);
        if (what.starts_with("socket:") && flags >= 0 && (flags & FD_CLOEXEC) == 0) ++count;
    }
    return count;
}

TEST(NatsClient, AChildOfTheProcessDoesNotHoldTheConnection) {
    NatsServer server;
    Loops loops;
    const auto before = inherited_sockets();
    const Connected client{loops, server};
    EXPECT_EQ(inherited_sockets(), before);
    server.kill();
    server.start();
    const auto begin = std::chrono::steady_clock::now();
    while (client->counts().connects < 2 && std::chrono::steady_clock::now() - begin < patience)
        std::this_thread::yield();
    EXPECT_EQ(client->counts().connects, 2U);
    EXPECT_EQ(inherited_sockets(), before);
}

/// What nobody answers, and behind that a message of its own to where it was to be answered.
void ask_nobody(const Client& client, const std::string& reply, std::string_view text) {
    auto question = publication("nobody.there", "?");
    question.reply = reply;
    EXPECT_TRUE(client.publish(question));
    EXPECT_TRUE(client.publish(publication(reply, text)));
}

Task<> statuses_are_not_missed(Client client) {
    auto wanted = to("without");
    wanted.without_statuses = true;
    const auto without = co_await client.subscribe(wanted);
    const auto with = co_await client.subscribe(to("with"));
    for (const std::string_view text : {"1", "2", "3"}) {
        ask_nobody(client, "without", text);
        ask_nobody(client, "with", text);
    }
    for (const std::string_view text : {"1", "2", "3"}) {
        EXPECT_EQ((co_await next_message(&without)).payload.view(), text);
        EXPECT_EQ((co_await next_message(&with)).status, 503);
        EXPECT_EQ((co_await next_message(&with)).payload.view(), text);
    }
}

TEST(NatsClient, ATopicMayBeWithoutStatuses) {
    const NatsServer server;
    Loops loops;
    ClientOptions options{.server = server.url()};
    options.ping_interval = 10min;  // its answer would bring what was left
    const Connected client{loops, options};
    EXPECT_RUNS(loops, statuses_are_not_missed(*client));
}

TEST(NatsClient, EndsWithItsLastHandle) {
    const NatsServer server;
    Loops loops;
    for (int i = 0; i < 20; ++i) {
        ClientOptions options{.server = server.url()};
        options.startup_timeout = 10s;
        EXPECT_TRUE(loops.run(connect_client(&loops.secondary(), options)));
    }
}

}  // namespace
}  // namespace stator::test
