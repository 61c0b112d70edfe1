// Discovery over the memory store: one loop, time that moves when told.
#include "stator/discovery/discovery.hpp"

#include <gtest/gtest.h>

#include "discovery/lag_metric.hpp"
#include "stator/store/memory_store.hpp"
#include "tests/runtime/loop_fixture.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::discovery {
namespace {

using namespace std::chrono_literals;
using test::Outcome;

const EndpointId endpoint{"ns", "comp", "ep"};

Instance instance(std::uint64_t id, const EndpointId& of = endpoint) {
    const auto port = std::to_string(1000 + id);
    return Instance{
        .endpoint = of,
        .id = InstanceId{id},
        .transport = {TransportKind::tcp, "127.0.0.1:" + port + "/x"},
        .device_type = std::nullopt,
        .request_plane_codec = PayloadCodec::msgpack,
        .mux = MuxAddress{.address = "127.0.0.1:" + port},
    };
}

class DiscoveryTest : public testing::Test {
protected:
    ~DiscoveryTest() override {
        loop_.run(discovery_->close());
        loop_.run(store_->close(Deadline::in(1s)));
        loop_.run(other_->close(Deadline::in(1s)));
    }
    /// What the task yields; it must end without waiting for time.
    template <class T>
    T get(Task<T> task) {
        auto outcome = loop_.run(std::move(task));
        if (!outcome.done()) throw std::logic_error{"the task still waits"};
        if constexpr (std::is_void_v<T>) {
            if (!outcome.ok()) throw std::logic_error{outcome.message()};
        } else {
            return std::move(outcome.value());
        }
    }
    void use(Discovery::Options options) {
        loop_.run(discovery_->close());
        discovery_ = std::make_unique<Discovery>(store_, std::move(options));
    }
    std::shared_ptr<store::MemoryStore> open() {
        return store::MemoryStore::open(loop_.loop(), {.name = name_});
    }
    std::shared_ptr<EndpointWatch> watch() { return get(discovery_->watch(endpoint)); }
    Registration publish(std::uint64_t id, store::Lease lease = {}) {
        return get(discovery_->publish(instance(id), std::move(lease)));
    }
    static std::string ids(const EndpointWatch& watch) {
        std::string text;
        for (const auto& one : watch.instances()->routable)
            text += (text.empty() ? "" : " ") + one->id.to_string();
        return text;
    }

    const std::string name_ = testing::UnitTest::GetInstance()->current_test_info()->name();
    test::TestLoop loop_;
    std::shared_ptr<store::MemoryStore> store_ = open();
    std::shared_ptr<store::MemoryStore> other_ = open();  // another process, so to speak
    std::unique_ptr<Discovery> discovery_ = std::make_unique<Discovery>(store_);
};

// --- registration

TEST_F(DiscoveryTest, PublishesARecord) {
    const auto registration = publish(0x1a2b);
    EXPECT_EQ(registration.state(), RegistrationState::registered);
    EXPECT_EQ(registration.key(), "v1/instances/ns/comp/ep/1a2b");
    EXPECT_EQ(registration.instance()->id, InstanceId{0x1a2b});
    const auto entry = get(other_->get("v1/instances/ns/comp/ep/1a2b"));
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->value, to_record(instance(0x1a2b)).value());
}

TEST_F(DiscoveryTest, RefusesWhatCannotBePublished) {
    auto bad = instance(1);
    bad.transport.address = "host:1/x";
    auto outcome = loop_.run(discovery_->publish(bad, {}));
    EXPECT_EQ(outcome.error(), ErrorCode::invalid_request);
    publish(1);
    auto second = loop_.run(discovery_->publish(instance(1), {}));
    EXPECT_EQ(second.error(), ErrorCode::already_exists);
    store_->simulate_outage(true);
    auto dead = loop_.run(discovery_->publish(instance(2), {}));
    // What may have been written is looked for, within a bound, before that is said.
    for (int i = 0; i < 30 && !dead.done(); ++i) loop_.advance(100ms);
    EXPECT_EQ(dead.error(), ErrorCode::unavailable);
    store_->simulate_outage(false);
}

