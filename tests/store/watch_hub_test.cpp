#include "store/watch_hub.hpp"

#include <gtest/gtest.h>

#include "tests/runtime/loop_fixture.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::store {
namespace {

using test::describe;

class WatchHubTest : public testing::Test {
protected:
    Watch watch(std::string prefix) { return Watch{hub_->subscribe(std::move(prefix))}; }
    void put(const std::string& key, const std::string& value = "1") {
        hub_->put(Entry{.key = key, .value = value});
    }
    /// What `next` yields now: "waits", "end", an error's detail, or the event.
    std::string next(Watch& watch) {
        auto token = CancellationToken::make();
        auto outcome = loop_.run(with_token(token, watch.next()));
        if (!outcome.done()) {
            token.cancel();
            loop_.settle();
            return "waits";
        }
        if (!outcome.ok()) return outcome.message();
        return outcome.value() ? describe(*outcome.value()) : "end";
    }

    std::shared_ptr<WatchHub> hub_ = std::make_shared<WatchHub>(4);
    test::TestLoop loop_;
};

TEST_F(WatchHubTest, SnapshotThenDeltas) {
    put("a/1");
    put("a/2");
    put("b/1");
    auto seen = watch("a/");
    put("a/3");  // before the snapshot is taken: part of it
    EXPECT_EQ(next(seen), "=3");
    EXPECT_EQ(next(seen), "waits");
    put("a/4");
    put("b/2");
    hub_->remove("a/1");
    hub_->remove("a/none");
    EXPECT_EQ(next(seen), "+a/4");
    EXPECT_EQ(next(seen), "-a/1");
    EXPECT_EQ(next(seen), "waits");
}

TEST_F(WatchHubTest, RemovedAndAddedAreBothTold) {
    put("a");
    auto seen = watch("");
    EXPECT_EQ(next(seen), "=1");
    hub_->remove("a");
    put("a");
    EXPECT_EQ(next(seen), "-a");
    EXPECT_EQ(next(seen), "+a");
}

TEST_F(WatchHubTest, AWaitingReaderIsWoken) {
    auto seen = watch("");
    EXPECT_EQ(next(seen), "=0");
    auto waiting = loop_.run(seen.next());
    EXPECT_FALSE(waiting.done());
    put("a");
    loop_.settle();
    ASSERT_TRUE(waiting.done());
    EXPECT_EQ(describe(*waiting.value()), "+a");
}

TEST_F(WatchHubTest, ACancelledReaderLosesNothing) {
    auto seen = watch("");
    EXPECT_EQ(next(seen), "=0");
    EXPECT_EQ(next(seen), "waits");
    put("a");
    EXPECT_EQ(next(seen), "+a");
}

TEST_F(WatchHubTest, ASlowReaderGetsASnapshot) {
    const test::RecordingSink sink;
    auto slow = watch("");
    auto quick = watch("");
    EXPECT_EQ(next(slow), "=0");
    EXPECT_EQ(next(quick), "=0");
    for (int i = 0; i < 4; ++i) {
        put("k" + std::to_string(i));
        EXPECT_EQ(next(quick), "+k" + std::to_string(i));
    }
    put("k4");  // the fifth of a queue of four
    put("k5");
    hub_->remove("k0");
    EXPECT_EQ(next(slow), "=5");
    EXPECT_EQ(next(slow), "waits");
    EXPECT_EQ(next(quick), "+k4");
    EXPECT_EQ(sink.counted("store_watch_resyncs_total"), 1U);
}

TEST_F(WatchHubTest, ResyncReplacesWhatWaits) {
    put("a");
    auto seen = watch("");
    EXPECT_EQ(next(seen), "=1");
    put("b");
    hub_->resync();
    EXPECT_EQ(next(seen), "=2");
    EXPECT_EQ(next(seen), "waits");
    put("c");
    EXPECT_EQ(next(seen), "+c");
}

TEST_F(WatchHubTest, EndsAfterWhatWaits) {
    auto seen = watch("");
    EXPECT_EQ(next(seen), "=0");
    put("a");
    hub_->close();
    EXPECT_EQ(next(seen), "+a");
    EXPECT_EQ(next(seen), "end");
    EXPECT_EQ(next(seen), "end");
    auto late = watch("");
    EXPECT_EQ(next(late), "end");
}

TEST_F(WatchHubTest, EndsWithAnError) {
    auto seen = watch("");
    hub_->close(Error{ErrorCode::unavailable, "gone away"});
    EXPECT_NE(next(seen).find("gone away"), std::string::npos);
}

TEST_F(WatchHubTest, OneQueueEndsAlone) {
    auto queue = hub_->subscribe("");
    Watch ended{queue};
    auto other = watch("");
    queue->close();
    EXPECT_EQ(next(ended), "end");
    EXPECT_EQ(next(other), "=0");
}

TEST_F(WatchHubTest, ADroppedWatchIsNotWrittenTo) {
    {
        auto dropped = watch("");
    }
    put("a");
    auto seen = watch("");
    EXPECT_EQ(next(seen), "=1");
}

TEST_F(WatchHubTest, TriesWithoutWaiting) {
    auto seen = watch("");
    put("a");
    auto event = seen.try_next();
    ASSERT_TRUE(event);
    EXPECT_EQ(describe(*event), "=1");
    EXPECT_FALSE(seen.try_next());
    put("b");
    EXPECT_EQ(next(seen), "+b");
    EXPECT_EQ(next(seen), "waits");
    hub_->close();
    EXPECT_FALSE(seen.try_next());
}

TEST_F(WatchHubTest, AnEmptyWatchEnds) {
    Watch none;
    EXPECT_EQ(next(none), "end");
}

Task<> count_deltas(
    std::shared_ptr<WatchQueue> queue, int* puts, int* snapshots, std::string last
) {
    for (;;) {
        const auto event = co_await queue->next();
        if (!event) co_return;
        if (event->kind == WatchEvent::Kind::snapshot) {
            ++*snapshots;
            for (const auto& entry : event->entries) {
                if (entry.key == last) co_return;
            }
        } else if (++*puts; event->entry.key == last) {
            co_return;
        }
    }
}

Task<> put_many(std::shared_ptr<WatchHub> hub, int count) {
    for (int i = 0; i < count; ++i) {
        hub->put(Entry{.key = std::to_string(i), .value = "x"});
        if (i % 64 == 0) co_await yield();
    }
}

/// Readers on another thread reach the last change, through deltas and snapshots.
TEST(WatchHubThreads, EveryReaderReachesTheEnd) {
    constexpr int changes = 20'000;
    test::Loops loops;
    auto hub = std::make_shared<WatchHub>(100);
    int puts[3] = {};
    int snapshots[3] = {};
    std::vector<Task<>> tasks;
    for (int i = 0; i < 3; ++i)
        tasks.push_back(on_loop(
            i == 0 ? loops.secondary() : loops.primary(),
            count_deltas(hub->subscribe(""), &puts[i], &snapshots[i], std::to_string(changes - 1))
        ));
    tasks.push_back(on_loop(loops.secondary(), put_many(hub, changes)));
    ASSERT_TRUE(loops.run(when_all(std::move(tasks))));
    for (int i = 0; i < 3; ++i) EXPECT_GT(puts[i] + snapshots[i], 0);
}

}  // namespace
}  // namespace stator::store
