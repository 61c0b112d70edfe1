// Which watches the keys of a store have, and what of them is told.
#include <algorithm>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "store/etcd/key_guards.hpp"
#include "tests/store/fake_wire.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::store::etcd {
namespace {

using test::FakeCluster;
using test::FakeWatch;
using Told = std::vector<std::string>;

constexpr auto most_single = KeyGuards::most_single;

WatchChange written(std::string key, std::int64_t revision, std::int64_t lease) {
    return {
        .entry = {.key = std::move(key), .value = "v", .mod_revision = revision, .lease = lease}
    };
}

WatchChange removed(std::string key, std::int64_t revision) {
    return {.removed = true, .entry = {.key = std::move(key), .mod_revision = revision}};
}

class EtcdKeyGuards : public testing::Test {
protected:
    /// A new stream, the only one; every guard is on it.
    void connect() {
        guards_.pause();
        stream_.reset();
        if (!wire_) wire_ = cluster_.dial()(WireOptions{.target = "one:1"});
        stream_ = std::make_unique<WatchStream>(*wire_, CallOptions{}, 0);
        peer_ = cluster_.stream(++streams_);
        guards_.resume(*stream_);
    }
    static std::string key(std::size_t i) { return fmt::format("v1/test/k{:03}", i); }
    /// Those with a watch of their own, and some that share one: their revisions are from 1000 on.
    void guard_many(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i)
            guards_.guard(key(i), 1000 + static_cast<std::int64_t>(i));
    }
    std::vector<WatchTarget> created() { return peer_->created(0); }
    WatchTarget last() { return created().back(); }
    void say(std::int64_t id, std::vector<WatchChange> changes, bool fragment = false) {
        WatchMessage message{
            .header = {1, 1, 5000, 1},
            .id = id,
            .fragment = fragment,
            .changes = std::move(changes),
        };
        EXPECT_TRUE(guards_.handle(message));
    }
    void cancel(std::int64_t id, std::int64_t compacted, std::string reason) {
        WatchMessage message{
            .id = id,
            .cancelled = true,
            .compact_revision = compacted,
            .cancel_reason = std::move(reason),
        };
        EXPECT_TRUE(guards_.handle(message));
    }
    Told told() { return std::exchange(told_, {}); }

    FakeCluster cluster_{[](const auto&, const auto&, const auto&) {
        return std::optional<test::AnyReply>{};
    }};
    std::unique_ptr<Wire> wire_;
    std::unique_ptr<WatchStream> stream_;
    std::shared_ptr<FakeWatch> peer_;
    std::size_t streams_ = 0;
    Told told_;
    std::int64_t last_id_ = 0;
    KeyGuards guards_{
        [this](const std::string& name, std::optional<std::int64_t> lease) {
            told_.push_back(name + " " + (lease ? fmt::to_string(*lease) : "gone"));
        },
        [this] { return ++last_id_; }
    };
};

TEST_F(EtcdKeyGuards, TheFirstHaveAWatchEachAndTheOthersOneForTheirBucket) {
    connect();
    guard_many(most_single + 40);
    guards_.guard("v1/other/k", 2000);
    const auto targets = created();
    ASSERT_EQ(targets.size(), most_single + 2);
    EXPECT_EQ(targets[0].key, key(0));
    EXPECT_EQ(targets[0].range_end, "");
    EXPECT_EQ(targets[0].start_revision, 1001);
    EXPECT_EQ(targets[most_single].key, "v1/test/");
    EXPECT_EQ(targets[most_single].range_end, "v1/test0");
    EXPECT_EQ(targets[most_single].start_revision, 1001 + static_cast<int>(most_single));
    EXPECT_EQ(targets[most_single + 1].key, "v1/other/");
    say(targets[3].id, {removed(key(3), 2001)});
    EXPECT_EQ(told(), Told{key(3) + " gone"});
    say(targets[3].id, {written(key(3), 2002, 0)});
    EXPECT_EQ(told(), Told{key(3) + " 0"}) << "there, under no lease";
}

TEST_F(EtcdKeyGuards, OfABucketOnlyWhatIsGuardedIsTold) {
    connect();
    guard_many(most_single + 2);
    const auto shared = last().id;
    say(shared,
        {removed(key(0), 2000),  // has a watch of its own
         written("v1/test/of-others", 2001, 7),
         written(key(most_single), 2002, 7),
         removed(key(most_single + 1), 2003)});
    EXPECT_EQ(told(), (Told{key(most_single) + " 7", key(most_single + 1) + " gone"}));
    guards_.unguard(key(most_single));
    say(shared, {removed(key(most_single), 2004)});
    EXPECT_EQ(told(), Told{});
    EXPECT_TRUE(peer_->dropped().empty());
    guards_.unguard(key(most_single + 1));
    EXPECT_EQ(peer_->dropped(), std::vector{shared}) << "nobody needs it any more";
    WatchMessage late{.id = shared, .changes = {removed(key(most_single + 1), 2005)}};
    EXPECT_FALSE(guards_.handle(late));
    // Whose place is free is watched alone again.
    guards_.unguard(key(5));
    guards_.guard("v1/test/new", 2006);
    EXPECT_EQ(last().key, "v1/test/new");
}

