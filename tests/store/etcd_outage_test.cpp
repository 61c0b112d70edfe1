// What an outage of etcd does to leases, keys and watches: nothing that lasts.
#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "tests/store/etcd_fixture.hpp"

namespace stator::store {
namespace {

using test::describe;
using test::next_description;
using test::next_event;
using test::Party;
using test::quick;
using test::require;
using test::until_known;
using testing::EtcdCluster;
using testing::EtcdServer;
using namespace std::chrono_literals;
using Store = test::EtcdStorePtr;

/// The state, once it is `wanted`, even if it was that before.
Task<> reach(Lease lease, LeaseState wanted) {
    for (auto state = lease.state(); state != wanted;)
        state = co_await with_deadline(Deadline::in(test::patience), lease.wait_for_change(state));
}

/// It may be over before anybody could have seen the state.
Task<> recovered(Lease lease) {
    for (auto seen = lease.version(); lease.recoveries() == 0; seen = lease.version())
        co_await with_deadline(Deadline::in(test::patience), lease.wait_past(seen));
}

/// What a party does before something happens, and what must be so afterwards.
struct Worker {
    Lease lease;
    Watch watch;
};

Task<Worker> begin(Store store, int keys) {
    auto lease = co_await store->grant_lease({});
    for (int i = 0; i < keys; ++i)
        co_await store->put("v1/test/k" + std::to_string(i), "mine", lease);
    auto watch = co_await store->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&watch), "=" + std::to_string(keys));
    co_return Worker{std::move(lease), std::move(watch)};
}

Task<std::size_t> count(Store store) { co_return (co_await store->list("v1/test/")).size(); }

/// Begun while the server is down, it ends when it is back.
Task<> put_in_the_end(Store store, std::string key) {
    const auto until = Deadline::in(test::patience);
    for (;;) {
        const auto done = co_await as_result(store->put(key, "late"));
        if (done) co_return;
        require(!until.passed(), done.error().what());
        EXPECT_EQ(done.error().code(), ErrorCode::unavailable) << done.error().what();
    }
}

TEST(EtcdOutage, AServerThatIsKilledAndStartedAgainCostsNothing) {
    test::RecordingSink sink;
    EtcdServer server;
    Party a{quick({server.url()})};
    Party b{quick({server.url()})};
    auto mine = a.loops().run(begin(a.store(), 3));
    ASSERT_TRUE(mine) << mine.error().what();
    server.kill();
    EXPECT_FALSE(b.loops().run(b.store()->get("v1/test/k0")));
    server.start();
    EXPECT_RUNS(b.loops(), put_in_the_end(b.store(), "v1/test/more"));
    // The next event is the delta: nothing was read anew.
    EXPECT_EQ(a.loops().run(next_description(&mine->watch)), "+v1/test/more");
    EXPECT_RUNS(a.loops(), mine->lease.refresh());
    EXPECT_EQ(mine->lease.state(), LeaseState::alive);
    EXPECT_EQ(sink.counted("store_leases_lost_total"), 0U);
    EXPECT_EQ(a.loops().run(count(a.store())), 4U);
    // One line per party says that etcd is gone, however often was tried.
    EXPECT_LE(sink.warnings("no member of etcd answers"), 2U);
    EXPECT_GE(sink.warnings("no member of etcd answers"), 1U);
}

TEST(EtcdOutage, AServerThatIsPausedIsWaitedFor) {
    EtcdServer server;
    Party a{quick({server.url()})};
    Party b{quick({server.url()})};
    auto mine = a.loops().run(begin(a.store(), 1));
    ASSERT_TRUE(mine) << mine.error().what();
    server.pause();
    const auto begun = std::chrono::steady_clock::now();
    const auto asked = b.loops().run(b.store()->get("v1/test/k0"));
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().detail(), "store.unreachable") << asked.error().what();
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 2s + 1s);
    std::this_thread::sleep_until(begun + 3s);
    server.resume();
    EXPECT_RUNS(b.loops(), put_in_the_end(b.store(), "v1/test/more"));
    EXPECT_EQ(a.loops().run(next_description(&mine->watch)), "+v1/test/more");
    EXPECT_RUNS(a.loops(), reach(mine->lease, LeaseState::alive));
    EXPECT_EQ(a.loops().run(count(a.store())), 2U);
}

