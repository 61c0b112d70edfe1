// What only the NATS store does: a server that is killed, wiped or held up, buckets of other kinds,
// keys of other tools.
#include <gtest/gtest.h>

#include "stator/nats/client.hpp"
#include "stator/nats/jetstream.hpp"
#include "stator/store/lock.hpp"
#include "tests/store/nats_store_fixture.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/relay.hpp"

namespace stator::store {
namespace {

using test::BlockedLoop;
using test::describe;
using test::error_of;
using test::Loops;
using test::NatsStorePtr;
using test::next_description;
using test::next_event;
using test::require;
using test::store_options;
using test::with_jetstream;
using testing::NatsServer;
using Party = test::NatsParty;
using namespace std::chrono_literals;

/// Follows the watch until its view has the key with that value; empty: until it has it not.
Task<> until_seen(Watch* watch, std::string key, std::string value) {
    std::map<std::string, std::string> view;
    for (;;) {
        const auto event = co_await next_event(watch);
        if (event.kind == WatchEvent::Kind::snapshot) view.clear();
        for (const auto& entry : event.entries) view[entry.key] = entry.value;
        if (event.kind == WatchEvent::Kind::put) view[event.entry.key] = event.entry.value;
        if (event.kind == WatchEvent::Kind::removed) view.erase(event.entry.key);
        const auto found = view.find(key);
        if (value.empty() ? found == view.end() : found != view.end() && found->second == value)
            co_return;
    }
}

Task<> until_state(Lease lease, LeaseState wanted) {
    auto state = lease.state();
    while (state != wanted)
        state = co_await with_deadline(Deadline::in(test::patience), lease.wait_for_change(state));
}

// ---- outages

Task<> before_restart(NatsStorePtr store, Lease* lease, Watch* watch) {
    *lease = co_await store->grant_lease({});
    co_await store->put("v1/test/kept", "1", *lease);
    *watch = co_await store->watch("v1/test/");
    co_await until_seen(watch, "v1/test/kept", "1");
}

Task<> after_restart(NatsStorePtr store, Lease lease, Watch* watch) {
    // Written as soon as the server is there: the call waits for it.
    co_await store->put("v1/test/later", "2");
    co_await until_seen(watch, "v1/test/later", "2");
    EXPECT_EQ((co_await store->get("v1/test/kept")).value_or(Entry{}).value, "1");
    co_await lease.refresh();
    EXPECT_EQ(lease.state(), LeaseState::alive);
}

TEST(NatsStoreOutage, AServerThatIsStartedAgainKeepsKeysAndWatchesGoOn) {
    NatsServer server{with_jetstream()};
    Party party{store_options(server, 5s)};
    Lease lease;
    Watch watch;
    EXPECT_RUNS(party.loops(), before_restart(party.store(), &lease, &watch));
    for (int i = 0; i < 2; ++i) {
        server.kill();
        server.start();
        EXPECT_RUNS(party.loops(), after_restart(party.store(), lease, &watch));
        EXPECT_RUNS(party.loops(), [](NatsStorePtr store) -> Task<> {
            (void)co_await store->remove("v1/test/later");
        }(party.store()));
    }
}

Task<> after_wipe(NatsStorePtr store, Lease lease, Watch* watch) {
    co_await store->put("v1/test/new", "2");
    (void)co_await as_result(lease.refresh());
    co_await until_state(lease, LeaseState::alive);
    EXPECT_EQ((co_await store->get("v1/test/kept")).value_or(Entry{}).value, "1");
    co_await until_seen(watch, "v1/test/kept", "1");
}

TEST(NatsStoreOutage, AWipedServerIsFilledAgain) {
    NatsServer server{with_jetstream()};
    Party party{store_options(server, 2s)};
    Lease lease;
    Watch watch;
    EXPECT_RUNS(party.loops(), before_restart(party.store(), &lease, &watch));
    server.kill();
    server.wipe();
    server.start();
    EXPECT_RUNS(party.loops(), after_wipe(party.store(), lease, &watch));
    EXPECT_GE(lease.recoveries(), 1U);
}

Task<> expect_error_class(NatsStorePtr store, ErrorCode code) {
    const auto outcome = co_await as_result(store->get("v1/test/k"));
    require(!outcome, "the server is gone");
    EXPECT_EQ(outcome.error().code(), code) << outcome.error().what();
}

TEST(NatsStoreOutage, WithoutAServerCallsFailAndClosingWaitsNoLongerThanItMay) {
    NatsServer server{with_jetstream()};
    auto options = store_options(server, 30s);
    options.call_timeout = 2s;
    Party party{std::move(options)};
    ASSERT_TRUE(party.store());
    EXPECT_RUNS(party.loops(), party.store()->put("v1/test/k", "1"));
    server.pause();
    EXPECT_RUNS(party.loops(), expect_error_class(party.store(), ErrorCode::deadline_exceeded));
    const auto begun = Clock::current().now();
    party.close(Deadline::in(500ms));
    EXPECT_LT(Clock::current().now() - begun, 3s);
    server.resume();
}

TEST(NatsStoreOutage, AServerThatIsGoneIsNamedAndClosingIsBounded) {
    NatsServer server{with_jetstream()};
    auto options = store_options(server, 30s);
    options.call_timeout = 2s;
    Party party{std::move(options)};
    ASSERT_TRUE(party.store());
    EXPECT_RUNS(party.loops(), party.store()->put("v1/test/k", "1"));
    server.kill();
    EXPECT_RUNS(party.loops(), [](NatsStorePtr store) -> Task<> {
        const auto outcome = co_await as_result(store->put("v1/test/k", "2"));
        require(!outcome, "the server is gone");
        EXPECT_TRUE(outcome.error().retryable()) << outcome.error().what();
    }(party.store()));
    const auto begun = Clock::current().now();
    party.close(Deadline::in(500ms));
    EXPECT_LT(Clock::current().now() - begun, 3s);
}

// ---- answers that are lost

/// A bucket that somebody else has made; its server soon forgets what it was told once.
Task<> make_bucket(nats::Client client) {
    co_await nats::JetStream{client}.create_stream(
        {.name = "KV_stator",
         .subjects = {"$KV.stator.>"},
         .max_age = 1h,
         .max_per_subject = 1,
         .duplicate_window = 100ms,
         .allow_direct = true},
        Deadline::in(5s)
    );
}

Task<> create_key(NatsStorePtr store, std::string key, std::optional<bool>* created) {
    *created = co_await store->create(key, "1");
}

/// The server has the key, and the one who has written it does not know; it asks again when the
/// server does not know any more who has written it.
Task<> create_with_a_lost_answer(NatsStorePtr store, nats::Client direct, testing::Relay* relay) {
    std::optional<bool> created;
    TaskScope scope;
    relay->swallow(true);
    scope.spawn(create_key(store, "v1/test/mine", &created));
    const nats::JetStream server{direct};
    for (auto end = Deadline::in(5s); !end.passed(); co_await sleep_for(5ms)) {
        if (co_await server.last_of("KV_stator", "$KV.stator.v1.test.mine", end)) break;
    }
    co_await sleep_for(500ms);  // five windows
    relay->swallow(false);
    co_await with_deadline(Deadline::in(10s), scope.join());
    EXPECT_EQ(created, std::optional{true}) << "it is ours";
    EXPECT_FALSE(co_await store->create("v1/test/mine", "2")) << "once";
}

TEST(NatsStoreOutage, AnOwnKeyIsKnownWhenTheServerHasForgottenWhoWroteIt) {
    NatsServer server{with_jetstream()};
    testing::Relay relay{server.port()};
    Loops loops;
    auto direct = loops.run([](Loop* loop, std::string url) -> Task<nats::Client> {
        co_return co_await nats::Client::connect(*loop, {.server = std::move(url)});
    }(&loops.secondary(), server.url()));
    ASSERT_TRUE(direct);
    EXPECT_RUNS(loops, make_bucket(*direct));
    auto options = store_options(server, 0s);
    options.client.server = "nats://127.0.0.1:" + std::to_string(relay.port());
    {
        Party party{std::move(options)};
        ASSERT_TRUE(party.store());
        EXPECT_RUNS(loops, create_with_a_lost_answer(party.store(), *direct, &relay));
    }
    EXPECT_RUNS(loops, direct->close(Deadline::in(5s)));
}

// ---- what runs out

Task<> see_it_go(NatsStorePtr store, Watch* watch) {
    co_await until_seen(watch, "v1/test/held", "");
    EXPECT_FALSE(co_await store->get("v1/test/held"));
    EXPECT_TRUE((co_await store->list("v1/test/")).empty());
}

Task<> watch_it(NatsStorePtr store, Watch* watch) {
    *watch = co_await store->watch("v1/test/");
    co_await until_seen(watch, "v1/test/held", "1");
}

Task<> come_back(NatsStorePtr store, Lease lease, Watch* watch) {
    co_await lease.refresh();
    co_await until_seen(watch, "v1/test/held", "1");
    EXPECT_EQ(lease.state(), LeaseState::alive);
    EXPECT_TRUE(co_await store->get("v1/test/held"));
}

TEST(NatsStoreTime, AKeyWhoseOwnerIsHeldUpRunsOutAndComesBack) {
    NatsServer server{with_jetstream()};
    Party owner{store_options(server, 500ms)};
    Party other{store_options(server, 500ms)};
    Lease lease;
    EXPECT_RUNS(owner.loops(), [](NatsStorePtr store, Lease* made) -> Task<> {
        *made = co_await store->grant_lease({});
        co_await store->put("v1/test/held", "1", *made);
    }(owner.store(), &lease));
    Watch watch;
    EXPECT_RUNS(other.loops(), watch_it(other.store(), &watch));
    {
        const BlockedLoop blocked{owner.loops().secondary()};
        EXPECT_RUNS(other.loops(), see_it_go(other.store(), &watch));
    }
    EXPECT_RUNS(owner.loops(), come_back(owner.store(), lease, &watch));
}

Task<> keep(NatsStorePtr store, Watch* watch) {
    co_await store->put("v1/test/kept", "1");
    const auto before = (co_await store->get("v1/test/kept")).value_or(Entry{});
    *watch = co_await store->watch("v1/test/");
    (void)co_await next_event(watch);
    co_await sleep_for(3s);  // three lives
    EXPECT_EQ((co_await store->get("v1/test/kept")).value_or(Entry{}), before)
        << "that it is written again is no change";
    EXPECT_FALSE(watch->try_next()) << "nor anything to tell";
}

TEST(NatsStoreTime, AKeyThatIsKeptStaysAndItsWatchersHearNothing) {
    NatsServer server{with_jetstream()};
    Party party{store_options(server, 1s)};
    Watch watch;
    EXPECT_RUNS(party.loops(), keep(party.store(), &watch));
}

// ---- the snippet of docs/store-tools.md

Task<> over_nats(Loop* loop, NatsStoreOptions options) {
    auto store = co_await NatsStore::open(*loop, options);
    auto lock = co_await Lock::acquire(store, "rebuild");
    co_await lock.release();
    co_await store->close(Deadline::in(5s));
}

TEST(NatsStoreSnippets, AreWhatTheyPrint) {
    const NatsServer server{with_jetstream()};
    Loops loops;
    EXPECT_RUNS(loops, over_nats(&loops.secondary(), store_options(server, 30s)));
}

// ---- buckets

Task<> lasting(NatsStorePtr store) {
    EXPECT_EQ(store->ttl(), Duration::zero());
    EXPECT_FALSE(store->has_sessions());
    const auto first = co_await store->put_lasting("v1/test/a", "1");
    EXPECT_GT(co_await store->put_lasting("v1/test/a", "2"), first);
    const auto found = (co_await store->get("v1/test/a")).value_or(Entry{});
    EXPECT_EQ(found.value, "2");
    EXPECT_EQ(found.created, first);
    EXPECT_EQ(co_await error_of(store->put("v1/test/b", "1")), "unimplemented store.no_ttl");
    EXPECT_EQ(co_await error_of(store->grant_lease({})), "unimplemented store.no_ttl");
    EXPECT_EQ(co_await error_of(store->open_session({})), "unimplemented store.no_sessions");
    EXPECT_EQ(co_await error_of(store->put_lasting("nonsense", "1")), "invalid_request store.key");
}

Task<> still_there(NatsStorePtr store) {
    EXPECT_EQ((co_await store->list("v1/test/")).size(), 1U);
    EXPECT_TRUE(co_await store->remove("v1/test/a"));
    EXPECT_FALSE(co_await store->remove("v1/test/a"));
    EXPECT_TRUE((co_await store->list("v1/test/")).empty());
}

TEST(NatsStoreBuckets, OneWhoseKeysStayHasNoLeases) {
    NatsServer server{with_jetstream()};
    {
        Party party{store_options(server, 0s)};
        EXPECT_RUNS(party.loops(), lasting(party.store()));
    }
    // What it is counts, not what was asked for.
    Party again{store_options(server, 30s)};
    EXPECT_EQ(again.store()->ttl(), Duration::zero());
    EXPECT_RUNS(again.loops(), still_there(again.store()));
}

Task<std::string> opening(Loop* loop, NatsStoreOptions options) {
    co_return co_await error_of(test::open_nats(loop, std::move(options)));
}

TEST(NatsStoreBuckets, WhatCannotBeIsRefusedByName) {
    const NatsServer server{with_jetstream()};
    Loops loops;
    auto missing = store_options(server, 30s);
    missing.create = false;
    EXPECT_EQ(
        loops.run(opening(&loops.secondary(), missing)).value_or(""), "not_found store.no_bucket"
    );
    auto named = store_options(server, 30s);
    named.bucket = "a.b";
    EXPECT_EQ(
        loops.run(opening(&loops.secondary(), named)).value_or(""), "invalid_request store.options"
    );
    const NatsServer plain;
    EXPECT_EQ(
        loops.run(opening(&loops.secondary(), store_options(plain, 30s))).value_or(""),
        "unimplemented nats.no_jetstream"
    );
}

Task<> limits(NatsStorePtr store) {
    EXPECT_EQ(
        co_await error_of(store->put("v1/test/k", std::string(1U << 20U, 'x'))),
        "payload_too_large nats.too_large"
    );
    EXPECT_EQ(
        co_await error_of(store->grant_lease({.bound_to = {}, .ttl = 1s})),
        "invalid_request store.ttl"
    );
    EXPECT_EQ(
        co_await error_of(store->put_lasting("v1/test/k", "1")), "unimplemented store.keys_expire"
    );
    auto session = co_await store->open_session({});
    EXPECT_EQ(
        co_await error_of(
            session.write({.guards = {}, .puts = {{"v1/test/a", "1"}, {"v1/test/b", "1"}}})
        ),
        "unimplemented store.transaction"
    );
    co_await session.close();
}

TEST(NatsStoreBuckets, LimitsOfTheServerHaveNames) {
    const NatsServer server{{.configuration = {}, .jetstream = true}};  // of 1 MiB with headers
    Party party{store_options(server, 30s)};
    EXPECT_RUNS(party.loops(), limits(party.store()));
}

// ---- other tools

Task<> other_tools(NatsStorePtr store, nats::Client other) {
    Watch watch = co_await store->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&watch), "=0");
    const auto put = [&](std::string subject, std::string value) {
        return other.request(
            {.subject = std::move(subject), .payload = Bytes::copy_of(value)}, Deadline::in(5s)
        );
    };
    (void)co_await put("$KV.stator.v1.test.a=2Eb", "theirs");
    EXPECT_EQ(co_await next_description(&watch), "+v1/test/a.b");
    EXPECT_EQ((co_await store->get("v1/test/a.b")).value_or(Entry{}).value, "theirs");
    (void)co_await put("$KV.stator.v1.test.a/b", "no key of ours");
    EXPECT_EQ((co_await store->list("v1/test/")).size(), 1U);
    // Written over behind our back: it is theirs.
    auto lease = co_await store->grant_lease({});
    co_await store->put("v1/test/mine", "1", lease);
    (void)co_await put("$KV.stator.v1.test.mine", "2");
    co_await lease.refresh();
    EXPECT_TRUE(lease.lost("v1/test/mine"));
    EXPECT_EQ((co_await store->get("v1/test/mine")).value_or(Entry{}).value, "2");
    EXPECT_TRUE(co_await store->remove("v1/test/a.b"));
    // When they let go it is ours again.
    (void)co_await other.request(
        {.subject = "$KV.stator.v1.test.mine", .headers = {{"KV-Operation", "PURGE"}}},
        Deadline::in(5s)
    );
    EXPECT_FALSE(co_await store->get("v1/test/mine"));
    co_await lease.refresh();
    EXPECT_FALSE(lease.lost("v1/test/mine"));
    EXPECT_EQ((co_await store->get("v1/test/mine")).value_or(Entry{}).value, "1");
    co_await lease.revoke();
    EXPECT_FALSE(co_await store->get("v1/test/mine"));
}

TEST(NatsStoreKeys, AreWhatOtherToolsReadAndWrite) {
    const NatsServer server{with_jetstream()};
    Party party{store_options(server, 30s)};
    auto other = party.loops().run([](Loop* loop, std::string url) -> Task<nats::Client> {
        co_return co_await nats::Client::connect(*loop, {.server = std::move(url)});
    }(&party.loops().secondary(), server.url()));
    ASSERT_TRUE(other);
    EXPECT_RUNS(party.loops(), other_tools(party.store(), *other));
    EXPECT_RUNS(party.loops(), other->close(Deadline::in(5s)));
}

}  // namespace
}  // namespace stator::store
