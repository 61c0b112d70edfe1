// What every store does, whatever is behind it.
#include "tests/store/conformance.hpp"

#include <gtest/gtest.h>

namespace stator::store {
namespace {

using test::error_of;
using test::next_description;
using test::next_event;
using test::require;
using namespace std::chrono_literals;
using Store = std::shared_ptr<KeyValueStore>;
using test::Backend;

/// Two parties of one store, as two processes are.
class Conformance : public testing::TestWithParam<Backend> {
protected:
    void SetUp() override {
        a_ = open();
        b_ = open();
    }
    void TearDown() override {
        for (const auto& store : {a_, b_}) {
            if (store) EXPECT_RUNS(loops_, store->close(Deadline::in(5s)));
        }
    }
    Store open() {
        auto opened = loops_.run(GetParam().open(loops_.secondary(), folder_.path()));
        EXPECT_TRUE(opened) << opened.error().what();
        return opened ? *opened : nullptr;
    }

    test::TemporaryFolder folder_;
    test::Loops loops_;
    Store a_;
    Store b_;
};

INSTANTIATE_TEST_SUITE_P(
    Stores,
    Conformance,
    testing::ValuesIn(test::conformance_backends()),
    [](const auto& info) { return info.param.name; }
);

Task<> write_and_read(Store a, Store b) {
    EXPECT_FALSE(co_await a->get("v1/test/one"));
    EXPECT_TRUE(co_await a->create("v1/test/one", "1"));
    EXPECT_FALSE(co_await b->create("v1/test/one", "2"));
    const auto one = co_await b->get("v1/test/one");
    require(one.has_value(), "the key is not there");
    EXPECT_EQ(one->key, "v1/test/one");
    EXPECT_EQ(one->value, "1");
    co_await a->put("v1/test/one", "3");
    EXPECT_EQ((co_await b->get("v1/test/one")).value_or(Entry{}).value, "3");
    EXPECT_TRUE(co_await a->remove("v1/test/one"));
    EXPECT_FALSE(co_await a->remove("v1/test/one"));
    EXPECT_FALSE(co_await b->get("v1/test/one"));
}

TEST_P(Conformance, WritesAndReads) { EXPECT_RUNS(loops_, write_and_read(a_, b_)); }

Task<> create_or_validate(Store a, Store b) {
    co_await a->create_or_validate("v1/test/k", "same");
    co_await b->create_or_validate("v1/test/k", "same");
    EXPECT_EQ(
        co_await error_of(b->create_or_validate("v1/test/k", "other")),
        "already_exists store.differs"
    );
    EXPECT_EQ((co_await a->get("v1/test/k")).value_or(Entry{}).value, "same");
}

TEST_P(Conformance, CreatesOrValidates) { EXPECT_RUNS(loops_, create_or_validate(a_, b_)); }

Task<> replace(Store a, Store b) {
    auto lease = co_await a->grant_lease({});
    co_await a->put("v1/test/old", "1", lease);
    auto seen = co_await b->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=1");
    EXPECT_TRUE(co_await a->replace({"v1/test/old", "v1/test/new", "2", lease}));
    EXPECT_EQ(co_await next_description(&seen), "+v1/test/new");
    EXPECT_EQ(co_await next_description(&seen), "-v1/test/old");
    // Again, as after an answer that was lost; then there and back.
    EXPECT_TRUE(co_await a->replace({"v1/test/old", "v1/test/new", "2", lease}));
    EXPECT_TRUE(co_await a->replace({"v1/test/new", "v1/test/old", "1", lease}));
    EXPECT_EQ((co_await b->list("v1/test/")).size(), 1U);
    EXPECT_EQ((co_await b->get("v1/test/old")).value_or(Entry{}).value, "1");
    // What is another's stays, and so does what it was to replace.
    co_await b->put("v1/test/taken", "2");
    EXPECT_FALSE(co_await a->replace({"v1/test/old", "v1/test/taken", "2", lease}));
    EXPECT_EQ((co_await b->list("v1/test/")).size(), 2U);
    EXPECT_EQ(
        co_await error_of(a->replace({"v1/test/old", "v1/test/old", "2", lease})),
        "invalid_request store.key"
    );
    // It is the lease that keeps the new key, and nothing keeps the old one.
    EXPECT_TRUE(co_await a->replace({"v1/test/old", "v1/test/new", "2", lease}));
    co_await lease.refresh();
    EXPECT_FALSE(co_await b->get("v1/test/old"));
    co_await lease.revoke();
    EXPECT_FALSE(co_await b->get("v1/test/new"));
}

TEST_P(Conformance, ReplacesAKeyByAnother) { EXPECT_RUNS(loops_, replace(a_, b_)); }

Task<> list(Store a, Store b) {
    EXPECT_TRUE((co_await a->list("v1/test/")).empty());
    for (const auto* key : {"v1/test/b/2", "v1/test/a/1", "v1/test/b/1", "v1/other/b/1"})
        co_await a->put(key, key);
    const auto all = co_await b->list("v1/test/");
    require(all.size() == 3, "three keys are there");
    EXPECT_EQ(all[0].key, "v1/test/a/1");
    EXPECT_EQ(all[0].value, "v1/test/a/1");
    EXPECT_EQ(all[1].key, "v1/test/b/1");
    EXPECT_EQ(all[2].key, "v1/test/b/2");
    EXPECT_EQ((co_await b->list("v1/test/b/")).size(), 2U);
    EXPECT_EQ((co_await b->list("v1/test/b")).size(), 2U);
    EXPECT_EQ((co_await b->list("v1/test/c")).size(), 0U);
}

TEST_P(Conformance, ListsByPrefix) { EXPECT_RUNS(loops_, list(a_, b_)); }

Task<> watch(Store a, Store b) {
    co_await a->put("v1/test/x/1", "1");
    co_await a->put("v1/test/y/1", "1");
    auto seen = co_await b->watch("v1/test/x/");
    EXPECT_EQ(co_await next_description(&seen), "=1");
    co_await a->put("v1/test/y/2", "1");
    co_await a->put("v1/test/x/2", "2");
    const auto added = co_await next_event(&seen);
    EXPECT_EQ(test::describe(added), "+v1/test/x/2");
    EXPECT_EQ(added.entry.value, "2");
    co_await a->put("v1/test/x/2", "changed");
    const auto changed = co_await next_event(&seen);
    EXPECT_EQ(test::describe(changed), "+v1/test/x/2");
    EXPECT_EQ(changed.entry.value, "changed");
    co_await a->remove("v1/test/x/1");
    EXPECT_EQ(co_await next_description(&seen), "-v1/test/x/1");
}

TEST_P(Conformance, WatchesAreASnapshotThenDeltas) { EXPECT_RUNS(loops_, watch(a_, b_)); }

/// A party sees its own changes as it sees those of others.
TEST_P(Conformance, WatchesTellAboutOwnChanges) { EXPECT_RUNS(loops_, watch(a_, a_)); }

Task<> revoke_by_token(Store a, Store b) {
    auto token = CancellationToken::make();
    auto lease = co_await a->grant_lease({.bound_to = token});
    auto other = co_await a->grant_lease({});
    EXPECT_EQ(lease.state(), LeaseState::alive);
    EXPECT_NE(lease.id(), other.id());
    co_await a->put("v1/test/mine/1", "1", lease);
    co_await a->put("v1/test/mine/2", "1", lease);
    co_await a->put("v1/test/other", "1", other);
    co_await a->put("v1/test/none", "1");
    auto seen = co_await b->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=4");
    token.cancel();
    EXPECT_EQ(co_await lease.wait_for_change(LeaseState::alive), LeaseState::revoked);
    EXPECT_EQ(co_await next_description(&seen), "-v1/test/mine/1");
    EXPECT_EQ(co_await next_description(&seen), "-v1/test/mine/2");
    EXPECT_EQ((co_await b->list("v1/test/")).size(), 2U);
    EXPECT_TRUE(lease.token().cancelled());
    EXPECT_EQ(
        co_await error_of(a->put("v1/test/late", "1", lease)), "unavailable store.lease_revoked"
    );
}

TEST_P(Conformance, CancellingALeasesTokenDropsItsKeys) {
    EXPECT_RUNS(loops_, revoke_by_token(a_, b_));
}

Task<> revoke_by_call(Store a) {
    auto lease = co_await a->grant_lease({});
    co_await a->put("v1/test/k", "1", lease);
    co_await lease.revoke();
    EXPECT_EQ(lease.state(), LeaseState::revoked);
    EXPECT_FALSE(co_await a->get("v1/test/k"));
    co_await lease.revoke();  // again
    co_await lease.refresh();
    EXPECT_FALSE(co_await a->get("v1/test/k"));
    auto token = CancellationToken::make();
    token.cancel();
    auto dead = co_await a->grant_lease({.bound_to = token});
    EXPECT_EQ(co_await error_of(a->put("v1/test/k", "1", dead)), "unavailable store.lease_revoked");
}

TEST_P(Conformance, RevokesOnRequest) { EXPECT_RUNS(loops_, revoke_by_call(a_)); }

Task<> moved_keys(Store a) {
    auto first = co_await a->grant_lease({});
    auto second = co_await a->grant_lease({});
    co_await a->put("v1/test/k", "1", first);
    co_await a->put("v1/test/k", "2", second);
    co_await first.revoke();
    EXPECT_EQ((co_await a->get("v1/test/k")).value_or(Entry{}).value, "2");
    co_await second.revoke();
    EXPECT_FALSE(co_await a->get("v1/test/k"));
}

TEST_P(Conformance, AKeyBelongsToItsLastLease) { EXPECT_RUNS(loops_, moved_keys(a_)); }

Task<> foreign_lease(Store a, Store b) {
    auto lease = co_await a->grant_lease({});
    EXPECT_EQ(co_await error_of(b->put("v1/test/k", "1", lease)), "invalid_request store.lease");
}

TEST_P(Conformance, RefusesAnotherStoresLease) { EXPECT_RUNS(loops_, foreign_lease(a_, b_)); }

Task<> removed_key(Store a) {
    auto lease = co_await a->grant_lease({});
    co_await a->put("v1/test/k", "1", lease);
    EXPECT_TRUE(co_await a->remove("v1/test/k"));
    co_await lease.refresh();
    EXPECT_FALSE(co_await a->get("v1/test/k")) << "the refresh brought it back";
    EXPECT_EQ(lease.recoveries(), 0U);
}

TEST_P(Conformance, WhatItsOwnerRemovesStaysAway) { EXPECT_RUNS(loops_, removed_key(a_)); }

/// Another party's removal is not ours to accept: the keys come back, and the lease says so.
Task<> removed_by_others(Store a, Store b) {
    auto lease = co_await a->grant_lease({});
    co_await a->put("v1/test/k", "1", lease);
    auto seen = co_await b->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=1");
    EXPECT_TRUE(co_await b->remove("v1/test/k"));
    co_await lease.refresh();
    EXPECT_EQ(co_await next_description(&seen), "-v1/test/k");
    EXPECT_EQ(co_await next_description(&seen), "+v1/test/k");
    EXPECT_EQ(lease.state(), LeaseState::alive);
}

TEST_P(Conformance, WhatOthersRemoveComesBack) { EXPECT_RUNS(loops_, removed_by_others(a_, b_)); }

Task<> closing(Store a, Store b) {
    auto lease = co_await a->grant_lease({});
    co_await a->put("v1/test/leased", "1", lease);
    co_await a->put("v1/test/plain", "1");
    co_await b->put("v1/test/others", "1");
    auto own = co_await a->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&own), "=3");
    auto others = co_await b->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&others), "=3");
    co_await a->close(Deadline::in(5s));
    EXPECT_EQ((co_await b->list("v1/test/")).size(), 1U);
    EXPECT_EQ(lease.state(), LeaseState::revoked);
    // Its own watch tells what waits, then ends.
    while (auto event = co_await own.next()) EXPECT_NE(event->kind, WatchEvent::Kind::snapshot);
    (void)co_await next_event(&others);
    (void)co_await next_event(&others);
    co_await b->put("v1/test/others", "2");
    EXPECT_EQ(co_await next_description(&others), "+v1/test/others");
    EXPECT_EQ(co_await error_of(a->get("v1/test/others")), "unavailable store.closed");
    EXPECT_EQ(co_await error_of(a->put("v1/test/x", "1")), "unavailable store.closed");
    EXPECT_EQ(co_await error_of(a->watch("v1/test/")), "unavailable store.closed");
    EXPECT_EQ(co_await error_of(a->grant_lease({})), "unavailable store.closed");
    co_await a->close(Deadline::in(5s));  // again
    co_await lease.refresh();
    co_await lease.revoke();
}