/// The holder of the lease is held up longer than it lives.
TEST(EtcdOutage, ALeaseThatRanOutIsReplacedAndItsKeysComeBack) {
    test::RecordingSink sink;
    EtcdServer server;
    auto options = quick({server.url()});
    options.lease_ttl = 1s;
    Party a{options};
    Party b{quick({server.url()})};
    auto mine = a.loops().run(begin(a.store(), 2));
    ASSERT_TRUE(mine) << mine.error().what();
    auto others = b.loops().run(b.store()->watch("v1/test/"));
    ASSERT_TRUE(others);
    EXPECT_EQ(b.loops().run(next_description(&*others)), "=2");
    const auto before = a.loops().run(a.store()->server_lease(mine->lease)).value_or(0);
    {
        const test::BlockedLoop held{a.loops().secondary()};
        EXPECT_EQ(b.loops().run(next_description(&*others)), "-v1/test/k0");
        EXPECT_EQ(b.loops().run(next_description(&*others)), "-v1/test/k1");
    }
    EXPECT_EQ(b.loops().run(next_description(&*others)).value_or("").substr(0, 9), "+v1/test/");
    EXPECT_EQ(b.loops().run(next_description(&*others)).value_or("").substr(0, 9), "+v1/test/");
    EXPECT_RUNS(a.loops(), reach(mine->lease, LeaseState::alive));
    EXPECT_GE(mine->lease.recoveries(), 1U);
    EXPECT_GE(sink.counted("store_leases_lost_total"), 1U);
    EXPECT_NE(a.loops().run(a.store()->server_lease(mine->lease)).value_or(0), before);
    a.close(Deadline::in(5s));
    EXPECT_EQ(b.loops().run(count(b.store())), 0U);
}

/// Not by its own time either.
Task<> give_up_in_time(Store store, Lease lease) {
    const auto given_up = co_await as_result(with_deadline(Deadline::in(100ms), lease.revoke()));
    EXPECT_FALSE(given_up);
    const auto begun = std::chrono::steady_clock::now();
    co_await store->close(Deadline::in(200ms));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 2s);
}

/// The removal began when nobody knew yet when the store would be closed.
TEST(EtcdOutage, ARemovalThatIsUnderWayDelaysNoClosing) {
    EtcdServer server;
    auto patient = quick({server.url()});
    patient.call_timeout = 10s;
    Party a{patient};
    auto mine = a.loops().run(begin(a.store(), 2));
    ASSERT_TRUE(mine) << mine.error().what();
    server.pause();
    EXPECT_RUNS(a.loops(), give_up_in_time(a.store(), mine->lease));
    server.resume();
}

/// Ends the lease behind its holder's back, after writing one of its keys so that it stays.
Task<> lose(Store holder, Lease lease, EtcdClient other, std::string key, std::string value) {
    const auto id = co_await holder->server_lease(lease);
    co_await other.put(key, value);
    EXPECT_TRUE(co_await other.revoke_lease(id));
    EXPECT_FALSE(co_await other.revoke_lease(id));
    co_await lease.refresh();
}

TEST(EtcdOutage, AKeyThatIsStillThereIsTakenOver) {
    EtcdServer server;
    Party a{quick({server.url()})};
    Party b{quick({server.url()})};
    auto mine = a.loops().run(begin(a.store(), 2));
    ASSERT_TRUE(mine) << mine.error().what();
    EXPECT_RUNS(b.loops(), lose(a.store(), mine->lease, b.store()->client(), "v1/test/k0", "mine"));
    EXPECT_EQ(mine->lease.state(), LeaseState::alive);
    const auto id = a.loops().run(a.store()->server_lease(mine->lease));
    for (const auto* key : {"v1/test/k0", "v1/test/k1"}) {
        const auto entry = b.loops().run(b.store()->client().get(key));
        ASSERT_TRUE(entry && *entry) << key;
        EXPECT_EQ((*entry)->lease, *id) << key;
    }
}

