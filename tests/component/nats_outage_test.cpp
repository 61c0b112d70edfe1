// Everything that uses NATS at once, with a server that is killed, comes back, or does not.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "nats_fixture.hpp"
#include "stator/nats/work_queue.hpp"
#include "stator/store/nats_store.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines): the test outlives every task
namespace stator {
namespace {

using namespace std::chrono_literals;
using namespace testing;  // NOLINT(google-build-using-namespace)

/// Of anything that is done while there is no server: the client is told of the loss at once, and
/// what waits for the server does so for 5 s.
constexpr Duration longest = 8s;

Duration since(TimePoint begun) { return Clock::current().now() - begun; }

/// One kind of use, done again and again.
struct Part {
    explicit Part(std::string name_) : name{std::move(name_)} {}
    const std::string name;
    int good = 0;
    int bad = 0;
    bool fails = true;  ///< while there is no server; otherwise it waits for it
    Duration slowest{};
    std::set<std::string> surprises{};

    /// What it did ended well, or with an error that says that the server is away.
    template <class T>
    void ended(TimePoint begun, const Result<T>& outcome) {
        slowest = std::max(slowest, since(begun));
        ++(outcome ? good : bad);
        if (outcome) return;
        const auto code = outcome.error().code();
        const bool waited = !fails && code == ErrorCode::deadline_exceeded;
        if (!waited && code != ErrorCode::unavailable && code != ErrorCode::disconnected)
            surprises.insert(outcome.error().what());
    }
};

/// What all parts share.
struct Load {
    bool stop = false;
    Part calls{"calls"};
    Part services{"services"};
    Part messages{"subscriptions"};
    Part keys{"keys"};
    Part watch{"watches"};
    Part items{"items"};
    std::vector<Part*> all() { return {&calls, &services, &messages, &keys, &watch, &items}; }
};

Task<> call(const Text& router, Load& load) {
    while (!load.stop) {
        const auto begun = Clock::current().now();
        const CallOptions options{.deadline = Deadline::in(2 * longest), .plane = Plane::dynamo};
        const auto answer = co_await as_result(ask(router, "ab", options));
        load.calls.ended(begun, answer);
        if (answer) EXPECT_EQ(*answer, "ab");
        if (!answer) co_await sleep_for(1ms);
    }
}

Task<> ask_services(nats::Client client, Load& load) {
    while (!load.stop) {
        const auto begun = Clock::current().now();
        const auto answer = co_await as_result(
            client.request({.subject = "$SRV.STATS.demo_backend"}, Deadline::in(longest))
        );
        load.services.ended(begun, answer);
        if (answer) EXPECT_TRUE(answer->payload.view().contains("num_requests"));
        co_await sleep_for(1ms);
    }
}

/// Sends numbers; what comes is counted once it is what was sent last.
Task<> send_numbers(nats::Client client, Load& load) {
    for (int number = 0; !load.stop; ++number) {
        const auto begun = Clock::current().now();
        const auto sent =
            client.publish({.subject = "numbers", .payload = Bytes::copy_of(std::to_string(number))}
            );
        if (!sent) load.messages.ended(begun, sent);
        co_await sleep_for(1ms);
    }
}

Task<> hear_numbers(const nats::Subscription& numbers, Load& load) {
    int last = -1;
    while (const auto message = co_await numbers.next()) {
        const int number = std::stoi(message->payload.to_string());
        EXPECT_GT(number, last) << "in order, each once";
        last = number;
        ++load.messages.good;
    }
}

constexpr auto key = "v1/test/number";

Task<> write_keys(const std::shared_ptr<store::NatsStore>& store, Load& load) {
    for (int number = 0; !load.stop; ++number) {
        const auto begun = Clock::current().now();
        load.keys.ended(begun, co_await as_result(store->put(key, std::to_string(number))));
        co_await sleep_for(1ms);
    }
}

Task<> watch_keys(store::Watch& watch, Load& load) {
    int last = -1;
    const auto seen = [&](const store::Entry& entry) {
        const int number = std::stoi(entry.value);
        EXPECT_GE(number, last) << "never backwards";
        if (number > last) ++load.watch.good;
        last = number;
    };
    while (const auto event = co_await watch.next()) {
        for (const auto& entry : event->entries) seen(entry);
        if (event->kind == store::WatchEvent::Kind::put) seen(event->entry);
    }
}

/// What has become of the items of a queue.
struct Ledger {
    int stored = 0;
    std::map<int, std::vector<std::uint64_t>> handled{};  ///< under which sequences
    std::set<std::string> unmarked{};                     ///< handled once more, and not said to be