TEST_P(Conformance, ClosingTakesItsKeysAlong) { EXPECT_RUNS(loops_, closing(a_, b_)); }

Task<> bad_arguments(Store a) {
    EXPECT_EQ(co_await error_of(a->put("v1/test", "1")), "invalid_request store.key");
    EXPECT_EQ(co_await error_of(a->get("../../etc/passwd")), "invalid_request store.key");
    EXPECT_EQ(co_await error_of(a->list("v1")), "invalid_request store.key");
    EXPECT_EQ(co_await error_of(a->watch("v1/Test/")), "invalid_request store.key");
    EXPECT_EQ(co_await error_of(a->remove("v1/test//a")), "invalid_request store.key");
    EXPECT_EQ(co_await error_of(a->put("v1/test/k", "")), "invalid_request store.value");
    EXPECT_EQ(
        co_await error_of(a->put("v1/test/k", std::string((1U << 20U) + 1, 'x'))),
        "invalid_request store.value"
    );
    co_await a->put("v1/test/k", std::string(1U << 20U, 'x'));
    EXPECT_EQ((co_await a->get("v1/test/k")).value_or(Entry{}).value.size(), 1U << 20U);
}

TEST_P(Conformance, RefusesBadArgumentsByName) { EXPECT_RUNS(loops_, bad_arguments(a_)); }