TEST(EtcdOutage, AKeyThatOthersHaveWrittenSinceIsLeftToThem) {
    test::RecordingSink sink;
    EtcdServer server;
    Party a{quick({server.url()})};
    Party b{quick({server.url()})};
    auto mine = a.loops().run(begin(a.store(), 2));
    ASSERT_TRUE(mine) << mine.error().what();
    EXPECT_RUNS(
        b.loops(), lose(a.store(), mine->lease, b.store()->client(), "v1/test/k0", "theirs")
    );
    EXPECT_EQ(b.loops().run(b.store()->get("v1/test/k0")).value().value().value, "theirs");
    EXPECT_EQ(b.loops().run(b.store()->get("v1/test/k1")).value().value().value, "mine");
    EXPECT_EQ(sink.warnings("somebody else's"), 1U);
    a.close(Deadline::in(5s));
    EXPECT_EQ(b.loops().run(count(b.store())), 1U);
}

Task<std::int64_t> changes_of(EtcdClient client, std::string key) {
    co_return (co_await client.get(std::move(key))).value_or(EtcdEntry{}).version;
}

TEST(EtcdOutage, OfTwoThatKeepAKeyWithOneValueNobodyTakesItBack) {
    test::RecordingSink sink;
    EtcdServer server;
    Party a{quick({server.url()})};
    Party b{quick({server.url()})};
    EXPECT_RUNS(a.loops(), a.store()->put("v1/test/k", "yes"));
    EXPECT_RUNS(b.loops(), b.store()->put("v1/test/k", "yes"));
    for (const auto until = Deadline::in(test::patience);
         sink.warnings("somebody else's") == 0 && !until.passed();)
        std::this_thread::sleep_for(10ms);
    EXPECT_EQ(sink.warnings("somebody else's"), 1U);
    EXPECT_EQ(b.loops().run(changes_of(b.store()->client(), "v1/test/k")), 2);
    b.close(Deadline::in(5s));
    auto watch = a.loops().run(a.store()->watch("v1/test/"));
    ASSERT_TRUE(watch) << watch.error().what();
    EXPECT_EQ(a.loops().run(until_known(&*watch, "v1/test/k")), 1U) << "it is the first's again";
}

/// Of the write that finds the lease gone, the caller sees nothing.
Task<> write_under_lost(Store holder, Lease lease, EtcdClient other) {
    co_await other.revoke_lease(co_await holder->server_lease(lease));
    co_await holder->put("v1/test/after", "mine", lease);
    EXPECT_EQ((co_await holder->list("v1/test/")).size(), 2U);
}

TEST(EtcdOutage, AWriteThatFindsItsLeaseGoneRecoversIt) {
    EtcdServer server;
    Party a{quick({server.url()})};
    auto mine = a.loops().run(begin(a.store(), 1));
    ASSERT_TRUE(mine) << mine.error().what();
    EXPECT_RUNS(a.loops(), write_under_lost(a.store(), mine->lease, a.store()->client()));
    EXPECT_EQ(mine->lease.state(), LeaseState::alive);
    EXPECT_EQ(mine->lease.recoveries(), 1U);
}

/// That nobody publishes again.
Task<> put_three(EtcdClient client) {
    for (const auto* key : {"v1/test/k0", "v1/test/k1", "v1/test/k2"})
        co_await client.put(key, "nobody's");
}

Task<> change_and_forget(Store store, EtcdClient client) {
    co_await test::until_reachable(client);
    co_await client.remove("v1/test/k0");
    const auto last = co_await client.put("v1/test/new", "1");
    co_await client.put("v1/test/new", "2");
    co_await client.compact(last.mod_revision + 1);
    EXPECT_EQ((co_await store->list("v1/test/")).size(), 3U);
}