TEST_F(DiscoveryTest, UnpublishingIsConfirmed) {
    const auto registration = publish(1);
    EXPECT_TRUE(get(registration.unpublish(Deadline::in(1s))));
    EXPECT_EQ(registration.state(), RegistrationState::gone);
    EXPECT_FALSE(get(other_->get(registration.key())));
    EXPECT_TRUE(get(registration.unpublish(Deadline::in(1s))));
    auto late = loop_.run(registration.update(instance(1)));
    EXPECT_EQ(late.error(), ErrorCode::invalid_request);
}

TEST_F(DiscoveryTest, UnpublishingIsBounded) {
    const auto registration = publish(1);
    store_->simulate_outage(true);
    auto unpublished = loop_.run(registration.unpublish(Deadline::at(loop_.clock().now() + 2s)));
    auto second = loop_.run(registration.unpublish(Deadline::at(loop_.clock().now() + 5s)));
    EXPECT_FALSE(unpublished.done());
    EXPECT_EQ(registration.state(), RegistrationState::draining) << "from the first call on";
    for (int i = 0; i < 30 && !unpublished.done(); ++i) loop_.advance(100ms);
    ASSERT_TRUE(unpublished.done());
    EXPECT_FALSE(unpublished.value());
    ASSERT_TRUE(second.done());
    EXPECT_FALSE(second.value());
    EXPECT_EQ(registration.state(), RegistrationState::gone);
    store_->simulate_outage(false);
}

TEST_F(DiscoveryTest, UnpublishingIsTriedAgainUntilTheDeadline) {
    const auto registration = publish(1);
    store_->simulate_outage(true);
    auto unpublished = loop_.run(registration.unpublish(Deadline::at(loop_.clock().now() + 10s)));
    loop_.advance(1s);
    EXPECT_FALSE(unpublished.done());
    store_->simulate_outage(false);
    loop_.advance(1s);
    ASSERT_TRUE(unpublished.done());
    EXPECT_TRUE(unpublished.value());
    EXPECT_FALSE(get(other_->get(registration.key())));
}

TEST_F(DiscoveryTest, LosingTheStoreIsAState) {
    const auto lease = get(store_->grant_lease({}));
    const auto registration = publish(1, lease);
    auto changed = loop_.run(registration.wait_for_change(RegistrationState::registered));
    EXPECT_FALSE(changed.done());
    store_->simulate_outage(true);
    store_->simulate_loss(lease);
    loop_.settle();
    ASSERT_TRUE(changed.done());
    EXPECT_EQ(changed.value(), RegistrationState::recovering);
    auto back = loop_.run(registration.wait_for_change(RegistrationState::recovering));
    loop_.advance(4s);  // a renewal that fails
    EXPECT_FALSE(back.done());
    store_->simulate_outage(false);
    loop_.advance(4s);
    ASSERT_TRUE(back.done());
    EXPECT_EQ(back.value(), RegistrationState::registered);
    EXPECT_TRUE(get(other_->get(registration.key()))) << "the same id again";
}

TEST_F(DiscoveryTest, ADeletionIsAChangeOfState) {
    const auto registration = publish(1);
    auto changed = loop_.run(registration.wait_for_change(RegistrationState::registered));
    EXPECT_TRUE(get(registration.unpublish(Deadline::in(1s))));
    ASSERT_TRUE(changed.done());
    EXPECT_NE(changed.value(), RegistrationState::registered);
    EXPECT_EQ(registration.state(), RegistrationState::gone);
}

TEST_F(DiscoveryTest, AnEndedLeaseDeletes) {
    auto token = CancellationToken::make();
    const auto lease = get(store_->grant_lease({.bound_to = token}));
    const auto registration = publish(1, lease);
    auto changed = loop_.run(registration.wait_for_change(RegistrationState::registered));
    token.cancel();
    loop_.settle();
    ASSERT_TRUE(changed.done());
    EXPECT_EQ(changed.value(), RegistrationState::gone);
    EXPECT_FALSE(get(other_->get(registration.key())));
    store_->simulate_outage(true);
    EXPECT_TRUE(get(registration.unpublish(Deadline::at(loop_.clock().now()))));
    store_->simulate_outage(false);
}

