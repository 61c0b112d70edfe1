#include "stator/discovery/member_table.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stator::discovery {
namespace {

using namespace std::chrono_literals;

std::shared_ptr<const Instance> instance(std::uint64_t id, std::string mux = "") {
    Instance made{
        .endpoint = {"ns", "comp", "ep"},
        .id = InstanceId{id},
        .transport = {TransportKind::tcp, "127.0.0.1:1/x"},
        .device_type = std::nullopt,
        .request_plane_codec = std::nullopt,
        .mux = std::nullopt,
    };
    made.mux = MuxAddress{.address = mux.empty() ? "127.0.0.1:" + std::to_string(id) : mux};
    return std::make_shared<const Instance>(std::move(made));
}

std::shared_ptr<const Instance> draining(std::uint64_t id) {
    auto made = *instance(id);
    made.mux->draining = true;
    return std::make_shared<const Instance>(std::move(made));
}

MemberTable::Record record(std::shared_ptr<const Instance> made) {
    auto key = made->key();
    return {std::move(key), std::move(made)};
}

/// The table under a clock that the test moves, and its sets as text: "1:ready 2:suspect".
class MemberTableTest : public testing::Test {
protected:
    void make(RoutingPolicy policy) { table_ = MemberTable{policy, 1}; }
    void put(std::uint64_t id) { table_.put(record(instance(id))); }
    void remove(std::uint64_t id) { table_.removed(instance(id)->key(), now_); }
    void snapshot(const std::vector<std::uint64_t>& ids) {
        std::vector<MemberTable::Record> records;
        for (const auto id : ids) records.push_back(record(instance(id)));
        table_.snapshot(std::move(records), now_);
    }
    bool report(std::uint64_t id, LinkEvent event) {
        return table_.report(InstanceId{id}, event, now_);
    }
    void advance(Duration by) {
        now_ += by;
        table_.tick(now_);
    }
    /// To the next point at which the table has something to do; never.
    bool advance_to_wake() {
        if (table_.next_wake() == TimePoint::max()) return false;
        advance(table_.next_wake() - now_);
        return true;
    }
    std::string standings() {
        std::string text;
        for (const auto& member : table_.build()->members)
            text += (text.empty() ? "" : " ") + member.instance->id.to_string() + ":" +
                    std::string{to_string(member.standing)};
        return text;
    }
    std::string routable() {
        std::string text;
        for (const auto& one : table_.build()->routable)
            text += (text.empty() ? "" : " ") + one->id.to_string();
        return text;
    }