TEST(EtcdOutage, AWatcherThatMissedACompactionGetsASnapshot) {
    test::RecordingSink sink;
    EtcdServer server;
    Party a{quick({server.url()})};
    Party b{quick({server.url()})};
    EXPECT_RUNS(b.loops(), put_three(b.store()->client()));
    auto watch = a.loops().run(a.store()->watch("v1/test/"));
    ASSERT_TRUE(watch) << watch.error().what();
    EXPECT_EQ(a.loops().run(next_description(&*watch)), "=3");
    {
        const test::BlockedLoop away{a.loops().secondary()};
        server.kill();
        server.start();
        EXPECT_RUNS(b.loops(), change_and_forget(b.store(), b.store()->client()));
    }
    EXPECT_EQ(a.loops().run(next_description(&*watch)), "=3");
    EXPECT_EQ(sink.counted("store_replaced_total"), 0U);
    EXPECT_GE(sink.counted("store_watch_compactions_total"), 1U);
}

/// What was written last is what comes back, whatever the revisions of the store before.
Task<> change_and_lose(Store holder, Lease lease) {
    co_await holder->put("v1/test/k0", "changed", lease);
    const auto client = holder->client();
    co_await client.revoke_lease(co_await holder->server_lease(lease));
    co_await lease.refresh();
    const auto entry = co_await holder->get("v1/test/k0");
    EXPECT_EQ(entry.value_or(Entry{}).value, "changed");
}

TEST(EtcdOutage, AWipedStoreIsNoticedAndFilledAgain) {
    test::RecordingSink sink;
    EtcdServer server;
    Party a{quick({server.url()})};
    Party b{quick({server.url()})};
    auto mine = a.loops().run(begin(a.store(), 5));
    ASSERT_TRUE(mine) << mine.error().what();
    auto watch = b.loops().run(b.store()->watch("v1/test/"));
    ASSERT_TRUE(watch) << watch.error().what();
    EXPECT_EQ(b.loops().run(next_description(&*watch)), "=5");
    server.kill();
    server.wipe();
    server.start();
    // Long before the lease would have been renewed, and by nobody's help.
    EXPECT_RUNS(a.loops(), recovered(mine->lease));
    EXPECT_RUNS(a.loops(), reach(mine->lease, LeaseState::alive));
    EXPECT_EQ(b.loops().run(count(b.store())), 5U);
    // Both watches are of the new store.
    EXPECT_RUNS(a.loops(), a.store()->put("v1/test/new", "1", mine->lease));
    EXPECT_EQ(b.loops().run(until_known(&*watch, "v1/test/new")).value_or(0), 6U);
    EXPECT_EQ(a.loops().run(until_known(&mine->watch, "v1/test/new")).value_or(0), 6U);
    EXPECT_EQ(sink.warnings("wiped or restored"), 2U);
    EXPECT_RUNS(a.loops(), change_and_lose(a.store(), mine->lease));
}

TEST(EtcdOutage, AKeyThatOthersRemoveIsThereAgainAtOnce) {
    EtcdServer server;
    Party a{quick({server.url()})};  // its lease is renewed after 15 s
    Party b{quick({server.url()})};
    auto mine = a.loops().run(begin(a.store(), 2));
    ASSERT_TRUE(mine) << mine.error().what();
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_RUNS(b.loops(), b.store()->client().remove("v1/test/k0"));
    EXPECT_EQ(a.loops().run(next_description(&mine->watch)), "-v1/test/k0");
    EXPECT_EQ(a.loops().run(next_description(&mine->watch)), "+v1/test/k0");
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
    EXPECT_RUNS(a.loops(), reach(mine->lease, LeaseState::alive));
}

/// All of these, so that the watch of `party` has seen each go and come.
Task<> until_back(Watch* watch, std::set<std::string> removed) {
    auto back = removed;
    while (!removed.empty() || !back.empty()) {
        const auto event = co_await next_event(watch);
        require(event.kind != WatchEvent::Kind::snapshot, "changes, not a new beginning");
        if (event.kind == WatchEvent::Kind::removed) {
            removed.erase(event.entry.key);
        } else if (!removed.contains(event.entry.key)) {
            back.erase(event.entry.key);
        }
    }
}

