// The snippets of docs/store-tools.md, which are compared with this, on the memory store.
#include <chrono>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "stator/runtime/token_wait.hpp"
#include "stator/store/election.hpp"
#include "stator/store/fence.hpp"
#include "stator/store/kv_cache.hpp"
#include "stator/store/lock.hpp"
#include "stator/store/memory_store.hpp"
#include "stator/store/typed_watch.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::store {
namespace {

using namespace std::chrono_literals;
using Store = std::shared_ptr<KeyValueStore>;

Task<> follow_limits(Store store) {
    auto limits = co_await TypedWatch<std::int64_t>::open(store, "v1/limits/");
    while (auto event = co_await limits.next()) {
        using Kind = TypedEvent<std::int64_t>::Kind;
        if (event->kind == Kind::put) fmt::print("{} is {}\n", event->name, *event->value);
        if (event->kind == Kind::removed) fmt::print("{} has no limit\n", event->name);
    }
}

Task<> count_up(Store store) {
    auto limits =
        co_await KvCache<std::int64_t>::open(store, "v1/limits/", {.initial = {{"calls", 10}}});
    co_await limits->put("calls", *limits->find("calls") + 1);
    const auto before = limits->all();
    const auto after =
        co_await limits->changed(before.version);  // once anybody has changed anything
    fmt::print("{} limits\n", after.value->size());
    co_await limits->close();
}

Task<> rebuild(std::uint64_t token, CancellationToken lost) {
    EXPECT_NE(token, 0U);
    EXPECT_FALSE(lost.cancelled());
    co_return;
}

Task<> only_one(Store store) {
    auto lock = co_await Lock::acquire(store, "rebuild", {.deadline = Deadline::in(10s)});
    co_await rebuild(lock.fencing_token(), lock.token());
    co_await lock.release();
}

Task<> many_read(Store store, Fence* fence) {
    auto lock = co_await Lock::acquire(store, "rebuild", {.mode = LockMode::shared});
    if (fence->admits(lock.mode(), lock.fencing_token())) fmt::print("nobody rebuilds it\n");
    co_await lock.release();
}

Task<> work_as_leader(CancellationToken leads_no_more) { co_await leads_no_more.wait(); }

Task<> lead(Store store, CancellationToken stop) {
    auto leadership = co_await campaign(store, "scheduler", "10.0.0.5:4000", {.bound_to = stop});
    co_await work_as_leader(leadership.token());  // cancelled when it leads no more
}

Task<> follow_leader(Store store) {
    auto leaders = co_await LeaderWatch::open(store, "scheduler");
    for (;;) {
        const auto leader = co_await leaders.next();
        fmt::print("{}\n", leader ? leader->value : "nobody leads");
    }
}

Task<> all_of_them(Store store) {
    TaskScope scope;
    scope.spawn(follow_limits(store));
    scope.spawn(count_up(store));
    const auto stop = CancellationToken::make();
    scope.spawn(lead(store, stop));
    const auto followed = CancellationToken::make();
    scope.spawn([](Store followed_store, CancellationToken end) -> Task<> {
        (void)co_await as_result(with_token(end, follow_leader(followed_store)));
    }(store, followed));
    co_await only_one(store);
    Fence fence;
    co_await many_read(store, &fence);
    EXPECT_NE(fence.largest, 0U);
    // `count_up` has written 11 and waits for the next change.
    const auto until = Deadline::in(test::patience);
    while (scope.size() > 3) {
        test::require(!until.passed(), "the cache sees changes");
        const auto value = co_await store->get("v1/limits/calls");
        if (value && value->value != "10")
            co_await store->put("v1/limits/more", value->value + "0");
        co_await store->remove("v1/limits/more");
        co_await sleep_for(1ms);
    }
    EXPECT_EQ((co_await store->get("v1/limits/calls")).value().value, "11");
    stop.cancel();
    followed.cancel();
    co_await store->close(Deadline::in(5s));
    co_await scope.join();
}

TEST(Snippets, AllOfThemWork) {
    test::Loops loops;
    EXPECT_RUNS(loops, all_of_them(MemoryStore::open(loops.secondary(), {.name = "snippets"})));
}

}  // namespace
}  // namespace stator::store