TEST_F(DiscoveryTest, UpdatesTheRecordOfTheSameInstance) {
    const auto registration = publish(1);
    const auto seen = watch();
    auto draining = instance(1);
    draining.mux->draining = true;
    get(registration.update(draining));
    EXPECT_TRUE(registration.instance()->draining());
    loop_.settle();
    EXPECT_EQ(seen->instances()->members[0].standing, Standing::draining);
    auto other = loop_.run(registration.update(instance(2)));
    EXPECT_EQ(other.error(), ErrorCode::invalid_request);
    EXPECT_EQ(registration.instance()->id, InstanceId{1});
}

// --- watches

TEST_F(DiscoveryTest, AWatchBeginsWithWhatThereIs) {
    publish(2);
    publish(1);
    get(discovery_->publish(instance(3, {"ns", "comp", "other"}), {}));
    get(discovery_->publish(instance(4, {"ns", "comp", "ep2"}), {}));
    get(discovery_->publish(instance(5, {"ns.comp", "ep", "x"}), {}));
    const auto seen = watch();
    EXPECT_EQ(ids(*seen), "1 2");
    EXPECT_EQ(seen->instances()->version, 1U);
    EXPECT_EQ(seen->endpoint(), endpoint);
}

TEST_F(DiscoveryTest, TheLagOfEachChangeIsMeasured) {
    const auto before = lag_metric().snapshot();
    const auto seen = watch();
    EXPECT_EQ(lag_metric().snapshot().count(), before.count()) << "the beginning is no change";
    const auto version = seen->instances()->version;
    publish(1);
    get(seen->wait_for_change(version));
    loop_.settle();
    const auto after = lag_metric().snapshot();
    EXPECT_EQ(after.count(), before.count() + 1);
    EXPECT_LT(after.sum - before.sum, 5);
}

TEST_F(DiscoveryTest, AWatchOfNobodyBegins) {
    const auto seen = watch();
    EXPECT_EQ(ids(*seen), "");
    EXPECT_EQ(seen->instances()->version, 1U);
}

TEST_F(DiscoveryTest, AWatchFollows) {
    const auto seen = watch();
    auto reader = seen->reader();
    EXPECT_TRUE(reader.get()->routable.empty());
    auto first = loop_.run(seen->wait_for_change(seen->instances()->version));
    EXPECT_FALSE(first.done());
    const auto one = publish(1);
    loop_.settle();
    ASSERT_TRUE(first.done());
    EXPECT_EQ(first.value()->routable.size(), 1U);
    EXPECT_EQ(reader.get(), seen->instances());
    publish(2);
    loop_.settle();
    EXPECT_EQ(ids(*seen), "1 2");
    get(one.unpublish(Deadline::in(1s)));
    loop_.settle();
    EXPECT_EQ(ids(*seen), "2");
    EXPECT_EQ(reader.get(), seen->instances());
    auto behind = loop_.run(seen->wait_for_change(1));
    EXPECT_TRUE(behind.done()) << "what has changed already is not waited for";
}

TEST_F(DiscoveryTest, WhatWaitsGoesIntoOneSet) {
    const auto seen = watch();
    const auto before = seen->instances()->version;
    loop_.start([](Discovery* discovery) -> Task<> {
        for (std::uint64_t id = 1; id <= 100; ++id) co_await discovery->publish(instance(id), {});
    }(discovery_.get()));
    loop_.settle();
    EXPECT_EQ(seen->instances()->routable.size(), 100U);
    EXPECT_LT(seen->instances()->version - before, 50U);
}

TEST_F(DiscoveryTest, OneWatchHoweverManyClients) {
    auto first = loop_.start(discovery_->watch(endpoint));
    auto second = loop_.start(discovery_->watch(endpoint));
    loop_.settle();
    EXPECT_EQ(first.value(), second.value());
    EXPECT_EQ(watch(), first.value());
    const auto other = get(discovery_->watch({"ns", "comp", "other"}));
    EXPECT_NE(other, first.value());
}

TEST_F(DiscoveryTest, AWatchEndsWithItsLastOwner) {
    auto seen = watch();
    const std::weak_ptr<EndpointWatch> gone = seen;
    seen.reset();
    loop_.settle();
    EXPECT_TRUE(gone.expired());
    publish(1);
    EXPECT_EQ(ids(*watch()), "1") << "a new one begins afresh";
}