Task<> remove_all(EtcdClient client, std::set<std::string> keys) {
    for (const auto& key : keys) co_await client.remove(key);
}

TEST(EtcdOutage, OfHundredsOfKeysEachThatOthersRemoveIsThereAgainAtOnce) {
    EtcdServer server;
    Party a{quick({server.url()})};  // its lease is renewed after 15 s
    Party b{quick({server.url()})};
    auto mine = a.loops().run(begin(a.store(), 300));
    ASSERT_TRUE(mine) << mine.error().what();
    const auto begun = std::chrono::steady_clock::now();
    for (const std::set<std::string>& keys :
         {std::set<std::string>{"v1/test/k299"},
          {"v1/test/k256"},
          {"v1/test/k0", "v1/test/k255", "v1/test/k298"}}) {
        EXPECT_RUNS(b.loops(), remove_all(b.store()->client(), keys));
        EXPECT_RUNS(a.loops(), until_back(&mine->watch, keys));
    }
    // Others write over one; and what is ours no more is not missed.
    EXPECT_RUNS(b.loops(), b.store()->put("v1/test/k290", "theirs"));
    EXPECT_RUNS(a.loops(), [](Lease lease) -> Task<> {
        for (auto seen = lease.version(); !lease.lost("v1/test/k290"); seen = lease.version())
            co_await with_deadline(Deadline::in(test::patience), lease.wait_past(seen));
    }(mine->lease));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 10s);
    EXPECT_EQ(b.loops().run(count(b.store())), 300U);
}

Task<std::uint64_t> leader_of(EtcdClient client) {
    const auto status = co_await client.status();
    co_return status.leader;
}

/// The member whose id is `id`, by asking each.
std::size_t index_of(EtcdCluster& cluster, std::uint64_t id) {
    for (std::size_t i = 0; i < cluster.size(); ++i) {
        Party direct{quick({cluster[i].url()})};
        const auto status = direct.loops().run(direct.store()->client().status());
        if (status && status->member_id == id) return i;
    }
    return cluster.size();
}

Task<> put_through(Store store, Lease lease, int from, int to) {
    for (int i = from; i < to; ++i)
        co_await store->put("v1/test/during/" + std::to_string(i), "x", lease);
}

TEST(EtcdOutage, TheLeaderOfThreeIsKilledAndNoCallFails) {
    test::RecordingSink sink;
    EtcdCluster cluster{3};
    auto options = quick(cluster.urls());
    options.call_timeout = 10s;
    Party a{options};
    std::rotate(options.endpoints.begin(), options.endpoints.begin() + 1, options.endpoints.end());
    Party b{options};
    auto mine = a.loops().run(begin(a.store(), 3));
    ASSERT_TRUE(mine) << mine.error().what();
    auto watch = b.loops().run(b.store()->watch("v1/test/"));
    ASSERT_TRUE(watch) << watch.error().what();
    EXPECT_EQ(b.loops().run(next_description(&*watch)), "=3");
    const auto leader = a.loops().run(leader_of(a.store()->client()));
    ASSERT_TRUE(leader) << leader.error().what();
    const auto at = index_of(cluster, *leader);
    ASSERT_LT(at, cluster.size());
    cluster[at].kill();
    EXPECT_RUNS(a.loops(), put_through(a.store(), mine->lease, 0, 20));
    EXPECT_RUNS(a.loops(), mine->lease.refresh());
    EXPECT_EQ(mine->lease.recoveries(), 0U);
    // Each one once and in order: nothing was missed, nothing told twice.
    for (int i = 0; i < 20; ++i) {
        const auto event = b.loops().run(next_description(&*watch));
        EXPECT_EQ(event, "+v1/test/during/" + std::to_string(i));
    }
    EXPECT_EQ(sink.counted("store_replaced_total"), 0U);
}

}  // namespace
}  // namespace stator::store
