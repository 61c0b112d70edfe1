// Items that go to one worker each, with servers that are killed in the middle of it.
#include "stator/nats/work_queue.hpp"

#include <map>
#include <mutex>
#include <semaphore>
#include <set>
#include <thread>

#include "stator/runtime/combinators.hpp"
#include "tests/nats/nats_fixture.hpp"
#include "tests/support/relay.hpp"

namespace stator::test {
namespace {

using nats::WorkItem;
using nats::WorkQueue;
using nats::WorkQueueOptions;

/// A server with JetStream and a client of it.
class WorkQueues : public ::testing::Test {
protected:
    NatsServer server{testing::with_jetstream()};
    Loops loops;
    const Connected client{loops, server};
};

class WorkQueueOutage : public WorkQueues {};

Task<WorkQueue> open_queue(Client client, Duration ack_wait = 10s) {
    co_return co_await WorkQueue::open(client, {.name = "jobs/of\\test", .ack_wait = ack_wait});
}

Task<> put(WorkQueue queue, std::string text) {
    (void)co_await queue.enqueue(Bytes::copy_of(text));
}

Task<WorkItem> take(WorkQueue queue) {
    auto item = co_await queue.dequeue(Deadline::in(patience));
    require(item.has_value(), "nothing came");
    co_return std::move(*item);
}

// ---- what it does

Task<> items(Client client) {
    const auto queue = co_await open_queue(client);
    EXPECT_FALSE(co_await queue.dequeue(Deadline::in(10ms)));
    co_await put(queue, "a");
    co_await put(queue, "b");
    EXPECT_EQ((co_await queue.size()).waiting, 2U);
    auto first = co_await take(queue);
    EXPECT_EQ(first.payload().view(), "a");
    EXPECT_EQ(first.deliveries(), 1U);
    EXPECT_FALSE(first.redelivered());
    EXPECT_EQ((co_await queue.size()).waiting, 1U);
    EXPECT_EQ((co_await queue.size()).in_work, 1U);
    co_await first.acknowledge();
    EXPECT_EQ((co_await queue.size()).in_work, 0U);
    auto second = co_await take(queue);
    EXPECT_EQ(second.payload().view(), "b");
    co_await second.give_back();
    auto again = co_await take(queue);
    EXPECT_EQ(again.sequence(), second.sequence());
    EXPECT_EQ(again.deliveries(), 2U);
    EXPECT_TRUE(again.redelivered());
    const auto given_back = Clock::current().now();
    co_await again.give_back(200ms);
    auto later = co_await take(queue);
    EXPECT_GE(Clock::current().now() - given_back, 150ms);
    co_await later.discard();
    EXPECT_FALSE(co_await queue.dequeue(Deadline::in(50ms)));
    EXPECT_EQ((co_await queue.size()).in_work, 0U);
    // Whoever waits is told.
    TaskScope scope;
    std::string told;
    scope.spawn([](WorkQueue waited_on, std::string* place) -> Task<> {
        *place = co_await error_of(waited_on.dequeue(Deadline::never()));
    }(queue, &told));
    co_await yield();
    co_await with_deadline(Deadline::in(10s), queue.close());
    co_await scope.join();
    EXPECT_EQ(told, "unavailable nats.closed");
    EXPECT_EQ(co_await error_of(queue.dequeue(Deadline::in(1s))), "unavailable nats.closed");
}

TEST_F(WorkQueues, ItemsGoOutInOrderAndComeBackUntilTheyAreDone) {
    EXPECT_RUNS(loops, items(*client));
}

Task<> not_acknowledged(Client client) {
    const auto queue = co_await open_queue(client, 1s);
    co_await put(queue, "dropped");
    {
        const auto dropped = co_await take(queue);
    }
    auto again = co_await take(queue);
    EXPECT_TRUE(again.redelivered());
    // Whoever says that it goes on has it for longer.
    for (int i = 0; i < 6; ++i) {
        co_await sleep_for(200ms);
        co_await again.in_progress();
    }
    EXPECT_FALSE(co_await queue.dequeue(Deadline::in(50ms)));
    EXPECT_FALSE(again.due().passed());
    co_await again.acknowledge();
    EXPECT_FALSE(co_await queue.dequeue(Deadline::in(1200ms)));
    co_await queue.close();
}

TEST_F(WorkQueues, WhatIsNotAcknowledgedComesAgain) {
    EXPECT_RUNS(loops, not_acknowledged(*client));
}

Task<> same_id(Client client) {
    const auto queue = co_await open_queue(client);
    const auto first = co_await queue.enqueue(Bytes::copy_of("1"), "job-1");
    EXPECT_EQ(co_await queue.enqueue(Bytes::copy_of("1"), "job-1"), first);
    EXPECT_EQ((co_await queue.size()).waiting, 1U);
    co_await queue.close();
}

TEST_F(WorkQueues, AnIdIsEnqueuedOnce) { EXPECT_RUNS(loops, same_id(*client)); }

/// Gives up at any moment; nothing is lost or has to wait for its time to run out.
Task<> cancelled_often(Client client) {
    constexpr int count = 100;
    const auto queue = co_await open_queue(client, 60s);
    std::set<std::string> done;
    for (int i = 0; i < count; ++i) {
        auto token = CancellationToken::make();
        auto waiting = [](WorkQueue from, CancellationToken stop, std::set<std::string>* into
                       ) -> Task<> {
            auto item = co_await as_result(with_token(stop, from.dequeue(Deadline::in(patience))));
            if (!item || !*item) co_return;
            co_await (*item)->acknowledge();
            EXPECT_TRUE(into->insert((*item)->payload().to_string()).second);
        };
        auto cancelling = [](WorkQueue into, CancellationToken stop, int n) -> Task<> {
            co_await put(into, std::to_string(n));
            for (int turn = 0; turn < n % 20; ++turn) co_await sleep_for(Duration{20'000});
            stop.cancel();
        };
        co_await when_all(waiting(queue, token, &done), cancelling(queue, token, i));
    }
    while (done.size() < count) {
        auto item = co_await take(queue);
        EXPECT_FALSE(item.redelivered());
        co_await item.acknowledge();
        EXPECT_TRUE(done.insert(item.payload().to_string()).second);
    }
    co_await queue.close();
}

TEST_F(WorkQueues, ACancelledWaitLosesNothing) { EXPECT_RUNS(loops, cancelled_often(*client)); }

/// A call that has asked for an item and then given up; the item comes after that.
Task<> leave_one_on_its_way(Client client, WorkQueue queue) {
    auto token = CancellationToken::make();
    auto giving_up = [](Client to, CancellationToken stop) -> Task<> {
        co_await to.flush(Deadline::in(patience));  // what was asked is there
        stop.cancel();
    };
    auto asking = [](WorkQueue from, CancellationToken stop) -> Task<> {
        auto asked = with_token(stop, from.dequeue(Deadline::in(patience)));
        EXPECT_EQ(co_await error_of(std::move(asked)), "cancelled ");
    };
    co_await when_all(asking(queue, token), giving_up(client, token));
    co_await put(queue, "late");
    co_await sleep_for(50ms);
}

Task<> next_has_it(Client client) {
    const auto queue = co_await open_queue(client, 60s);
    co_await leave_one_on_its_way(client, queue);
    auto item = co_await take(queue);
    EXPECT_FALSE(item.redelivered());
    co_await item.acknowledge();
    co_await queue.close();
}

TEST_F(WorkQueues, WhatWasOnItsWayToACancelledCallIsTheNextOnes) {
    EXPECT_RUNS(loops, next_has_it(*client));
}

Task<> left_on_its_way(Client client) {
    const auto queue = co_await open_queue(client, 60s);
    co_await leave_one_on_its_way(client, queue);
    co_await queue.close();
    const auto other = co_await open_queue(client, 60s);
    auto item = co_await take(other);
    EXPECT_TRUE(item.redelivered());
    co_await item.acknowledge();
    co_await other.close();
}

TEST_F(WorkQueues, ClosingGivesBackWhatWasOnItsWay) {
    EXPECT_RUNS(loops, left_on_its_way(*client));
}

Task<> refusals(Client with, Client without) {
    EXPECT_EQ(
        co_await error_of(WorkQueue::open(without, {.name = "jobs"})),
        "unimplemented nats.no_jetstream"
    );
    EXPECT_EQ(
        co_await error_of(WorkQueue::open(with, {.name = "a.b"})), "invalid_request nats.queue"
    );
    const auto queue = co_await WorkQueue::open(with, {.name = "jobs"});
    EXPECT_EQ(
        co_await error_of(WorkQueue::open(with, {.name = "jobs", .max_age = 1s})),
        "already_exists nats.stream_differs"
    );
    const auto size = with.max_payload() + 1;
    EXPECT_EQ(
        co_await error_of(queue.enqueue(Bytes::copy_of(std::string(size, 'x')))),
        "payload_too_large nats.too_large"
    );
    co_await queue.close();
}

TEST_F(WorkQueues, WhatCannotBeIsRefusedByName) {
    const NatsServer plain;
    const Connected other{loops, plain};
    EXPECT_RUNS(loops, refusals(*client, *other));
}

// ---- the snippet of docs/nats.md

Task<> work(Bytes job) {
    EXPECT_EQ(job.view(), "the job");
    co_return;
}

Task<> prefill(nats::Client client, Bytes job) {
    const auto queue = co_await nats::WorkQueue::open(client, {.name = "prefill", .ack_wait = 30s});
    (void)co_await queue.enqueue(job, "job-17");
    while (auto item = co_await queue.dequeue(Deadline::in(100ms))) {
        co_await work(item->payload());
        co_await item->acknowledge();
    }
    co_await queue.close();
}

TEST_F(WorkQueues, TheSnippetOfTheDocuments) {
    EXPECT_RUNS(loops, prefill(*client, Bytes::copy_of("the job")));
}

// ---- servers that are killed

/// Who has done what. Any thread.
class Ledger {
public:
    void enqueued(int item) {
        const std::lock_guard guard{lock_};
        enqueued_.insert(item);
    }
    void handled(int item, bool redelivered) {
        const std::lock_guard guard{lock_};
        const bool again = !handled_.insert(item).second;
        twice_ += again ? 1 : 0;
        if (again && !redelivered) unmarked_.insert(item);
    }
    std::size_t done() const {
        const std::lock_guard guard{lock_};
        return handled_.size();
    }
    std::set<int> missing() const {
        const std::lock_guard guard{lock_};
        std::set<int> found;
        for (const int item : enqueued_) {
            if (!handled_.contains(item)) found.insert(item);
        }
        return found;
    }
    std::set<int> unmarked() const {
        const std::lock_guard guard{lock_};
        return unmarked_;
    }
    int twice() const {
        const std::lock_guard guard{lock_};
        return twice_;
    }

private:
    mutable std::mutex lock_;
    std::set<int> enqueued_;
    std::set<int> handled_;
    std::set<int> unmarked_;
    int twice_ = 0;
};

Task<> produce(WorkQueue queue, Ledger* ledger, int first, int count) {
    const auto end = Deadline::in(2 * patience);
    for (int i = first; i < first + count; ++i) {
        // Until the server has said yes, it is not known to be there: said again under its name.
        while (true) {
            const auto stored = co_await as_result(
                queue.enqueue(Bytes::copy_of(std::to_string(i)), std::to_string(i))
            );
            if (stored) break;
            if (end.passed()) throw stored.error();
        }
        ledger->enqueued(i);
    }
}

Task<> consume(Client client, Ledger* ledger, std::size_t all) {
    const auto queue = co_await open_queue(client, 500ms);
    const auto end = Deadline::in(2 * patience);
    while (ledger->done() < all && !end.passed()) {
        auto item = co_await as_result(queue.dequeue(Deadline::in(200ms)));
        if (!item || !*item) continue;
        ledger->handled(std::stoi((*item)->payload().to_string()), (*item)->redelivered());
        // When this fails it comes again.
        (void)co_await as_result((*item)->acknowledge());
    }
    co_await queue.close();
}

Task<> load(Client client, Ledger* ledger, int all) {
    const auto queue = co_await open_queue(client, 500ms);
    constexpr int producers = 4;
    std::vector<Task<>> tasks;
    for (int i = 0; i < producers; ++i)
        tasks.push_back(produce(queue, ledger, i * all / producers, all / producers));
    for (int i = 0; i < 4; ++i)
        tasks.push_back(consume(client, ledger, static_cast<std::size_t>(all)));
    co_await when_all(std::move(tasks));
    // The server may have forgotten that some were acknowledged: they come once more, marked. Of
    // others that it has deleted it may wait for the acknowledgement for ever: they do not come.
    constexpr int enough = 20;  // of 100 ms: four times as long as an item waits to come again
    const auto end = Deadline::in(patience);
    auto left = co_await queue.size();
    for (int in_vain = 0; left.waiting + left.in_work > 0 && !end.passed();
         left = co_await queue.size()) {
        if (left.waiting == 0 && in_vain == enough) break;
        auto item = co_await as_result(queue.dequeue(Deadline::in(100ms)));
        in_vain = item && !*item ? in_vain + 1 : 0;
        if (!item || !*item) continue;
        ledger->handled(std::stoi((*item)->payload().to_string()), (*item)->redelivered());
        co_await (*item)->acknowledge();
    }
    EXPECT_EQ(left.waiting, 0U);
    co_await queue.close();
}

TEST_F(WorkQueueOutage, AServerThatIsKilledInTheMiddleLosesNothingAndDoublesNothingUnmarked) {
    constexpr int all = 4000;
    Ledger ledger;
    std::binary_semaphore over{0};
    std::thread killer{[&] {
        for (int kills = 1; kills <= 3; ++kills) {
            const auto end = Deadline::in(patience);
            while (ledger.done() < static_cast<std::size_t>(kills * all / 5) && !end.passed())
                ::usleep(1000);
            server.kill();
            server.start();
        }
        over.acquire();  // a server ends with the thread that has started it
        server.kill();
    }};
    EXPECT_RUNS(loops, load(*client, &ledger, all));
    over.release();
    killer.join();
    EXPECT_EQ(ledger.done(), static_cast<std::size_t>(all));
    EXPECT_TRUE(ledger.missing().empty()) << ledger.missing().size();
    EXPECT_TRUE(ledger.unmarked().empty()) << ledger.unmarked().size() << " of " << ledger.twice();
    RecordProperty("handled_twice", ledger.twice());
    if (HasFailure()) ADD_FAILURE() << server.log();
}

/// An item that is dropped comes again only after the test has given up.
constexpr Duration too_late = 3 * patience;

Task<> start_again(Client client, NatsServer* server) {
    server->kill();
    server->start();
    const auto end = Deadline::in(patience);
    while (!co_await as_result(client.flush(end))) co_await sleep_for(10ms);
}

/// The client may send what it was given for one connection to the next: the server then answers
/// a question that the queue takes for lost.
Task<> asked_once_more(Client client, NatsServer* server) {
    const auto queue = co_await open_queue(client, too_late);
    const auto questions =
        co_await client.subscribe(to("$JS.API.CONSUMER.MSG.NEXT.jobs_of_test.worker-group"));
    EXPECT_FALSE(co_await queue.dequeue(Deadline::in(10ms)));
    auto question = publication("", R"({"batch":1,"expires":20000000000})");
    {
        const auto asked = co_await next_message(&questions);
        question.subject = asked.subject;
        question.reply = asked.reply;
    }
    co_await start_again(client, server);
    EXPECT_TRUE(client.publish(question));
    co_await put(queue, "there");
    const auto end = Deadline::in(patience);
    while ((co_await queue.size()).in_work == 0 && !end.passed()) co_await sleep_for(10ms);
    co_await client.flush(end);  // it is in the mailbox, behind the loss
    const auto item = co_await take(queue);
    EXPECT_EQ(item.payload().view(), "there");
    EXPECT_EQ(item.deliveries(), 1U);
    co_await queue.close();
}

TEST_F(WorkQueueOutage, WhatComesAfterALossIsNotLeftUntilItComesAgain) {
    EXPECT_RUNS(loops, asked_once_more(*client, &server));
}

Task<> came_before_a_loss(Client client, NatsServer* server) {
    const auto queue = co_await open_queue(client, too_late);
    co_await leave_one_on_its_way(client, queue);
    co_await start_again(client, server);
    const auto item = co_await take(queue);
    EXPECT_EQ(item.payload().view(), "late");
    EXPECT_TRUE(item.redelivered());
    co_await queue.close();
}

TEST_F(WorkQueueOutage, WhatCameBeforeALossAndIsTakenAfterItIsMarked) {
    EXPECT_RUNS(loops, came_before_a_loss(*client, &server));
}

Task<> acknowledge_one(WorkQueue queue) {
    auto item = co_await take(queue);
    EXPECT_FALSE(item.redelivered());
    co_await item.acknowledge();
}

/// The item is stored and done, but the answer is lost; then the server, with what it knew of ids.
Task<> enqueued_again(
    Client client, Client worker, ClientOptions late, NatsServer* server, testing::Relay* relay
) {
    const auto queue = co_await open_queue(client, too_late);
    const auto other = co_await open_queue(worker, too_late);
    relay->swallow(true);
    TaskScope scope;
    scope.spawn(put(queue, "done"));
    co_await acknowledge_one(other);
    server->kill();
    relay->swallow(false);
    server->start();
    co_await with_deadline(Deadline::in(patience), scope.join());
    // Somebody who knows nothing of the crash.
    const auto third = co_await Client::connect(client.loop(), std::move(late));
    const auto fresh = co_await open_queue(third, too_late);
    auto item = co_await take(fresh);
    EXPECT_EQ(item.payload().view(), "done");
    EXPECT_EQ(item.deliveries(), 1U);
    EXPECT_TRUE(item.redelivered());
    co_await item.acknowledge();
    for (const auto& each : {queue, other, fresh}) co_await each.close();
    co_await third.close(Deadline::in(patience));
}

TEST_F(WorkQueueOutage, WhatIsStoredAgainSinceItsAnswerWasLostIsMarked) {
    testing::Relay relay{server.port()};
    const Connected far{
        loops, ClientOptions{.server = "nats://127.0.0.1:" + std::to_string(relay.port())}
    };
    EXPECT_RUNS(loops, enqueued_again(*far, *client, {.server = server.url()}, &server, &relay));
}

Task<> wait_for_one(WorkQueue queue, std::string* told) {
    *told = co_await error_of(queue.dequeue(Deadline::never()));
}

Task<> close_without(Client client, NatsServer* server, bool hangs) {
    const auto queue = co_await open_queue(client, too_late);
    co_await leave_one_on_its_way(client, queue);
    auto taken = co_await take(queue);
    co_await taken.acknowledge();
    std::string told;
    TaskScope scope;
    scope.spawn(wait_for_one(queue, &told));
    co_await client.flush(Deadline::in(patience));  // it is asked
    if (hangs) {
        server->pause();
    } else {
        server->kill();
        while (client.state() == nats::ConnectionState::connected) co_await sleep_for(1ms);
    }
    co_await sleep_for(50ms);  // it looks for the server by now
    const auto begun = Clock::current().now();
    const auto closed = co_await as_result(with_deadline(Deadline::in(patience), queue.close()));
    EXPECT_TRUE(closed) << "stuck";
    if (closed) co_await scope.join();
    co_await scope.close();
    EXPECT_LT(Clock::current().now() - begun, 2s);
    EXPECT_EQ(told, "unavailable nats.closed");
    if (hangs) server->resume();
}

TEST_F(WorkQueueOutage, AServerThatIsGoneDelaysNoEnd) {
    EXPECT_RUNS(loops, close_without(*client, &server, false));
}

TEST_F(WorkQueueOutage, AServerThatHangsDelaysNoEnd) {
    EXPECT_RUNS(loops, close_without(*client, &server, true));
}

Task<> leave_what_came(Client client, NatsServer* server) {
    const auto queue = co_await open_queue(client, too_late);
    co_await leave_one_on_its_way(client, queue);
    server->pause();
    const auto begun = Clock::current().now();
    co_await queue.close();
    EXPECT_LT(Clock::current().now() - begun, 2s);
    server->resume();
}

TEST_F(WorkQueueOutage, WhatCannotBeGivenBackDelaysNoEnd) {
    EXPECT_RUNS(loops, leave_what_came(*client, &server));
}

Task<> survives_wipe(Client client, NatsServer* server) {
    const auto queue = co_await open_queue(client, too_late);
    co_await put(queue, "gone");
    server->kill();
    server->wipe();
    server->start();
    co_await put(queue, "new");
    auto item = co_await take(queue);
    EXPECT_EQ(item.payload().view(), "new");
    co_await item.acknowledge();
    server->kill();
    const auto begun = Clock::current().now();
    EXPECT_TRUE((co_await error_of(queue.dequeue(Deadline::in(300ms)))).starts_with("unavailable"));
    EXPECT_LT(Clock::current().now() - begun, 3s);
    server->start();
    co_await put(queue, "back");
    item = co_await take(queue);
    if (item.payload().view() == "new") {  // the server may have forgotten that it was done
        EXPECT_TRUE(item.redelivered());
        co_await item.acknowledge();
        item = co_await take(queue);
    }
    EXPECT_EQ(item.payload().view(), "back");
    co_await item.acknowledge();
    co_await queue.close();
}

TEST_F(WorkQueueOutage, GoesOnWithAServerThatIsEmptyOrWasAway) {
    EXPECT_RUNS(loops, survives_wipe(*client, &server));
}

}  // namespace
}  // namespace stator::test