    MemberTable table_{RoutingPolicy{}, 1};
    TimePoint now_{1h};
};

TEST_F(MemberTableTest, SortsById) {
    EXPECT_FALSE(table_.changed());
    snapshot({3, 1, 2});
    EXPECT_TRUE(table_.changed());
    const auto set = table_.build();
    EXPECT_FALSE(table_.changed());
    EXPECT_EQ(set->version, 1U);
    ASSERT_EQ(set->members.size(), 3U);
    for (std::uint64_t id = 1; id <= 3; ++id) {
        EXPECT_EQ(set->members[id - 1].instance->id, InstanceId{id});
        ASSERT_NE(set->find(InstanceId{id}), nullptr);
        EXPECT_EQ(set->find(InstanceId{id})->instance->id, InstanceId{id});
    }
    EXPECT_EQ(set->find(InstanceId{4}), nullptr);
    EXPECT_EQ(set->routable.size(), 3U);
    EXPECT_EQ(table_.next_wake(), TimePoint::max());
}

TEST_F(MemberTableTest, AnEmptySnapshotIsNews) {
    snapshot({});
    EXPECT_TRUE(table_.changed());
    EXPECT_EQ(table_.build()->version, 1U);
    snapshot({});
    EXPECT_FALSE(table_.changed());
}

TEST_F(MemberTableTest, AnUnchangedRecordKeepsItsObject) {
    snapshot({1});
    const auto before = table_.build()->routable[0];
    put(1);
    snapshot({1});
    EXPECT_EQ(table_.build()->routable[0], before);
    table_.put(record(instance(1, "10.0.0.1:9")));
    EXPECT_NE(table_.build()->routable[0], before);
}

TEST_F(MemberTableTest, RemovedIsOut) {
    snapshot({1, 2});
    remove(1);
    EXPECT_EQ(standings(), "2:ready");
    snapshot({});
    EXPECT_EQ(standings(), "");
    remove(7);
    EXPECT_FALSE(table_.changed());
}

TEST_F(MemberTableTest, LostIsOutAtOnceAndBackForATrial) {
    snapshot({1, 2});
    report(1, LinkEvent::healthy);
    (void)table_.build();
    EXPECT_TRUE(report(1, LinkEvent::lost));
    EXPECT_TRUE(table_.changed());
    EXPECT_EQ(standings(), "1:quarantined 2:ready");
    EXPECT_EQ(routable(), "2");
    const auto back = table_.next_wake() - now_;
    EXPECT_GE(back, 250ms);
    EXPECT_LE(back, 500ms);
    advance(back - 1ns);
    EXPECT_EQ(routable(), "2");
    advance(1ns);
    EXPECT_EQ(routable(), "1 2");
}

TEST_F(MemberTableTest, EveryFailureDoublesTheQuarantine) {
    make({.max_quarantine = 4s});
    snapshot({1});
    Duration last{};
    const Duration ceilings[] = {500ms, 1s, 2s, 4s, 4s, 4s};
    for (const auto ceiling : ceilings) {
        report(1, LinkEvent::refused);
        last = table_.next_wake() - now_;
        EXPECT_GE(last, ceiling / 2);
        EXPECT_LE(last, ceiling);
        ASSERT_TRUE(advance_to_wake());
        EXPECT_EQ(standings(), "1:ready");
    }
    report(1, LinkEvent::healthy);
    report(1, LinkEvent::lost);
    EXPECT_LE(table_.next_wake() - now_, 500ms) << "a healthy link starts afresh";
}

TEST_F(MemberTableTest, FailuresAtTheSameTimeCountOnce) {
    snapshot({1});
    report(1, LinkEvent::lost);
    const auto until = table_.next_wake();
    for (int i = 0; i < 10; ++i) report(1, i % 2 == 0 ? LinkEvent::lost : LinkEvent::refused);
    EXPECT_EQ(table_.next_wake(), until);
    advance_to_wake();
    report(1, LinkEvent::refused);
    EXPECT_LE(table_.next_wake() - now_, 1s);
    EXPECT_GE(table_.next_wake() - now_, 500ms);
}

TEST_F(MemberTableTest, AConnectionEndsAQuarantine) {
    snapshot({1});
    report(1, LinkEvent::refused);
    report(1, LinkEvent::healthy);
    EXPECT_EQ(standings(), "1:ready");
    EXPECT_EQ(table_.next_wake(), TimePoint::max());
}

TEST_F(MemberTableTest, AFreshRecordEndsAQuarantine) {
    snapshot({1});
    report(1, LinkEvent::lost);
    snapshot({1});
    EXPECT_EQ(standings(), "1:quarantined") << "a listing of the same record proves nothing";
    put(1);
    EXPECT_EQ(standings(), "1:ready");
    report(1, LinkEvent::lost);
    table_.snapshot({record(instance(1, "10.0.0.1:9"))}, now_);
    EXPECT_EQ(standings(), "1:ready");
    report(1, LinkEvent::lost);
    remove(1);
    put(1);
    EXPECT_EQ(standings(), "1:ready");
    report(1, LinkEvent::lost);
    EXPECT_LE(table_.next_wake() - now_, 500ms) << "a new record starts afresh";
}

TEST_F(MemberTableTest, SilentIsSuspectUntilItAnswers) {
    snapshot({1});
    report(1, LinkEvent::healthy);
    report(1, LinkEvent::silent);
    EXPECT_EQ(standings(), "1:suspect");
    EXPECT_EQ(routable(), "");
    EXPECT_EQ(table_.next_wake(), TimePoint::max());
    put(1);
    EXPECT_EQ(standings(), "1:suspect") << "the record says nothing about the connection";
    report(1, LinkEvent::healthy);
    EXPECT_EQ(standings(), "1:ready");
    report(1, LinkEvent::silent);
    report(1, LinkEvent::lost);
    EXPECT_EQ(standings(), "1:quarantined");
}

TEST_F(MemberTableTest, WhoAnswersLingersForOneTtl) {
    snapshot({1, 2});
    report(1, LinkEvent::healthy);
    remove(1);
    remove(2);
    EXPECT_EQ(standings(), "1:lingering");
    EXPECT_EQ(routable(), "1");
    EXPECT_EQ(table_.next_wake(), now_ + 10s);
    advance(10s - 1ns);
    EXPECT_EQ(routable(), "1");
    advance(1ns);
    EXPECT_EQ(standings(), "");
    EXPECT_EQ(table_.next_wake(), TimePoint::max());
}

TEST_F(MemberTableTest, WhoComesBackWasNeverGone) {
    snapshot({1});
    report(1, LinkEvent::healthy);
    remove(1);
    advance(5s);
    put(1);
    EXPECT_EQ(standings(), "1:ready");
    advance(1h);
    EXPECT_EQ(standings(), "1:ready");
    snapshot({});
    EXPECT_EQ(standings(), "1:lingering");
    snapshot({1});
    EXPECT_EQ(standings(), "1:ready");
}

TEST_F(MemberTableTest, ASecondRemovalDoesNotProlong) {
    snapshot({1});
    report(1, LinkEvent::healthy);
    remove(1);
    advance(9s);
    remove(1);
    snapshot({});
    advance(1s);
    EXPECT_EQ(standings(), "");
}

TEST_F(MemberTableTest, LingeringEndsWithTheConnection) {
    for (const auto event :
         {LinkEvent::lost,
          LinkEvent::refused,
          LinkEvent::silent,
          LinkEvent::draining,
          LinkEvent::gone,
          LinkEvent::closed}) {
        make({});
        snapshot({1});
        report(1, LinkEvent::healthy);
        remove(1);
        EXPECT_EQ(standings(), "1:lingering");
        report(1, event);
        EXPECT_EQ(standings(), "") << to_string(event);
    }
}

TEST_F(MemberTableTest, WhoSaidDrainingDoesNotLinger) {
    snapshot({1});
    report(1, LinkEvent::healthy);
    report(1, LinkEvent::draining);
    EXPECT_EQ(standings(), "1:draining");
    report(1, LinkEvent::healthy);
    EXPECT_EQ(standings(), "1:draining") << "a ping is no change of mind";
    remove(1);
    EXPECT_EQ(standings(), "");
}

TEST_F(MemberTableTest, ARecordMaySayDraining) {
    snapshot({1});
    table_.put(record(draining(1)));
    EXPECT_EQ(standings(), "1:draining");
    report(1, LinkEvent::healthy);
    EXPECT_EQ(standings(), "1:draining");
    put(1);
    EXPECT_EQ(standings(), "1:ready");
    report(1, LinkEvent::draining);
    put(1);
    EXPECT_EQ(standings(), "1:ready") << "published again after it had said draining";
}

TEST_F(MemberTableTest, GoneStaysOutUntilPublishedAgain) {
    snapshot({1});
    report(1, LinkEvent::healthy);
    report(1, LinkEvent::gone);
    EXPECT_EQ(routable(), "");
    report(1, LinkEvent::healthy);
    report(1, LinkEvent::lost);
    EXPECT_EQ(table_.next_wake(), TimePoint::max());
    EXPECT_EQ(standings(), "1:quarantined");
    put(1);
    EXPECT_EQ(standings(), "1:ready");
}

TEST_F(MemberTableTest, AClosedIdleConnectionProvesNothing) {
    snapshot({1});
    report(1, LinkEvent::healthy);
    report(1, LinkEvent::closed);
    EXPECT_EQ(standings(), "1:ready");
    remove(1);
    EXPECT_EQ(standings(), "");
}

TEST_F(MemberTableTest, ReportsReachEverythingAtAnAddress) {
    table_.snapshot(
        {record(instance(1, "h:1")), record(instance(2, "h:2")), record(instance(3, "h:1"))}, now_
    );
    EXPECT_TRUE(table_.report_address("h:1", LinkEvent::lost, now_));
    EXPECT_EQ(routable(), "2");
    EXPECT_FALSE(table_.report_address("h:3", LinkEvent::lost, now_));
    EXPECT_FALSE(report(9, LinkEvent::lost));
    auto plain = *instance(4);
    plain.mux.reset();
    table_.put(record(std::make_shared<const Instance>(plain)));
    EXPECT_TRUE(table_.report_address("127.0.0.1:1", LinkEvent::lost, now_));
    EXPECT_EQ(routable(), "2");
}

TEST_F(MemberTableTest, ARefusalPutsAsideForAWhile) {
    make({.probing = true});
    snapshot({1, 2});
    report(1, LinkEvent::refusing);
    report(2, LinkEvent::full);
    EXPECT_EQ(standings(), "1:refusing 2:full");
    EXPECT_EQ(routable(), "");
    // A connection is no proof that it takes requests again; the longer of two stays.
    report(1, LinkEvent::healthy);
    report(1, LinkEvent::full);
    advance(250ms);
    EXPECT_TRUE(table_.changed());
    EXPECT_EQ(standings(), "1:refusing 2:ready");
    EXPECT_TRUE(table_.take_probes(now_).empty());
    EXPECT_TRUE(advance_to_wake());
    EXPECT_EQ(now_, TimePoint{1h} + 5s);
    EXPECT_EQ(standings(), "1:ready 2:ready");
    EXPECT_FALSE(advance_to_wake());
    // Written anew, it begins anew.
    report(1, LinkEvent::refusing);
    put(1);
    EXPECT_EQ(standings(), "1:ready 2:ready");
    // What is worse counts.
    report(1, LinkEvent::refusing);
    report(1, LinkEvent::lost);
    EXPECT_EQ(standings(), "1:quarantined 2:ready");
}

TEST_F(MemberTableTest, WithoutAMuxNothingLingers) {
    auto plain = *instance(4);
    plain.mux.reset();
    table_.put(record(std::make_shared<const Instance>(plain)));
    report(4, LinkEvent::healthy);
    EXPECT_EQ(standings(), "4:ready");
    table_.removed(plain.key(), now_);
    EXPECT_EQ(standings(), "");
}

TEST_F(MemberTableTest, ProbesComeBeforeRequests) {
    make({.probing = true});
    snapshot({1, 2});
    EXPECT_TRUE(table_.take_probes(now_).empty());
    report(1, LinkEvent::lost);
    EXPECT_TRUE(table_.take_probes(now_).empty());
    Duration last{};
    for (int failures = 0; failures < 4; ++failures) {
        EXPECT_GT(table_.next_wake() - now_, last);
        last = (table_.next_wake() - now_) / 2;
        ASSERT_TRUE(advance_to_wake());
        EXPECT_EQ(standings(), "1:quarantined 2:ready") << "out until the probe succeeds";
        const auto probes = table_.take_probes(now_);
        ASSERT_EQ(probes.size(), 1U);
        EXPECT_EQ(probes[0]->id, InstanceId{1});
        EXPECT_TRUE(table_.take_probes(now_).empty()) << "one probe at a time";
        EXPECT_EQ(table_.next_wake(), TimePoint::max());
        report(1, LinkEvent::refused);
    }
    advance_to_wake();
    (void)table_.take_probes(now_);
    report(1, LinkEvent::healthy);
    EXPECT_EQ(standings(), "1:ready 2:ready");
}

TEST_F(MemberTableTest, ARecordMayChangeDuringAProbe) {
    make({.probing = true});
    snapshot({1});
    report(1, LinkEvent::lost);
    advance_to_wake();
    EXPECT_EQ(table_.take_probes(now_).size(), 1U);
    put(1);
    EXPECT_EQ(standings(), "1:ready");
    remove(1);
    EXPECT_FALSE(report(1, LinkEvent::refused));
    EXPECT_EQ(standings(), "");
}

TEST_F(MemberTableTest, ReportsWithoutEffectChangeNothing) {
    snapshot({1});
    (void)table_.build();
    report(1, LinkEvent::healthy);
    report(1, LinkEvent::closed);
    EXPECT_FALSE(table_.changed());
    report(1, LinkEvent::silent);
    EXPECT_TRUE(table_.changed());
    (void)table_.build();
    report(1, LinkEvent::silent);
    EXPECT_FALSE(table_.changed());
}

/// Whatever happens in whatever order: who is neither known to the store nor lingering is out,
/// who may be routed is never held against, and everything ends.
TEST_F(MemberTableTest, RandomHistoriesKeepTheInvariants) {
    Random random{7};
    for (int round = 0; round < 200; ++round) {
        make({.probing = round % 2 == 0});
        for (int step = 0; step < 200; ++step) {
            const auto id = 1 + random.below(4);
            switch (random.below(6)) {
                case 0:
                    put(id);
                    break;
                case 1:
                    remove(id);
                    break;
                case 2:
                    snapshot(
                        random.below(2) == 0 ? std::vector<std::uint64_t>{1, 3}
                                             : std::vector<std::uint64_t>{2}
                    );
                    break;
                case 3:
                    advance(Duration{static_cast<Duration::rep>(random.below(3'000'000'000))});
                    (void)table_.take_probes(now_);
                    break;
                default:
                    report(id, static_cast<LinkEvent>(1 + random.below(7)));
            }
            const auto set = table_.build();
            std::size_t counted = 0;
            for (const auto& member : set->members)
                counted += is_routable(member.standing) ? 1U : 0U;
            ASSERT_EQ(counted, set->routable.size());
            ASSERT_LE(set->members.size(), 4U);
            ASSERT_GE(table_.next_wake(), now_) << "time that has passed must not be waited for";
        }
        snapshot({});
        advance(10s);
        ASSERT_EQ(standings(), "");
        ASSERT_EQ(table_.next_wake(), TimePoint::max());
    }
}

}  // namespace
}  // namespace stator::discovery