/// Others may be faster than the answer to our own write.
TEST_F(EtcdKeyGuards, WhatHappenedBeforeAKeyWasGuardedIsToldAndNothingTwice) {
    connect();
    guard_many(most_single + 1);
    const auto first = last().id;
    say(first,
        {removed(key(most_single), 2000),
         written("v1/test/late", 2001, 1),
         removed("v1/test/late", 2002)});
    EXPECT_EQ(told(), Told{key(most_single) + " gone"});
    guards_.guard("v1/test/late", 2001);
    const auto again = last();
    EXPECT_EQ(peer_->dropped(), std::vector{first});
    EXPECT_NE(again.id, first);
    EXPECT_EQ(again.start_revision, 2002);
    say(again.id, {removed("v1/test/late", 2002), written(key(most_single), 2003, 4)});
    EXPECT_EQ(told(), (Told{"v1/test/late gone", key(most_single) + " 4"}));
    // It has seen everything since: no need to go back.
    guards_.guard("v1/test/next", 2003);
    EXPECT_EQ(last().id, again.id);
    // Further back than any: what is told again is told once.
    guards_.guard("v1/test/old", 1500);
    say(last().id, {removed(key(most_single), 2000), written(key(most_single), 2003, 4)});
    EXPECT_EQ(told(), Told{});
}

TEST_F(EtcdKeyGuards, AStreamThatBreaksOffIsResumedWhereItWas) {
    connect();
    guard_many(most_single + 2);
    const auto shared = last().id;
    say(shared, {removed(key(most_single), 2000)});
    say(shared, {removed(key(most_single), 2001)}, true);
    EXPECT_EQ(told(), Told{key(most_single) + " gone"}) << "the rest of it may be lost";
    connect();
    EXPECT_EQ(created().size(), most_single + 1);
    const auto targets = created();
    const auto resumed = std::ranges::find(targets, "v1/test/", &WatchTarget::key);
    ASSERT_NE(resumed, targets.end());
    EXPECT_EQ(resumed->start_revision, 2001);
    say(resumed->id, {removed(key(most_single), 2001)}, true);
    say(resumed->id, {removed(key(most_single + 1), 2001)});
    EXPECT_EQ(told(), (Told{key(most_single) + " gone", key(most_single + 1) + " gone"}));
    say(resumed->id, {});  // a sign of life, at revision 5000
    connect();
    const auto later = created();
    EXPECT_EQ(std::ranges::find(later, "v1/test/", &WatchTarget::key)->start_revision, 5001);
}

TEST_F(EtcdKeyGuards, OfAnotherStoreOnlyWhatWasWrittenThereIsWatched) {
    connect();
    guard_many(most_single + 2);
    const auto old = last().id;
    guards_.forget();
    say(old, {removed(key(most_single), 2000)});
    EXPECT_EQ(told(), Told{}) << "it is about the old one";
    connect();
    EXPECT_TRUE(created().empty());
    guards_.guard(key(most_single + 1), 12);
    EXPECT_EQ(last().start_revision, 13);
    guards_.guard(key(most_single), 10);
    EXPECT_EQ(last().start_revision, 11);
    say(last().id, {removed(key(most_single), 11), removed(key(most_single + 1), 14)});
    EXPECT_EQ(told(), (Told{key(most_single) + " gone", key(most_single + 1) + " gone"}));
}

TEST_F(EtcdKeyGuards, WhereTheHistoryIsGoneEveryKeyMayHaveChanged) {
    connect();
    guard_many(most_single + 2);
    cancel(last().id, 4000, "compacted");
    EXPECT_EQ(told(), (Told{key(most_single) + " gone", key(most_single + 1) + " gone"}));
    EXPECT_EQ(last().start_revision, 4000);
    cancel(created().front().id, 4000, "compacted");
    EXPECT_EQ(told(), Told{key(0) + " gone"});
}

TEST_F(EtcdKeyGuards, ABucketThatMayNotBeReadIsLeftToRenewals) {
    connect();
    guard_many(most_single + 2);
    cancel(last().id, 0, "etcdserver: permission denied");
    EXPECT_EQ(told(), Told{});
    connect();
    EXPECT_EQ(created().size(), most_single);
    EXPECT_THROW(cancel(created().front().id, 0, "no more of it"), Error);
}

}  // namespace
}  // namespace stator::store::etcd
