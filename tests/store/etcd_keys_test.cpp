// Who has which key of etcd, and what its watches tell: the store over a model of etcd.
#include <functional>
#include <optional>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "stator/base/random.hpp"
#include "stator/runtime/combinators.hpp"
#include "tests/store/model_etcd.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::store {
namespace {

using namespace std::chrono_literals;
using stator::testing::for_each_seed;
using stator::testing::SeededScheduler;
using test::describe;
using test::error_of;
using test::ModelEtcd;
using test::next_event;
using test::require;
using Store = std::shared_ptr<EtcdStore>;

constexpr auto key = "v1/test/k";

class World {
public:
    explicit World(std::uint64_t seed) : scheduler{seed, 3}, etcd{scheduler} {
        thread_random() = Random{seed};  // of pauses
    }

    /// As a process of its own has one.
    Task<Store> open() {
        EtcdOptions options;
        options.endpoints = {"http://127.0.0.1:1"};
        options.lease_ttl = 10s;
        options.call_timeout = 5s;
        auto link = std::make_shared<etcd::Link>(std::move(options), etcd.dial());
        Loop& loop = scheduler.loop(0);
        auto opened = co_await on_loop(loop, EtcdStoreAccess::open(&loop, std::move(link)));
        stores.push_back(opened);
        co_return opened;
    }
    std::string value() const { return etcd.find(key).value_or(EtcdEntry{}).value; }

