// Typed watches, caches and published keys, over every store.
#include <atomic>
#include <map>
#include <mutex>

#include "stator/store/kv_cache.hpp"
#include "stator/store/publish.hpp"
#include "stator/store/typed_watch.hpp"
#include "tests/store/tools_backends.hpp"

namespace stator::store {
namespace {

using test::error_of;
using test::eventually;
using test::require;
using test::StorePtr;
using test::StoreTools;
using namespace std::chrono_literals;

INSTANTIATE_TEST_SUITE_P(
    Stores,
    StoreTools,
    testing::ValuesIn(test::tools_backends()),
    [](const auto& info) { return info.param.name; }
);

using Numbers = TypedWatch<std::int64_t>;
using Cache = KvCache<std::int64_t>;

/// "+name=value", "-name" or "synced".
std::string describe(const Numbers::Event& event) {
    switch (event.kind) {
        case Numbers::Event::Kind::put:
            return "+" + event.name + "=" + std::to_string(*event.value);
        case Numbers::Event::Kind::removed:
            return "-" + event.name;
        case Numbers::Event::Kind::synced:
            break;
    }
    return "synced";
}

Task<std::string> next(Numbers* watch) {
    auto event = co_await with_deadline(Deadline::in(test::patience), watch->next());
    co_return event ? describe(*event) : "the end";
}

Task<> typed(StorePtr a, StorePtr b) {
    co_await a->put("v1/test/n/one", "1");
    co_await a->put("v1/test/n/two", "2");
    co_await a->put("v1/test/n/odd", "no number");
    auto watch = co_await Numbers::open(b, "v1/test/n/");
    EXPECT_EQ(co_await next(&watch), "+one=1");
    EXPECT_EQ(co_await next(&watch), "+two=2");
    EXPECT_EQ(co_await next(&watch), "synced");
    co_await a->put("v1/test/n/two", "22");
    EXPECT_EQ(co_await next(&watch), "+two=22");
    co_await a->put("v1/test/n/two", "\"text\"");
    EXPECT_EQ(co_await next(&watch), "-two");
    co_await a->put("v1/test/n/odd", "3");
    EXPECT_EQ(co_await next(&watch), "+odd=3");
    co_await a->remove("v1/test/n/two");  // of which nothing was known any more
    co_await a->remove("v1/test/n/one");
    EXPECT_EQ(co_await next(&watch), "-one");
    EXPECT_FALSE(watch.try_next());
    co_await b->close(Deadline::in(5s));
    EXPECT_EQ(co_await next(&watch), "the end");
}

TEST_P(StoreTools, ATypedWatchTellsValuesAndLeavesOutWhatIsNone) {
    test::RecordingSink sink;
    EXPECT_RUNS(loops(), typed(a(), b()));
    EXPECT_EQ(sink.counted("store_undecodable_values_total"), 2U);
    EXPECT_EQ(sink.warnings("v1/test/n/odd"), 1U);
}

Task<> messages(StorePtr a, StorePtr b) {
    using Names = TypedWatch<std::map<std::string, std::string>>;
    auto watch = co_await Names::open(b, "v1/test/m/", PayloadCodec::msgpack);
    EXPECT_EQ((co_await watch.next()).value().kind, Names::Event::Kind::synced);
    const std::map<std::string, std::string> value{{"a", "b"}};
    const auto text =
        Payload<std::map<std::string, std::string>>::encode(value, PayloadCodec::msgpack);
    co_await a->put("v1/test/m/x", text.value().to_string());
    const auto event = co_await watch.next();
    require(event && event->value, "a value is told");
    EXPECT_EQ(*event->value, value);
}

TEST_P(StoreTools, ATypedWatchTakesTheCodecItIsGiven) { EXPECT_RUNS(loops(), messages(a(), b())); }

Task<> cached(StorePtr a, StorePtr b) {
    co_await b->put("v1/test/c/there", "1");
    auto cache = co_await Cache::open(a, "v1/test/c/", {.initial = {{"there", 100}, {"new", 2}}});
    EXPECT_EQ(*cache->find("there"), 1);
    EXPECT_EQ(*cache->find("new"), 2);
    EXPECT_EQ(cache->find("nothing"), nullptr);
    EXPECT_EQ((co_await b->get("v1/test/c/new")).value().value, "2");
    co_await cache->put("new", 3);
    EXPECT_EQ(*cache->find("new"), 3);
    EXPECT_EQ((co_await b->get("v1/test/c/new")).value().value, "3");
    EXPECT_FALSE(co_await cache->create("new", 4));
    EXPECT_EQ(*cache->find("new"), 3);
    EXPECT_TRUE(co_await cache->create("newer", 4));
    EXPECT_EQ(*cache->find("newer"), 4);
    EXPECT_TRUE(co_await cache->remove("newer"));
    EXPECT_EQ(cache->find("newer"), nullptr);
    EXPECT_FALSE(co_await cache->remove("newer"));
    const auto before = cache->all();
    EXPECT_EQ(before.value->size(), 2U);
    co_await b->put("v1/test/c/theirs", "5");
    const auto after = co_await cache->changed(before.version);
    EXPECT_EQ(after.value->size(), 3U);
    EXPECT_EQ(after.value->at("theirs")->value, 5);
    EXPECT_EQ(before.value->size(), 2U) << "a snapshot does not change";
    co_await cache->close();
    co_await cache->close();
    EXPECT_EQ((co_await b->get("v1/test/c/new")).value().value, "3") << "what was written stays";
}

TEST_P(StoreTools, ACacheFollowsAndWritesThrough) { EXPECT_RUNS(loops(), cached(a(), b())); }

Task<> told(StorePtr a, StorePtr b) {
    std::mutex lock;
    std::vector<std::string> changes;
    auto cache =
        co_await Cache::open(a, "v1/test/t/", {.on_change = [&](const Cache::Change& change) {
                                 const std::lock_guard guard{lock};
                                 changes.push_back(describe(change));
                             }});
    co_await cache->put("x", 1);
    co_await b->put("v1/test/t/odd", "no number");
    co_await cache->put("x", 2);
    co_await cache->remove("x");
    co_await cache->close();
    const std::lock_guard guard{lock};
    EXPECT_EQ(changes, (std::vector<std::string>{"+x=1", "+x=2", "-x"}));
}

TEST_P(StoreTools, ACacheTellsEachChangeInOrder) { EXPECT_RUNS(loops(), told(a(), b())); }

Task<> write_some(std::shared_ptr<Cache> cache, std::int64_t party) {
    for (std::int64_t i = 0; i < 30; ++i) {
        const auto name = std::to_string(i % 5);
        co_await cache->put(name, 1000 * party + i);
        require(cache->find(name) != nullptr, "what was written shows");
    }
}

std::map<std::string, std::int64_t> values_of(const Cache& cache) {
    std::map<std::string, std::int64_t> values;
    for (const auto& [name, item] : *cache.all().value) values[name] = item->value;
    return values;
}

Task<> agree(StorePtr a, StorePtr b) {
    auto first = co_await Cache::open(a, "v1/test/w/");
    auto second = co_await Cache::open(b, "v1/test/w/");
    co_await when_all(write_some(first, 1), write_some(second, 2), write_some(first, 3));
    std::map<std::string, std::int64_t> listed;
    for (const auto& entry : co_await a->list("v1/test/w/"))
        listed[entry.key.substr(10)] = std::stoll(entry.value);
    EXPECT_EQ(listed.size(), 5U);
    for (const auto& cache : {first, second})
        co_await eventually(
            [&](this auto) -> Task<bool> { co_return values_of(*cache) == listed; }, "agreement"
        );
    co_await first->close();
    co_await second->close();
}

TEST_P(StoreTools, CachesOfManyWritersAgree) { EXPECT_RUNS(loops(), agree(a(), b())); }

Task<> cache_ends(StorePtr a) {
    auto cache = co_await Cache::open(a, "v1/test/e/", {.initial = {{"x", 1}}});
    const auto seen = cache->all();
    co_await a->close(Deadline::in(5s));
    EXPECT_EQ(co_await error_of(cache->put("x", 2)), "unavailable store.closed");
    for (;;) {  // what the close removes may show before it
        const auto ended = co_await as_result(cache->changed(seen.version));
        if (!ended) break;
        EXPECT_EQ(ended->value->size(), 0U);
        if (co_await error_of(cache->changed(ended->version)) == "unavailable store.closed") break;
    }
    EXPECT_EQ(co_await error_of(cache->changed(0)), "unavailable store.closed");
    co_await cache->close();
    EXPECT_EQ(co_await error_of(Cache::open(a, "v1/test/e")), "invalid_request store.key");
}

TEST_P(StoreTools, ACacheEndsWithItsStore) { EXPECT_RUNS(loops(), cache_ends(a())); }

Task<> publish_for_a_while(StorePtr a, StorePtr b) {
    const auto token = CancellationToken::make();
    TaskScope scope;
    scope.spawn(publish_until_cancelled(a, "v1/test/p/k", "1", token));
    auto there = [&](this auto) -> Task<bool> {
        co_return (co_await b->get("v1/test/p/k")).has_value();
    };
    co_await eventually(there, "the key");
    // Whoever loses it: it comes back under the same name.
    EXPECT_TRUE(co_await b->remove("v1/test/p/k"));
    co_await eventually(there, "the key again");
    token.cancel();
    co_await scope.join();
    EXPECT_FALSE(co_await there()) << "gone when the task has ended";
    co_await publish_until_cancelled(a, "v1/test/p/k", "1", token);
    EXPECT_FALSE(co_await there()) << "nothing is written after the token has fired";
}

TEST_P(StoreTools, WhatIsPublishedIsThereWhileTheTokenLives) {
    EXPECT_RUNS(loops(), publish_for_a_while(a(), b()));
}

Task<> publish_and_give_up(StorePtr a, StorePtr b) {
    const auto mine = CancellationToken::make();
    TaskScope scope;
    scope.spawn([](StorePtr store, CancellationToken own) -> Task<> {
        EXPECT_EQ(
            co_await error_of(with_token(
                own, publish_until_cancelled(store, "v1/test/p/k", "1", CancellationToken::make())
            )),
            "cancelled "
        );
    }(a, mine));
    auto there = [&](this auto) -> Task<bool> {
        co_return (co_await b->get("v1/test/p/k")).has_value();
    };
    co_await eventually(there, "the key");
    mine.cancel();
    co_await scope.join();
    EXPECT_FALSE(co_await there());
    EXPECT_EQ(
        co_await error_of(publish_until_cancelled(a, "v1/test", "1", CancellationToken::make())),
        "invalid_request store.key"
    );
    scope.spawn(publish_until_cancelled(a, "v1/test/p/k", "1", CancellationToken::make()));
    co_await eventually(there, "the key");
    co_await a->close(Deadline::in(5s));
    co_await scope.join();
    EXPECT_FALSE(co_await there()) << "the store took it along";
}

TEST_P(StoreTools, WhatIsPublishedGoesWithItsPublisher) {
    EXPECT_RUNS(loops(), publish_and_give_up(a(), b()));
}

}  // namespace
}  // namespace stator::store