Task<> create_one(Store store, std::string value, int* winners) {
    if (co_await store->create("v1/test/raced", value)) ++*winners;
}

Task<> race(Store a, Store b) {
    int winners = 0;
    std::vector<Task<>> tasks;
    for (int i = 0; i < 20; ++i)
        tasks.push_back(create_one(i % 2 == 0 ? a : b, std::to_string(i), &winners));
    co_await when_all(std::move(tasks));
    EXPECT_EQ(winners, 1);
}

TEST_P(Conformance, OneOfManyCreates) { EXPECT_RUNS(loops_, race(a_, b_)); }

Task<> put_some(Store store, int party, int count) {
    for (int i = 0; i < count; ++i) {
        const auto key = "v1/test/" + std::to_string(party) + "/" + std::to_string(i % 7);
        co_await store->put(key, std::to_string(i));
        if (i % 3 == 0) co_await store->remove(key);
    }
}

/// A reader that follows the deltas gets to what a listing shows.
Task<> follow(Store a, Store b) {
    std::map<std::string, std::string> view;
    auto seen = co_await b->watch("v1/test/");
    co_await when_all(put_some(a, 1, 50), put_some(a, 2, 50), put_some(b, 3, 50));
    std::map<std::string, std::string> listed;
    for (const auto& entry : co_await a->list("v1/test/")) listed[entry.key] = entry.value;
    EXPECT_EQ(listed.size(), 15U);
    while (view != listed) {
        const auto event = co_await next_event(&seen);
        if (event.kind == WatchEvent::Kind::snapshot) view.clear();
        for (const auto& entry : event.entries) view[entry.key] = entry.value;
        if (event.kind == WatchEvent::Kind::put) view[event.entry.key] = event.entry.value;
        if (event.kind == WatchEvent::Kind::removed) view.erase(event.entry.key);
    }
}

TEST_P(Conformance, DeltasAddUpToTheListing) { EXPECT_RUNS(loops_, follow(a_, b_)); }

Task<> cancelled_call(Store a) {
    auto token = CancellationToken::make();
    token.cancel();
    auto seen = co_await a->watch("v1/test/");
    (void)co_await next_event(&seen);
    EXPECT_EQ(co_await error_of(with_token(token, seen.next())), "cancelled ");
    co_await a->put("v1/test/k", "1");
    EXPECT_EQ(co_await next_description(&seen), "+v1/test/k");
}

TEST_P(Conformance, ACancelledWaitLosesNothing) { EXPECT_RUNS(loops_, cancelled_call(a_)); }

}  // namespace
}  // namespace stator::store