    test::RecordingSink sink;
    SeededScheduler scheduler;
    ModelEtcd etcd;
    std::vector<Store> stores;
    bool over = false;
};

using Body = std::function<Task<>(World*)>;

Task<> live(World* world, Body body) {
    auto outcome = co_await as_result(body(world));
    world->etcd.down = false;
    world->etcd.answer_lost = 0;
    world->etcd.answer_takes = {};
    for (const auto& store : std::exchange(world->stores, {}))
        co_await store->close(Deadline::in(5s));
    world->over = true;
    if (!outcome) throw outcome.error();
}

void for_worlds(std::uint64_t seeds, const Body& body) {
    EXPECT_NO_THROW(for_each_seed(seeds, [&](std::uint64_t seed) {
        World world{seed};
        world.scheduler.spawn(2, world.etcd.live(&world.over));
        world.scheduler.spawn(1, live(&world, body));
        world.scheduler.run_to_end(5'000'000);
    }));
}

// --- a key that two keep

Task<> require_whose(World* world, Store store, Lease lease) {
    const auto entry = world->etcd.find(key);
    require(entry.has_value(), "the key is not there");
    require(entry->lease == co_await store->server_lease(lease), "it hangs on another lease");
    require(!lease.lost(key), "its owner does not know");
}

Task<> require_quiet(World* world, Duration how_long) {
    const auto before = world->etcd.revision();
    co_await sleep_for(how_long);
    const auto changes = world->etcd.revision() - before;
    require(changes == 0, fmt::format("{} changes, and nobody has asked for any", changes));
}

Task<> keep_equal_values(World* world) {
    const auto a = co_await world->open();
    const auto b = co_await world->open();
    const auto of_a = co_await a->grant_lease({});
    const auto of_b = co_await b->grant_lease({});
    co_await a->put(key, "yes", of_a);
    co_await b->put(key, "yes", of_b);
    co_await sleep_for(200ms);
    co_await require_quiet(world, 20s);
    co_await require_whose(world, b, of_b);
    require(of_a.lost(key), "the first is not told");
    require(of_a.state() == LeaseState::alive, "its lease is not alive");
    require(world->sink.counted("store_keys_lost_total") == 1, "it is lost once");
    co_await of_b.revoke();
    co_await sleep_for(200ms);
    co_await require_whose(world, a, of_a);
}

TEST(EtcdKeys, OfTwoThatKeepAKeyWithOneValueTheLastHasItUntilItLetsGo) {
    for_worlds(50, keep_equal_values);
}

Task<> keep_after_a_restoration(World* world) {
    const auto a = co_await world->open();
    const auto b = co_await world->open();
    const auto of_a = co_await a->grant_lease({});
    const auto of_b = co_await b->grant_lease({});
    co_await a->put(key, "yes", of_a);
    co_await b->put(key, "yes", of_b);
    co_await sleep_for(200ms);
    const auto copy = world->etcd.copy();
    world->etcd.put("v1/other", "later");
    world->etcd.restore(copy, false);
    co_await sleep_for(5s);
    co_await require_quiet(world, 20s);
    require(of_a.lost(key) != of_b.lost(key), "it is not one's");
    if (of_a.lost(key)) {
        co_await require_whose(world, b, of_b);
    } else {
        co_await require_whose(world, a, of_a);
    }
}

TEST(EtcdKeys, OfACopyWithoutLeasesOneOfThemHasIt) { for_worlds(50, keep_after_a_restoration); }

// --- a key that others write all the time

/// Many times while a renewal lasts.
Task<> hammer(World* world, std::function<void(ModelEtcd&, int)> change) {
    world->etcd.answer_takes = 20ms;
    for (int i = 0; i < 500; ++i) {
        change(world->etcd, i);
        co_await sleep_for(8ms);
    }
    world->etcd.answer_takes = {};
}

Task<> require_calm(World* world, Lease lease) {
    co_await sleep_for(500ms);
    const auto before = world->etcd.renewals;
    co_await sleep_for(1s);
    // The one in its time, perhaps.
    require(world->etcd.renewals - before <= 1, "renewals have queued up");
    require(lease.state() == LeaseState::alive, "the lease is not alive");
    require(world->sink.counted("store_refresh_failures_total") == 0, "a renewal has failed");
    require(world->sink.warnings("no member of etcd answers") == 0, "etcd is said to be gone");
}

Task<> write_what_is_lost(World* world) {
    const auto store = co_await world->open();
    const auto lease = co_await store->grant_lease({});
    co_await store->put(key, "mine", lease);
    const auto before = world->etcd.renewals;
    co_await hammer(world, [](ModelEtcd& etcd, int i) {
        etcd.put(key, fmt::format("theirs {}", i));
    });
    const auto renewals = world->etcd.renewals - before;
    require(renewals <= 2, fmt::format("{} renewals of a key that is lost anyway", renewals));
    require(lease.lost(key) && lease.recoveries() == 1, "it is lost once");
    co_await require_calm(world, lease);
}

TEST(EtcdKeys, WhatOthersWriteToALostKeyCostsNoRenewals) { for_worlds(20, write_what_is_lost); }

Task<> write_and_remove(World* world) {
    const auto store = co_await world->open();
    const auto lease = co_await store->grant_lease({});
    co_await store->put(key, "mine", lease);
    co_await hammer(world, [](ModelEtcd& etcd, int i) {
        if (i % 2 == 0) etcd.put(key, "theirs");
        if (i % 2 == 1) etcd.remove(key);
    });
    co_await require_calm(world, lease);
    co_await require_whose(world, store, lease);
}

TEST(EtcdKeys, OneRenewalAtMostWaitsForAnother) { for_worlds(20, write_and_remove); }

Task<> wait_for_another(World* world) {
    const auto store = co_await world->open();
    const auto lease = co_await store->grant_lease({});
    co_await store->put(key, "mine", lease);
    world->etcd.answer_takes = 1900ms;  // of two calls each
    co_await when_all(lease.refresh(), lease.refresh());
    require(lease.recoveries() == 0 && lease.losses() == 0, "it was said to be lost");
    require(lease.slack() > 5s, "it counts from when the second was asked for");
    require(world->sink.warnings("no member of etcd answers") == 0, "etcd is said to be gone");
}

TEST(EtcdKeys, ARenewalThatWaitsForAnotherHasItsTimeAllTheSame) {
    for_worlds(20, wait_for_another);
}

// --- writes whose answer is lost

/// `call` is done, and nobody is told; then somebody else makes the key "theirs", and the call is
/// repeated.
Task<std::string> with_a_change_between(World* world, Task<> call) {
    world->etcd.answer_lost = 1;
    auto change = [](World* of) -> Task<> {
        co_await sleep_for(500ms);
        of->etcd.put(key, "theirs");
        of->etcd.answer_lost = 0;
    };
    co_await when_all(std::move(call), change(world));
    co_return world->value();
}

Task<> done_once(World* world) {
    const auto client = (co_await world->open())->client();
    const auto refused = [](Task<std::optional<EtcdEntry>> write) -> Task<> {
        require(!co_await std::move(write), "it is said to be there");
    };
    auto seen = co_await with_a_change_between(world, refused(client.create(key, "mine")));
    require(seen == "theirs", "a creation has written over it");
    const auto now = world->etcd.find(key).value().mod_revision;
    seen =
        co_await with_a_change_between(world, refused(client.compare_and_swap(key, "mine", now)));
    require(seen == "theirs", "a conditional write has written over it");
    const auto unknown = [](Task<EtcdTransactionReply> transaction) -> Task<> {
        require(
            co_await error_of(std::move(transaction)) == "unavailable store.outcome_unknown",
            "its outcome is known"
        );
    };
    EtcdTransaction once;
    once.then = {EtcdOperation::put(key, "mine")};
    seen = co_await with_a_change_between(world, unknown(client.txn(std::move(once))));
    require(seen == "theirs", "a transaction has been repeated");
}

TEST(EtcdKeys, AConditionalWriteWhoseAnswerIsLostIsDoneOnce) { for_worlds(20, done_once); }

Task<> done_again(World* world) {
    const auto store = co_await world->open();
    const auto client = store->client();
    const auto lease = co_await store->grant_lease({});
    const auto put = [](EtcdClient by) -> Task<> { (void)co_await by.put(key, "mine"); };
    const auto remove = [](Task<bool> removal) -> Task<> {
        require(co_await std::move(removal), "the store has removed nothing");
    };
    const auto remove_all = [](Task<std::int64_t> removal) -> Task<> {
        const auto count = co_await std::move(removal);
        require(count == 1, fmt::format("the client has removed {}", count));
    };
    require(co_await with_a_change_between(world, put(client)) == "mine", "put");
    auto seen = co_await with_a_change_between(world, store->put(key, "mine", lease));
    require(seen == "mine", "put with a lease");
    seen = co_await with_a_change_between(
        world, remove(store->replace({key, "v1/test/new", "mine", lease}))
    );
    require(seen.empty(), "the old key of a replacement");
    require(co_await store->remove("v1/test/new"), "the new one is not there");
    seen = co_await with_a_change_between(world, remove(store->remove(key)));
    require(seen.empty(), "removal by the store");
    seen = co_await with_a_change_between(world, remove_all(client.remove(key)));
    require(seen.empty(), "removal by the client");
    seen = co_await with_a_change_between(world, remove_all(client.remove_prefix("v1/test/")));
    require(seen.empty(), "removal of a prefix");
}

/// Documented: whoever needs it done once gives a condition.
TEST(EtcdKeys, AnUnconditionalWriteWhoseAnswerIsLostMayBeDoneAgainLater) {
    for_worlds(20, done_again);
}

// --- what is kept in mind of writes without an answer

Task<> fail_many(World* world) {
    const auto store = co_await world->open();
    const auto lease = co_await store->grant_lease({});
    world->etcd.down = true;
    for (int i = 0; i < 40; ++i) {
        const auto written =
            co_await as_result(store->put(fmt::format("{}{}", key, i), "1", lease));
        require(!written, "written to nobody");
    }
    const auto kept = EtcdStoreAccess::unanswered(*store);
    require(kept <= 5, fmt::format("{} writes are kept in mind", kept));
    world->etcd.down = false;
    co_await sleep_for(20s);
    require(EtcdStoreAccess::unanswered(*store) == 0, "some are kept for good");
}

TEST(EtcdKeys, AWriteThatCannotComeInAnyMoreIsForgotten) { for_worlds(5, fail_many); }

Task<> be_refused(World* world) {
    const auto store = co_await world->open();
    const auto lease = co_await store->grant_lease({});
    for (int i = 0; i < 20; ++i) {
        const auto taken = fmt::format("{}{}", key, i);
        world->etcd.put(taken, "theirs");
        require(!co_await store->claim(taken, "mine", lease), "claimed");
    }
    require(EtcdStoreAccess::unanswered(*store) == 0, "an answer is taken for none");
}

TEST(EtcdKeys, ARefusalIsAnAnswer) { for_worlds(5, be_refused); }

// --- watches that are read anew

Task<> leave_while_it_is_read(World* world) {
    const auto store = co_await world->open();
    const auto other = co_await store->watch("v1/other/");
    auto seen = std::optional{co_await store->watch("v1/test/")};
    co_await sleep_for(200ms);
    require(world->etcd.watches() == 2, "two watches");
    world->etcd.put("v1/test/a", "1");
    world->etcd.compact();
    world->etcd.break_streams();
    world->etcd.answer_takes = 1500ms;  // longer than readers that are gone go unnoticed
    seen.reset();
    co_await sleep_for(8s);
    world->etcd.answer_takes = {};
    const auto watches = world->etcd.watches();
    require(watches == 1, fmt::format("{} watches for one reader", watches));
    // Whoever comes then begins anew.
    auto again = co_await store->watch("v1/test/");
    require(describe(co_await next_event(&again)) == "=1", "a snapshot");
    world->etcd.put("v1/test/b", "1");
    require(describe(co_await next_event(&again)) == "+v1/test/b", "what follows");
}

TEST(EtcdKeys, AWatchThatNobodyReadsWhenItIsReadAnewIsNotAskedFor) {
    for_worlds(20, leave_while_it_is_read);
}

Task<> begin_a_watch(Store store, std::optional<Watch>* watch) {
    watch->emplace(co_await store->watch("v1/test/"));
}

Task<> wipe_it(World* world) {
    co_await sleep_for(100ms);
    world->etcd.answer_takes = {};
    world->etcd.restart(true);
}

Task<> until_seen(Watch* watch, std::string wanted) {
    for (;;) {
        const auto event = co_await watch->next();
        require(event.has_value(), "the watch has ended");
        if (event->kind == WatchEvent::Kind::put && event->entry.key == wanted) co_return;
        for (const auto& entry : event->entries) {
            if (entry.key == wanted) co_return;
        }
    }
}

Task<> list_a_store_that_is_no_more(World* world) {
    const auto store = co_await world->open();
    const auto other = co_await store->watch("v1/other/");  // by which it is noticed
    for (int i = 0; i < 30; ++i) world->etcd.put("v1/other/a", "1");
    world->etcd.put("v1/test/old", "1");
    co_await sleep_for(500ms);
    world->etcd.answer_takes = 1500ms;
    std::optional<Watch> watch;
    co_await when_all(begin_a_watch(store, &watch), wipe_it(world));
    world->etcd.put("v1/test/new", "1");
    const auto found = co_await as_result(
        with_deadline(Deadline::in(3s), until_seen(&watch.value(), "v1/test/new"))
    );
    require(found.has_value(), "the watch is silent");
}

TEST(EtcdKeys, AListingOfAStoreThatIsNoMoreDoesNotCount) {
    for_worlds(20, list_a_store_that_is_no_more);
}

}  // namespace
}  // namespace stator::store
