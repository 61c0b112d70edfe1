// What partitions, slow members and wiped stores do to locks, elections, barriers and caches over
// etcd. docs/consistency.md says the same in words.
#include <optional>

#include "stator/runtime/token_wait.hpp"
#include "stator/store/election.hpp"
#include "stator/store/group_barrier.hpp"
#include "stator/store/kv_cache.hpp"
#include "stator/store/lock.hpp"
#include "stator/store/publish.hpp"
#include "tests/store/etcd_fixture.hpp"

namespace stator::store {
namespace {

using test::error_of;
using test::Party;
using test::quick;
using test::require;
using testing::EtcdCluster;
using testing::EtcdServer;
using namespace std::chrono_literals;
using Store = test::EtcdStorePtr;

// A new leader takes a second or two, more on a busy machine: well within it.
constexpr Duration ttl = 6s;

/// A party that reaches one member only, so that it is cut off when that one is.
EtcdOptions only(EtcdServer& member) {
    auto options = quick({member.url()});
    options.lease_ttl = ttl;
    return options;
}

EtcdOptions others_than(EtcdCluster& cluster, std::size_t cut_off) {
    std::vector<std::string> urls;
    for (std::size_t i = 0; i < cluster.size(); ++i) {
        if (i != cut_off) urls.push_back(cluster[i].url());
    }
    auto options = quick(std::move(urls));
    options.call_timeout = 10s;
    options.lease_ttl = ttl;
    return options;
}

Task<Lock> acquire(Store store) {
    co_return co_await Lock::acquire(store, "l", {.deadline = Deadline::in(test::patience)});
}

Task<> until_there(Store store, std::string key) {
    const auto until = Deadline::in(test::patience);
    while (!co_await store->get(key)) {
        require(!until.passed(), "nobody has written " + key);
        co_await sleep_for(10ms);
    }
}

Task<> until_cancelled(CancellationToken token) {
    co_await with_deadline(Deadline::in(test::patience), [](CancellationToken of) -> Task<> {
        co_await of.wait();
    }(token));
}

Task<Leadership> stand(Store store, std::string value) {
    co_return co_await with_deadline(
        Deadline::in(test::patience), campaign(store, "e", std::move(value))
    );
}

Task<std::string> next_leader(LeaderWatch* watch, Duration within) {
    const auto leader = co_await with_deadline(Deadline::in(within), watch->next());
    co_return leader ? leader->value : "nobody";
}

using Cache = KvCache<std::int64_t>;

/// What a party had before it was cut off.
struct Before {
    Lock lock;
    Leadership leadership;
    LeaderWatch observer;
    std::shared_ptr<Cache> cache;
};

Task<Before> begin(Store store) {
    auto lock = co_await acquire(store);
    auto leadership = co_await stand(store, "old");
    auto observer = co_await LeaderWatch::open(store, "e");
    EXPECT_EQ(co_await next_leader(&observer, test::patience), "old");
    auto cache = co_await Cache::open(
        store, "v1/test/c/", {.initial = {{"x", 1}}, .show_within = Duration{1s}}
    );
    co_return Before{std::move(lock), std::move(leadership), std::move(observer), std::move(cache)};
}

TEST(EtcdToolsOutage, WhoIsCutOffLosesLocksBeforeOthersGetThemAndReadsOldValues) {
    test::RecordingSink sink;
    EtcdCluster cluster{3};
    Party lonely{only(cluster[0])};
    Party other{others_than(cluster, 0)};
    auto before = lonely.loops().run(begin(lonely.store()));
    ASSERT_TRUE(before) << before.error().what();
    cluster[0].pause();
    auto fresh = other.loops().run(acquire(other.store()));
    ASSERT_TRUE(fresh) << fresh.error().what();
    EXPECT_FALSE(before->lock.held()) << "two held it at a time";
    EXPECT_TRUE(before->lock.token().cancelled()) << "it was told in time";
    EXPECT_EQ(before->lock.token().reason(), CancelReason::peer_gone);
    EXPECT_GT(fresh->fencing_token(), before->lock.fencing_token());
    auto elected = other.loops().run(stand(other.store(), "new"));
    ASSERT_TRUE(elected) << elected.error().what();
    EXPECT_FALSE(before->leadership.leads());
    // What it sees is from before; what it writes is refused.
    EXPECT_FALSE(lonely.loops().run(next_leader(&before->observer, 100ms)));
    EXPECT_EQ(*before->cache->find("x"), 1);
    EXPECT_RUNS(other.loops(), other.store()->put("v1/test/c/x", "2"));
    EXPECT_EQ(*before->cache->find("x"), 1);
    EXPECT_EQ(
        lonely.loops().run(error_of(before->cache->put("x", 3))).value(),
        "unavailable store.unreachable"
    );
    cluster[0].resume();
    // The partition heals: it sees the present.
    EXPECT_RUNS(lonely.loops(), [](Before* of) -> Task<> {
        while (co_await next_leader(&of->observer, test::patience) != "new") continue;
        for (auto seen = of->cache->all();
             of->cache->find("x") == nullptr || *of->cache->find("x") != 2;)
            seen = co_await with_deadline(
                Deadline::in(test::patience), of->cache->changed(seen.version)
            );
        co_await of->cache->close();
    }(&*before));
    EXPECT_TRUE(fresh->held());
}

Task<Lock> share(Store store) {
    co_return co_await Lock::acquire(
        store, "l", {.deadline = Deadline::in(test::patience), .mode = LockMode::shared}
    );
}

TEST(EtcdToolsOutage, AReaderThatIsCutOffIsOutBeforeAWriterIsIn) {
    test::RecordingSink sink;
    EtcdCluster cluster{3};
    Party lonely{only(cluster[0])};
    Party other{others_than(cluster, 0)};
    auto cut_off = lonely.loops().run(share(lonely.store()));
    ASSERT_TRUE(cut_off) << cut_off.error().what();
    auto stays = other.loops().run(share(other.store()));
    ASSERT_TRUE(stays) << stays.error().what();
    EXPECT_TRUE(cut_off->held());
    cluster[0].pause();
    EXPECT_RUNS(other.loops(), until_cancelled(cut_off->token()));
    EXPECT_EQ(cut_off->token().reason(), CancelReason::peer_gone);
    EXPECT_TRUE(stays->held());
    EXPECT_RUNS(other.loops(), stays->release());
    auto writer = other.loops().run(acquire(other.store()));
    ASSERT_TRUE(writer) << writer.error().what();
    EXPECT_FALSE(cut_off->held());
    EXPECT_GT(writer->fencing_token(), stays->fencing_token());
    cluster[0].resume();
    // It is back, and waits for its turn.
    EXPECT_RUNS(other.loops(), writer->release());
    auto again = lonely.loops().run(share(lonely.store()));
    ASSERT_TRUE(again) << again.error().what();
    EXPECT_GT(again->fencing_token(), writer->fencing_token());
}

TEST(EtcdToolsOutage, WithoutAMajorityNothingIsWrittenReadOrLocked) {
    test::RecordingSink sink;
    EtcdCluster cluster{3};
    Party party{only(cluster[0])};
    auto lock = party.loops().run(acquire(party.store()));
    ASSERT_TRUE(lock) << lock.error().what();
    cluster[1].kill();
    cluster[2].kill();
    auto code_of = [&](Task<std::string> task) {
        return party.loops().run(std::move(task)).value().substr(0, 12);
    };
    EXPECT_EQ(code_of(error_of(party.store()->put("v1/test/k", "1"))), "unavailable ");
    EXPECT_EQ(code_of(error_of(party.store()->get("v1/test/k"))), "unavailable ");
    EXPECT_EQ(code_of(error_of(Lock::acquire(party.store(), "l2"))), "unavailable ");
    EXPECT_RUNS(party.loops(), until_cancelled(lock->token()));
    cluster[1].start();
    auto again = party.loops().run([](Store store) -> Task<Lock> {
        co_await test::until_reachable(store->client());
        co_return co_await acquire(store);
    }(party.store()));
    ASSERT_TRUE(again) << again.error().what();
    EXPECT_GT(again->fencing_token(), lock->fencing_token());
}

TEST(EtcdToolsOutage, ALeaderOfTheClusterThatDiesCostsNoLock) {
    test::RecordingSink sink;
    EtcdCluster cluster{3};
    auto options = quick(cluster.urls());
    options.lease_ttl = ttl;
    Party a{options};
    Party b{options};
    auto lock = a.loops().run(acquire(a.store()));
    ASSERT_TRUE(lock) << lock.error().what();
    TaskScope scope;
    std::optional<Lock> next;
    scope.spawn_on(b.loops().primary(), [](Store store, std::optional<Lock>* place) -> Task<> {
        place->emplace(co_await acquire(store));
    }(b.store(), &next));
    const auto leader = a.loops().run([](EtcdClient client) -> Task<std::uint64_t> {
        co_return (co_await client.status()).leader;
    }(a.store()->client()));
    ASSERT_TRUE(leader) << leader.error().what();
    for (std::size_t i = 0; i < cluster.size(); ++i) {
        Party direct{only(cluster[i])};
        const auto status = direct.loops().run(direct.store()->client().status());
        if (status && status->member_id == *leader) {
            direct.close(Deadline::in(5s));
            cluster[i].kill();
            break;
        }
    }
    std::this_thread::sleep_for(ttl + 500ms);
    EXPECT_TRUE(lock->held()) << "it was renewed at another member";
    EXPECT_FALSE(next.has_value());
    EXPECT_RUNS(a.loops(), lock->release());
    EXPECT_RUNS(b.loops(), scope.join());
    EXPECT_TRUE(next.has_value() && next->held());
    EXPECT_EQ(sink.counted("store_sessions_lost_total"), 0U);
}

/// The member that the cluster's leader is.
std::size_t leader_of(EtcdCluster& cluster) {
    for (std::size_t i = 0; i < cluster.size(); ++i) {
        Party direct{only(cluster[i])};
        const auto status = direct.loops().run(direct.store()->client().status());
        if (status && status->member_id == status->leader) return i;
    }
    return 0;
}

TEST(EtcdToolsOutage, AMemberThatHangsCostsNoLockOfAShortTtl) {
    test::RecordingSink sink;
    EtcdCluster cluster{3};
    // Not the leader: what is looked at is who is asked, not how long an election takes.
    const auto first = (leader_of(cluster) + 1) % cluster.size();
    auto options = quick({cluster[first].url()});
    for (std::size_t i = 0; i < cluster.size(); ++i) {
        if (i != first) options.endpoints.push_back(cluster[i].url());
    }
    options.lease_ttl = 4s;  // a renewal's attempts are shorter than what a member may take
    Party party{options};
    auto lock = party.loops().run(acquire(party.store()));
    ASSERT_TRUE(lock) << lock.error().what();
    std::this_thread::sleep_for(500ms);  // nothing is asked for now but renewals
    cluster[first].pause();
    std::this_thread::sleep_for(options.lease_ttl + 500ms);
    EXPECT_TRUE(lock->held()) << "a majority was there";
    EXPECT_RUNS(party.loops(), lock->release());
    EXPECT_EQ(sink.counted("store_sessions_lost_total"), 0U);
}

TEST(EtcdToolsOutage, AServerThatIsSlowOrStartedAgainWithinTheTtlCostsNoLock) {
    test::RecordingSink sink;
    EtcdServer server;
    Party party{only(server)};
    auto lock = party.loops().run(acquire(party.store()));
    ASSERT_TRUE(lock) << lock.error().what();
    server.pause();
    std::this_thread::sleep_for(500ms);
    server.resume();
    server.kill();
    server.start();
    std::this_thread::sleep_for(ttl);
    EXPECT_TRUE(lock->held());
    EXPECT_RUNS(party.loops(), lock->release());
    EXPECT_EQ(sink.counted("store_sessions_lost_total"), 0U);
}

TEST(EtcdToolsOutage, AWipedStoreTakesLocksAwayAndItsTokensBeginAnew) {
    test::RecordingSink sink;
    EtcdServer server;
    Party party{only(server)};
    for (int i = 0; i < 5; ++i) EXPECT_RUNS(party.loops(), party.store()->put("v1/test/k", "1"));
    auto lock = party.loops().run(acquire(party.store()));
    ASSERT_TRUE(lock) << lock.error().what();
    const auto token = CancellationToken::make();
    TaskScope scope;
    scope.spawn_on(
        party.loops().primary(),
        publish_until_cancelled(party.store(), "v1/test/published", "1", token)
    );
    server.kill();
    server.wipe();
    server.start();
    EXPECT_RUNS(party.loops(), until_cancelled(lock->token()));
    EXPECT_EQ(lock->token().reason(), CancelReason::peer_gone);
    auto again = party.loops().run(acquire(party.store()));
    ASSERT_TRUE(again) << again.error().what();
    EXPECT_LT(again->fencing_token(), lock->fencing_token()) << "what the document warns of";
    // What is published comes back, unlike what a session keeps.
    EXPECT_RUNS(party.loops(), until_there(party.store(), "v1/test/published"));
    token.cancel();
    EXPECT_RUNS(party.loops(), scope.join());
}

/// Long enough for a server that is started again on a busy machine.
BarrierOptions patient() { return {.ttl = 30s, .deadline = Deadline::in(60s)}; }

Task<std::vector<std::string>> lead_two(Store store) {
    co_return co_await lead_barrier(store, "g", 2, "data", patient());
}

Task<> join_as(Store store, std::string worker) {
    EXPECT_EQ(co_await join_barrier(store, "g", std::move(worker), patient()), "data");
}

TEST(EtcdToolsOutage, ABarrierSurvivesAServerThatIsStartedAgain) {
    test::RecordingSink sink;
    EtcdServer server;
    Party leader{only(server)};
    Party early{only(server)};
    Party late{only(server)};
    TaskScope scope;
    const auto led = std::make_shared<std::vector<std::string>>();
    scope.spawn_on(
        leader.loops().primary(),
        [](Store store, std::shared_ptr<std::vector<std::string>> into) -> Task<> {
            *into = co_await lead_two(store);
        }(leader.store(), led)
    );
    scope.spawn_on(early.loops().primary(), join_as(early.store(), "early"));
    EXPECT_RUNS(late.loops(), until_there(late.store(), "v1/barriers/g/worker/early"));
    server.kill();
    server.start();
    EXPECT_RUNS(late.loops(), test::until_reachable(late.store()->client()));
    EXPECT_RUNS(late.loops(), join_as(late.store(), "late"));
    EXPECT_RUNS(late.loops(), scope.join());
    EXPECT_EQ(*led, (std::vector<std::string>{"early", "late"}));
}

}  // namespace
}  // namespace stator::store