    void handle(const nats::WorkItem& item) {
        const int number = std::stoi(item.payload().to_string());
        auto& before = handled[number];
        before.push_back(item.sequence());
        if (before.size() > 1 && !item.redelivered())
            unmarked.insert(fmt::format("{} as {}", number, fmt::join(before, ", ")));
    }
};

Task<> fill(nats::WorkQueue queue, Load& load, Ledger& ledger) {
    while (!load.stop) {
        const auto text = std::to_string(ledger.stored);
        const auto stored = co_await as_result(queue.enqueue(Bytes::copy_of(text), text));
        // What ended with an error is said again, under its name.
        if (stored) ++ledger.stored;
        co_await sleep_for(1ms);
    }
}

Task<> empty(nats::WorkQueue queue, Load& load, Ledger& ledger) {
    while (!load.stop || std::ssize(ledger.handled) < ledger.stored) {
        const auto begun = Clock::current().now();
        auto item = co_await as_result(queue.dequeue(Deadline::in(100ms)));
        if (item && !*item) continue;
        load.items.ended(begun, item);
        if (!item) continue;
        ledger.handle(**item);
        (void)co_await as_result((*item)->acknowledge());
    }
}

Task<> until_better(Load& load, int by) {
    std::map<Part*, int> before;
    for (auto* part : load.all()) before[part] = part->good;
    for (const auto& [part, good] : before) {
        while (part->good <= good + by) co_await sleep_for(1ms);
    }
}

Task<> until_it_shows(Load& load) {
    std::map<Part*, int> before;
    for (auto* part : load.all()) before[part] = part->bad;
    for (const auto& [part, bad] : before) {
        while (part->fails && part->bad <= bad) co_await sleep_for(1ms);
    }
}

class WithNats : public ByNats {
public:
    WithNats() : ByNats{{.configuration = {}, .jetstream = true}} {
        // A worker that was not there yet when its caller was is left alone for 5 s.
        time_limit = 60s;
        adjust = [usual = adjust](DistributedConfig& config) {
            usual(config);
            config.event_plane = settings::EventPlane::nats;
        };
    }
    Task<std::shared_ptr<store::NatsStore>> open_store() {
        store::NatsStoreOptions options;
        options.client.server = server.url();
        options.client.startup_timeout = 10s;
        co_return co_await store::NatsStore::open(runtime().secondary().loop(0), options);
    }
};

Task<> kill_twice(WithNats* test, Load& load) {
    co_await until_better(load, 20);
    for (int round = 0; round < 2; ++round) {
        co_await offload(test->servers, [test] { test->server.kill(); });
        co_await until_it_shows(load);
        co_await offload(test->servers, [test] { test->server.start(); });
        co_await until_better(load, 20);
    }
    load.stop = true;
}

Task<> under_load(WithNats* test) {
    const auto worker = co_await test->join();
    const auto caller = co_await test->join();
    const auto served = co_await worker.endpoint(path).start(letters);
    const auto client = co_await caller.endpoint(path).client();
    while (client.instances()->routable.empty()) co_await sleep_for(1ms);
    const Text router{client};
    const auto nats = caller.nats_client();
    const auto numbers = co_await worker.nats_client().subscribe({.subjects = {"numbers"}});
    const auto store = co_await test->open_store();
    auto watch = co_await store->watch("v1/test/");
    const auto queue = co_await nats::WorkQueue::open(nats, {.name = "items", .ack_wait = 1s});
    const auto other =
        co_await nats::WorkQueue::open(worker.nats_client(), {.name = "items", .ack_wait = 1s});
    Load load;
    load.keys.fails = load.watch.fails = load.items.fails = false;
    Ledger ledger;
    TaskScope scope;
    for (int i = 0; i < 8; ++i) scope.spawn(call(router, load));
    scope.spawn(ask_services(nats, load));
    scope.spawn(send_numbers(nats, load));
    scope.spawn(write_keys(store, load));
    scope.spawn(fill(queue, load, ledger));
    scope.spawn(empty(queue, load, ledger));
    scope.spawn(empty(other, load, ledger));
    TaskScope listeners;
    listeners.spawn(hear_numbers(numbers, load));
    listeners.spawn(watch_keys(watch, load));
    const auto done = co_await as_result(kill_twice(test, load));
    load.stop = true;
    if (done) co_await scope.join();
    co_await scope.close();
    co_await listeners.close();
    for (const auto* part : load.all()) {
        EXPECT_TRUE(part->surprises.empty()) << part->name << ": " << *part->surprises.begin();
        EXPECT_LT(part->slowest, longest) << part->name;
    }
    EXPECT_EQ(std::ssize(ledger.handled), ledger.stored) << "none is lost";
    EXPECT_TRUE(ledger.unmarked.empty())
        << "handled twice: " << fmt::to_string(fmt::join(ledger.unmarked, "; "));
    co_await queue.close();
    co_await other.close();
    co_await store->close(Deadline::in(2s));
    if (!done) throw done.error();
}

TEST_F(WithNats, EverythingGoesOnWhenTheServerIsKilledUnderLoadAndComesBack) {
    run([](ClusterTest* test) -> Task<> { co_await under_load(static_cast<WithNats*>(test)); });
    if (HasFailure()) ADD_FAILURE() << server.log();
}

Task<> wait_for_an_item(nats::WorkQueue queue) {
    (void)co_await as_result(queue.dequeue(Deadline::never()));
}

/// Whatever of it is used: each end comes by its deadline.
Task<> end_without(WithNats* test, bool hangs) {
    constexpr Duration given = 1s;
    const auto worker = co_await test->join();
    const auto served = co_await worker.endpoint(path).start(letters);
    const auto bus = co_await worker.event_bus();
    const events::EventScope backend{"demo", "backend", {}};
    const auto publisher = co_await bus->publisher(backend, "load");
    const auto listener = co_await bus->subscribe({.scope = backend, .topic = "load"});
    const auto store = co_await test->open_store();
    co_await store->put(key, "1");
    const auto watch = co_await store->watch("v1/test/");
    const auto queue =
        co_await nats::WorkQueue::open(worker.nats_client(), {.name = "items", .ack_wait = 1s});
    TaskScope scope;
    scope.spawn(wait_for_an_item(queue));
    co_await yield();
    co_await offload(test->servers, [test, hangs] {
        hangs ? test->server.pause() : test->server.kill();
    });
    std::map<std::string, Duration> took;
    const auto measured = [&took](std::string what, Task<> end) -> Task<> {
        return [](std::map<std::string, Duration>* into, std::string of, Task<> it) -> Task<> {
            const auto begun = Clock::current().now();
            const auto ended = co_await as_result(std::move(it));
            EXPECT_TRUE(ended) << of << ": " << ended.error().what();
            (*into)[of] = since(begun);
        }(&took, std::move(what), std::move(end));
    };
    co_await measured("endpoint", served.shutdown(Deadline::in(given)));
    co_await measured("queue", queue.close());
    co_await measured("store", store->close(Deadline::in(given)));
    co_await measured("process", worker.close(Deadline::in(given)));
    co_await scope.join();
    for (const auto& [what, time] : took) {
        EXPECT_LT(time, given + 1s) << what;
        fmt::print("{} {}: {} ms\n", hangs ? "hangs" : "dead", what, time / 1ms);
    }
    if (hangs) test->server.resume();
}

TEST_F(WithNats, AServerThatHangsDelaysNoEnd) {
    run([](ClusterTest* test) -> Task<> {
        co_await end_without(static_cast<WithNats*>(test), true);
    });
}

TEST_F(WithNats, AServerThatIsDeadDelaysNoEnd) {
    run([](ClusterTest* test) -> Task<> {
        co_await end_without(static_cast<WithNats*>(test), false);
    });
}

}  // namespace
}  // namespace stator
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines)