TEST_F(DiscoveryTest, AWatchThatCannotBeginFailsAndMayBeTriedAgain) {
    store_->simulate_outage(true);
    auto first = loop_.start(discovery_->watch(endpoint));
    auto second = loop_.start(discovery_->watch(endpoint));
    loop_.settle();
    EXPECT_EQ(first.error(), ErrorCode::unavailable);
    EXPECT_EQ(second.error(), ErrorCode::unavailable);
    store_->simulate_outage(false);
    publish(1);
    EXPECT_EQ(ids(*watch()), "1");
}

TEST_F(DiscoveryTest, AResyncFindsTheDifferences) {
    const auto lease = get(store_->grant_lease({}));
    publish(1, lease);
    const auto seen = watch();
    const auto before = seen->instances();
    store_->simulate_resync();
    loop_.settle();
    EXPECT_EQ(seen->instances(), before) << "no difference, no new set";
    store_->simulate_loss(lease);
    store_->simulate_resync();
    loop_.settle();
    EXPECT_EQ(ids(*seen), "");
}

TEST_F(DiscoveryTest, ABadRecordIsReportedOnceAndSkipped) {
    const test::RecordingSink sink;
    get(other_->put("v1/instances/ns/comp/ep/bad", "{"));
    publish(1);
    const auto seen = watch();
    EXPECT_EQ(ids(*seen), "1");
    store_->simulate_resync();
    loop_.settle();
    EXPECT_EQ(get(discovery_->list_all()).size(), 1U);
    EXPECT_EQ(sink.warnings("v1/instances/ns/comp/ep/bad"), 1U);
    get(other_->put("v1/instances/ns/comp/ep/bad", "[]"));
    loop_.settle();
    EXPECT_EQ(sink.warnings("v1/instances/ns/comp/ep/bad"), 2U) << "other content, another report";
    // A good record that turns bad is gone.
    get(other_->put(instance(2).key(), to_record(instance(2)).value()));
    loop_.settle();
    EXPECT_EQ(ids(*seen), "1 2");
    get(other_->put(instance(2).key(), "?"));
    loop_.settle();
    EXPECT_EQ(ids(*seen), "1");
}

// --- what transports report

TEST_F(DiscoveryTest, AReportIsInForceAtOnce) {
    publish(1);
    publish(2);
    const auto seen = watch();
    seen->report(InstanceId{1}, LinkEvent::lost);
    EXPECT_EQ(ids(*seen), "2");
    seen->report(InstanceId{1}, LinkEvent::healthy);
    EXPECT_EQ(ids(*seen), "1 2");
    seen->report(InstanceId{9}, LinkEvent::lost);
    EXPECT_EQ(ids(*seen), "1 2");
}

TEST_F(DiscoveryTest, AReportAboutAnAddressReachesEveryEndpoint) {
    const EndpointId second{"ns", "comp", "other"};
    publish(1);
    get(discovery_->publish(instance(1, second), {}));
    const auto seen = watch();
    const auto other = get(discovery_->watch(second));
    discovery_->report("127.0.0.1:1001", LinkEvent::lost);
    EXPECT_EQ(ids(*seen), "");
    EXPECT_EQ(ids(*other), "");
    discovery_->report("127.0.0.1:1001", LinkEvent::healthy);
    EXPECT_EQ(ids(*seen), "1");
    EXPECT_EQ(ids(*other), "1");
}

TEST_F(DiscoveryTest, AQuarantineEndsByItself) {
    publish(1);
    const auto seen = watch();
    seen->report(InstanceId{1}, LinkEvent::refused);
    auto back = loop_.run(seen->wait_for_change(seen->instances()->version));
    loop_.advance(200ms);
    EXPECT_FALSE(back.done());
    loop_.advance(300ms);
    ASSERT_TRUE(back.done());
    EXPECT_EQ(ids(*seen), "1");
}

TEST_F(DiscoveryTest, LingeringEndsByItself) {
    const auto registration = publish(1);
    const auto seen = watch();
    seen->report(InstanceId{1}, LinkEvent::healthy);
    get(registration.unpublish(Deadline::in(1s)));
    loop_.settle();
    EXPECT_EQ(ids(*seen), "1");
    EXPECT_EQ(seen->instances()->members[0].standing, Standing::lingering);
    loop_.advance(10s);
    EXPECT_EQ(ids(*seen), "");
    EXPECT_TRUE(seen->instances()->members.empty());
}

