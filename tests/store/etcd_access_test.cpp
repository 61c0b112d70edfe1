// Reaching etcd: who may, with which certificates, how long that may take, and how much there may
// be.
#include <chrono>
#include <functional>

#include "tests/store/etcd_fixture.hpp"
#include "tests/support/certificates.hpp"

namespace stator::store {
namespace {

using test::error_of;
using test::Loops;
using test::next_event;
using test::Party;
using test::quick;
using test::require;
using testing::Authority;
using testing::CertificateFolder;
using testing::EtcdServer;
using testing::free_ports;
using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;
using Store = test::EtcdStorePtr;

/// "code detail" of opening it, and how long that took.
std::pair<std::string, SteadyClock::duration> try_to_open(EtcdOptions options) {
    Loops loops;
    const auto begun = SteadyClock::now();
    const auto outcome =
        loops.run(error_of(test::open_store(&loops.secondary(), std::move(options))));
    return {outcome.value_or("failed"), SteadyClock::now() - begun};
}

std::string nobody() { return "http://127.0.0.1:" + std::to_string(free_ports(1)[0]); }

TEST(EtcdAccess, NobodyThereIsAnErrorWithinTheStartupTime) {
    auto options = quick({nobody(), nobody()});
    options.startup_timeout = 1s;
    const auto [outcome, took] = try_to_open(options);
    EXPECT_EQ(outcome, "unavailable store.unreachable");
    EXPECT_LT(took, 2s);
}

TEST(EtcdAccess, OptionsThatCannotBeRightAreRefusedAtOnce) {
    const auto refused = [](const std::function<void(EtcdOptions&)>& change) {
        auto options = quick({"https://127.0.0.1:1"});
        change(options);
        return try_to_open(options).first == "invalid_request store.options";
    };
    EXPECT_TRUE(refused([](auto& o) { o.endpoints.clear(); }));
    EXPECT_TRUE(refused([](auto& o) { o.endpoints = {"127.0.0.1:2379"}; }));
    EXPECT_TRUE(refused([](auto& o) { o.endpoints = {"http://"}; }));
    EXPECT_TRUE(refused([](auto& o) { o.endpoints = {"http://a:b"}; }));
    EXPECT_TRUE(refused([](auto& o) { o.endpoints = {"http://a:1/v3"}; }));
    EXPECT_TRUE(refused([](auto& o) { o.password = "x"; }));
    EXPECT_TRUE(refused([](auto& o) { o.ca = "/nowhere/ca.pem"; }));
    EXPECT_TRUE(refused([](auto& o) { o.ca = "/etc/hostname"; }));
    EXPECT_TRUE(refused([](auto& o) { o.client_cert = "-----BEGIN CERTIFICATE-----"; }));
    EXPECT_TRUE(refused([](auto& o) { o.lease_ttl = 0s; }));
    // Nothing that was meant to be secret goes out in the clear.
    EXPECT_TRUE(refused([](auto& o) {
        o.endpoints = {"https://a:1", "http://b:1"};
        o.ca = "-----BEGIN CERTIFICATE-----";
    }));
}

TEST(EtcdAccess, AModuleThatIsNotThereOrNoneIsAnError) {
    auto options = quick({nobody()});
    options.module = "/nowhere/stator_etcd.so";
    EXPECT_EQ(try_to_open(options).first, "unimplemented store.module");
    options.module = "libm.so.6";
    EXPECT_EQ(try_to_open(options).first, "unimplemented store.module");
}

TEST(EtcdAccess, AWrongFirstMemberIsPassedOver) {
    const EtcdServer server;
    Party party{quick({nobody(), server.url()})};
    EXPECT_RUNS(party.loops(), party.store()->put("v1/test/k", "1"));
    EXPECT_EQ(
        party.loops().run(party.store()->client().status()).value_or(EtcdStatus{}).endpoint,
        server.url()
    );
    EXPECT_EQ(party.loops().run(party.store()->local_address()).value_or(""), "127.0.0.1");
}

TEST(EtcdAccess, PasswordsAreAskedForAndTokensRenewed) {
    EtcdServer::Options made;
    made.more = {"--auth-token-ttl=1"};
    const EtcdServer server{made};
    auto options = quick({server.url()});
    options.username = "root";
    options.password = "right";
    {
        // Without authentication a name does no harm.
        Party early{options};
        EXPECT_RUNS(early.loops(), early.store()->put("v1/test/early", "1"));
    }
    ASSERT_TRUE(server.control({"user", "add", "root:right"}));
    ASSERT_TRUE(server.control({"user", "grant-role", "root", "root"}));
    ASSERT_TRUE(server.control({"auth", "enable"}));
    Party party{options};
    auto watch = party.loops().run(party.store()->watch("v1/test/"));
    ASSERT_TRUE(watch) << watch.error().what();
    EXPECT_EQ(party.loops().run(test::next_description(&*watch)), "=0");
    EXPECT_RUNS(party.loops(), party.store()->put("v1/test/k", "1"));
    EXPECT_EQ(party.loops().run(test::next_description(&*watch)), "+v1/test/k");
    std::this_thread::sleep_for(2500ms);  // the token's end, which etcd looks for each second
    EXPECT_RUNS(party.loops(), party.store()->put("v1/test/k", "2"));
    EXPECT_EQ(party.loops().run(test::next_description(&*watch)), "+v1/test/k");

    options.password = "wrong";
    const auto [outcome, took] = try_to_open(options);
    EXPECT_EQ(outcome, "unauthenticated store.authentication");
    EXPECT_LT(took, 2s);
    EXPECT_EQ(try_to_open(quick({server.url()})).first, "unauthenticated store.authentication");
}

TEST(EtcdAccess, CertificatesAreShownAndChecked) {
    const CertificateFolder folder;
    const Authority authority{folder, "ca"};
    const Authority stranger{folder, "stranger"};
    const auto server_files = authority.issue("server");
    const auto client_files = authority.issue("client");
    EtcdServer::Options made;
    made.tls = true;
    made.more = {
        "--cert-file=" + server_files.certificate,
        "--key-file=" + server_files.key,
        "--client-cert-auth",
        "--trusted-ca-file=" + authority.file(),
    };
    const EtcdServer server{made};
    auto options = quick({server.url()});
    options.ca = authority.file();
    options.client_cert = client_files.certificate;
    options.client_key = client_files.key;
    {
        Party party{options};
        EXPECT_RUNS(party.loops(), party.store()->put("v1/test/k", "1"));
    }
    auto trusts_others = options;
    trusts_others.ca = stranger.file();
    const auto [outcome, took] = try_to_open(trusts_others);
    EXPECT_EQ(outcome, "unavailable store.tls");
    EXPECT_LT(took, 5s);
    auto shows_nothing = options;
    shows_nothing.client_cert = shows_nothing.client_key = "";
    shows_nothing.startup_timeout = 1s;
    EXPECT_NE(try_to_open(shows_nothing).first, "none");
}

template <class T>
Task<> bounded(std::string_view what, Task<T> call) {
    const auto begun = SteadyClock::now();
    const auto outcome = co_await error_of(std::move(call));
    EXPECT_EQ(outcome, "unavailable store.unreachable") << what;
    EXPECT_LT(SteadyClock::now() - begun, 1500ms) << what;
}

Task<> ask_everything(Store store, Lease lease) {
    const auto client = store->client();
    std::vector<Task<>> calls;
    calls.push_back(bounded("get", store->get("v1/test/k")));
    calls.push_back(bounded("list", store->list("v1/test/")));
    calls.push_back(bounded("put", store->put("v1/test/k", "1", lease)));
    calls.push_back(bounded("create", store->create("v1/test/new", "1", lease)));
    calls.push_back(bounded("remove", store->remove("v1/test/x")));
    calls.push_back(bounded("watch", store->watch("v1/test/")));
    calls.push_back(bounded("grant", store->grant_lease({})));
    calls.push_back(bounded("refresh", lease.refresh()));
    calls.push_back(bounded("status", client.status()));
    calls.push_back(bounded("compact", client.compact(1)));
    calls.push_back(bounded("revoke_lease", client.revoke_lease(1)));
    calls.push_back(bounded("txn", client.txn({.repeatable = true})));
    co_await when_all(std::move(calls));
    EtcdTransaction once;
    once.then = {EtcdOperation::put("v1/test/k", "1")};
    EXPECT_EQ(co_await error_of(client.txn(std::move(once))), "unavailable store.outcome_unknown");
}

TEST(EtcdAccess, EveryCallEndsWhileTheServerDoesNotAnswer) {
    const EtcdServer server;
    auto options = quick({server.url()});
    options.call_timeout = 1s;
    Party party{options};
    auto lease = party.loops().run(party.store()->grant_lease({}));
    ASSERT_TRUE(lease) << lease.error().what();
    server.pause();
    EXPECT_RUNS(party.loops(), ask_everything(party.store(), *lease));
    const auto begun = SteadyClock::now();
    party.close(Deadline::in(1s));
    EXPECT_LT(SteadyClock::now() - begun, 2s);
    server.resume();
}

Task<> transactions(EtcdClient client) {
    const auto created = co_await client.create("any/key", "1");
    require(created.has_value(), "it is created");
    EXPECT_EQ(created->create_revision, created->mod_revision);
    EXPECT_FALSE(co_await client.create("any/key", "2"));
    const auto swapped = co_await client.compare_and_swap("any/key", "2", created->mod_revision);
    require(swapped.has_value(), "it is swapped");
    EXPECT_EQ(swapped->create_revision, created->create_revision);
    EXPECT_EQ(swapped->version, 2);
    EXPECT_FALSE(co_await client.compare_and_swap("any/key", "3", created->mod_revision));
    EtcdTransaction fenced;
    fenced.conditions = {
        EtcdCondition::created_at("any/key", created->create_revision),
        EtcdCondition::holds("any/key", "2"),
        EtcdCondition::kept_by("any/key", 0),
        EtcdCondition::exists("any/key"),
    };
    fenced.then = {EtcdOperation::put("any/other", "x"), EtcdOperation::list("any/")};
    const auto reply = co_await client.txn(std::move(fenced));
    EXPECT_TRUE(reply.succeeded);
    require(reply.results.size() == 2, "two results");
    EXPECT_EQ(reply.results[1].count, 2);
    EXPECT_EQ(co_await client.remove("any/key"), 1);
    EXPECT_EQ(co_await client.remove("any/key"), 0);
    EXPECT_EQ(co_await client.remove_prefix("any/"), 1);
    EXPECT_TRUE((co_await client.list("any/")).entries.empty());
    EXPECT_FALSE(co_await client.get("any/key"));
    EXPECT_EQ(
        co_await error_of(client.put("any/key", std::string(2U << 20U, 'x'))),
        "payload_too_large store.too_large"
    );
}

TEST(EtcdAccess, TheClientDoesTransactions) {
    const EtcdServer server;
    Party party{quick({server.url()})};
    EXPECT_RUNS(party.loops(), transactions(party.store()->client()));
}

Task<> fill(EtcdClient client, int count) {
    for (int from = 0; from < count; from += 100) {
        EtcdTransaction some{.repeatable = true};
        for (int i = from; i < from + 100; ++i)
            some.then.push_back(
                EtcdOperation::put("v1/test/" + std::to_string(i), std::string(300, 'r'))
            );
        co_await client.txn(std::move(some));
    }
}

TEST(EtcdAccess, TenThousandKeysAreASnapshotWithinASecond) {
    const EtcdServer server;
    Party party{quick({server.url()})};
    EXPECT_RUNS(party.loops(), fill(party.store()->client(), 10'000));
    const auto begun = SteadyClock::now();
    auto watch = party.loops().run(party.store()->watch("v1/test/"));
    ASSERT_TRUE(watch) << watch.error().what();
    EXPECT_EQ(party.loops().run(test::next_description(&*watch)), "=10000");
    const auto took = SteadyClock::now() - begun;
    EXPECT_LT(took, 1s);
    RecordProperty(
        "milliseconds",
        static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count())
    );
}

Task<> fill_large(EtcdClient client) {
    for (int i = 0; i < 80; ++i)
        co_await client.put("v1/test/" + std::to_string(i), std::string(1U << 20U, 'r'));
}

/// More than fits into one message.
TEST(EtcdAccess, LargeValuesComeInSmallerPages) {
    const EtcdServer server;
    Party party{quick({server.url()})};
    EXPECT_RUNS(party.loops(), fill_large(party.store()->client()));
    const auto all = party.loops().run(party.store()->list("v1/test/"));
    ASSERT_TRUE(all) << all.error().what();
    EXPECT_EQ(all->size(), 80U);
}

/// Many watchers of one prefix, one watch of etcd.
TEST(EtcdAccess, AHundredWatchersSeeAChangeByOneWatch) {
    const EtcdServer server;
    Party party{quick({server.url()})};
    std::vector<Watch> watches;
    for (int i = 0; i < 100; ++i) {
        auto watch = party.loops().run(party.store()->watch("v1/test/"));
        ASSERT_TRUE(watch) << watch.error().what();
        watches.push_back(std::move(*watch));
        EXPECT_EQ(party.loops().run(test::next_description(&watches.back())), "=0");
    }
    EXPECT_RUNS(party.loops(), party.store()->put("v1/test/k", "1"));
    for (auto& watch : watches)
        EXPECT_EQ(party.loops().run(test::next_description(&watch)), "+v1/test/k");
}

}  // namespace
}  // namespace stator::store