/// What the prober was asked, and its answers.
struct Probes {
    std::vector<std::uint64_t> asked;
    bool answer = false;
    bool hang = false;
};

Prober prober_of(std::shared_ptr<Probes> probes) {
    return [probes](std::shared_ptr<const Instance> target) -> Task<bool> {
        return [](std::shared_ptr<Probes> log, std::uint64_t id) -> Task<bool> {
            log->asked.push_back(id);
            if (log->hang) co_await sleep_until(Deadline::never());
            if (!log->answer) throw Error{ErrorCode::unavailable, "nobody there"};
            co_return true;
        }(probes, target->id.value());
    };
}

/// A stale record of a killed worker costs probes, fewer and fewer, and no request.
TEST_F(DiscoveryTest, AProbeEndsAQuarantine) {
    auto probes = std::make_shared<Probes>();
    use({.routing = {}, .prober = prober_of(probes)});
    publish(1);
    publish(2);
    const auto seen = watch();
    seen->report(InstanceId{1}, LinkEvent::lost);
    EXPECT_EQ(ids(*seen), "2");
    for (int second = 0; second < 10; ++second) {
        loop_.advance(1s);
        EXPECT_EQ(ids(*seen), "2");
    }
    EXPECT_GE(probes->asked.size(), 3U);
    EXPECT_LE(probes->asked.size(), 6U);
    probes->answer = true;
    loop_.advance(30s);
    EXPECT_EQ(ids(*seen), "1 2");
    const auto asked = probes->asked.size();
    loop_.advance(60s);
    EXPECT_EQ(probes->asked.size(), asked) << "nobody is probed without need";
    for (const auto id : probes->asked) EXPECT_EQ(id, 1U);
}

TEST_F(DiscoveryTest, AProbeIsBounded) {
    auto probes = std::make_shared<Probes>();
    probes->hang = true;
    use({.routing = {}, .prober = prober_of(probes), .probe_timeout = 2s});
    publish(1);
    const auto seen = watch();
    seen->report(InstanceId{1}, LinkEvent::lost);
    loop_.advance(500ms);
    EXPECT_EQ(probes->asked.size(), 1U);
    probes->hang = false;
    probes->answer = true;
    loop_.advance(2s);
    EXPECT_EQ(ids(*seen), "");
    loop_.advance(1s);
    EXPECT_EQ(probes->asked.size(), 2U);
    EXPECT_EQ(ids(*seen), "1");
}

TEST_F(DiscoveryTest, ClosingCancelsProbes) {
    auto probes = std::make_shared<Probes>();
    probes->hang = true;
    use({.routing = {}, .prober = prober_of(probes)});
    publish(1);
    const auto seen = watch();
    seen->report(InstanceId{1}, LinkEvent::lost);
    loop_.advance(500ms);
    EXPECT_EQ(probes->asked.size(), 1U);
    auto closed = loop_.run(discovery_->close());
    EXPECT_TRUE(closed.done());
}

// --- everything

TEST_F(DiscoveryTest, ListsEverything) {
    publish(2);
    get(discovery_->publish(instance(1, {"a", "b", "c"}), {}));
    const auto all = get(discovery_->list_all());
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].endpoint.to_string(), "a.b.c");
    EXPECT_EQ(all[1].endpoint, endpoint);
}

Task<> collect(Stream<DiscoveryEvent> events, std::vector<std::string>* lines) {
    while (auto event = co_await events.next()) {
        auto line = std::string{to_string(event->kind)};
        line += event->instance ? " " + event->instance->endpoint.to_string() + " " +
                                      event->instance->id.to_string()
                                : " " + std::to_string(event->count);
        lines->push_back(std::move(line));
    }
    lines->push_back("end");
}

std::vector<std::string> taken(std::vector<std::string>& lines) { return std::exchange(lines, {}); }

TEST_F(DiscoveryTest, WatchesEverything) {
    using Lines = std::vector<std::string>;
    const auto first = publish(1);
    Lines lines;
    loop_.run(collect(discovery_->watch_all(""), &lines));
    EXPECT_EQ(taken(lines), (Lines{"added ns.comp.ep 1", "synced 1"}));
    get(discovery_->publish(instance(2, {"a.b", "c", "d"}), {}));
    loop_.settle();
    EXPECT_EQ(taken(lines), (Lines{"added a.b.c.d 2"}));
    auto changed = instance(1);
    changed.mux->draining = true;
    get(first.update(changed));
    loop_.settle();
    EXPECT_EQ(taken(lines), (Lines{"changed ns.comp.ep 1"}));
    get(first.update(changed));
    loop_.settle();
    EXPECT_EQ(taken(lines), Lines{}) << "the same again is no change";
    get(first.unpublish(Deadline::in(1s)));
    loop_.settle();
    EXPECT_EQ(taken(lines), (Lines{"removed ns.comp.ep 1"}));
    get(other_->put("v1/instances/ns/comp/ep/9", "{"));
    loop_.settle();
    EXPECT_EQ(taken(lines), Lines{});
    store_->simulate_resync();
    loop_.settle();
    EXPECT_EQ(taken(lines), (Lines{"synced 1"}));
    get(store_->close(Deadline::in(1s)));
    EXPECT_EQ(lines.back(), "end");
}

TEST_F(DiscoveryTest, WatchesBelowAPrefix) {
    using Lines = std::vector<std::string>;
    for (const EndpointId& of :
         {EndpointId{"a", "b", "c"},
          EndpointId{"a", "bb", "c"},
          EndpointId{"a.b", "c", "d"},
          EndpointId{"b", "a", "c"}})
        get(discovery_->publish(instance(1, of), {}));
    const std::pair<std::string, std::size_t> prefixes[] = {
        {"", 4},
        {"a", 3},
        {"a.b", 2},
        {"a.b.c", 2},
        {"a.b.c.d", 1},
        {"b", 1},
        {"c", 0},
        {"a.", 0},
    };
    for (const auto& [prefix, count] : prefixes) {
        Lines lines;
        auto token = CancellationToken::make();
        loop_.run(with_token(token, collect(discovery_->watch_all(prefix), &lines)));
        ASSERT_FALSE(lines.empty()) << prefix;
        EXPECT_EQ(lines.back(), "synced " + std::to_string(count)) << prefix;
        token.cancel();
        loop_.settle();
    }
}

TEST_F(DiscoveryTest, EventsAreJsonLines) {
    const DiscoveryEvent added{
        .kind = DiscoveryEvent::Kind::added,
        .instance = std::make_shared<const Instance>(instance(0xab)),
        .count = 0
    };
    EXPECT_EQ(
        to_json(added),
        R"({"event":"added","namespace":"ns","component":"comp","endpoint":"ep","instance_id":"ab",)"
        R"("state":"ready","transports":{"tcp":"127.0.0.1:1171/x","mux":"127.0.0.1:1171"}})"
    );
    EXPECT_EQ(
        to_json({.kind = DiscoveryEvent::Kind::synced, .instance = nullptr, .count = 3}),
        R"({"event":"synced","instances":3})"
    );
}

// --- the end

TEST_F(DiscoveryTest, ClosingEndsTheWaits) {
    const auto seen = watch();
    publish(1);
    loop_.settle();
    auto waiting = loop_.run(seen->wait_for_change(seen->instances()->version));
    get(discovery_->close());
    EXPECT_EQ(waiting.error(), ErrorCode::unavailable);
    EXPECT_EQ(ids(*seen), "1") << "the last set stays readable";
    auto later = loop_.run(discovery_->watch(endpoint));
    EXPECT_EQ(later.error(), ErrorCode::unavailable);
    seen->report(InstanceId{1}, LinkEvent::lost);
    get(discovery_->close());
}

TEST_F(DiscoveryTest, AClosedStoreEndsTheWaits) {
    const auto seen = watch();
    auto waiting = loop_.run(seen->wait_for_change(seen->instances()->version));
    get(store_->close(Deadline::in(1s)));
    loop_.settle();
    EXPECT_EQ(waiting.error(), ErrorCode::unavailable);
}

}  // namespace
}  // namespace stator::discovery
