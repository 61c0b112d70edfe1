#include "stator/discovery/snapshot.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/store/store_fixture.hpp"

namespace stator::discovery {
namespace {

using Numbers = std::vector<int>;

TEST(Snapshot, ReadersSeeTheLatest) {
    Snapshot<Numbers> snapshot{std::make_shared<const Numbers>(Numbers{1})};
    Snapshot<Numbers>::Reader reader{snapshot};
    EXPECT_EQ(*reader.get(), Numbers{1});
    const auto kept = reader.get();
    snapshot.store(std::make_shared<const Numbers>(Numbers{2}));
    EXPECT_EQ(*reader.get(), Numbers{2});
    EXPECT_EQ(*kept, Numbers{1});
    EXPECT_EQ(snapshot.load().version, 1U);
    snapshot.wake();
    EXPECT_EQ(*reader.get(), Numbers{2});
}

/// Readers on several threads see whole values, in order, and the last one in the end.
TEST(SnapshotThreads, ReadersNeverSeeTornOrOldValues) {
    constexpr int changes = 20'000;
    Snapshot<Numbers> snapshot{std::make_shared<const Numbers>(Numbers(8, 0))};
    std::atomic<int> bad{0};
    const auto read = [&] {
        Snapshot<Numbers>::Reader reader{snapshot};
        for (int last = 0; last < changes;) {
            const auto value = reader.get();
            if (value->front() != value->back() || value->front() < last) ++bad;
            last = value->front();
        }
    };
    std::vector<std::jthread> readers;
    for (int i = 0; i < 3; ++i) readers.emplace_back(read);
    for (int i = 1; i <= changes; ++i)
        snapshot.store(std::make_shared<const Numbers>(Numbers(8, i)));
    readers.clear();
    EXPECT_EQ(bad, 0);
}

Task<> follow(Snapshot<Numbers>* snapshot, int last) {
    for (auto seen = snapshot->load(); seen.value->front() < last;)
        seen = co_await snapshot->wait_past(seen.version);
}

Task<> change(Snapshot<Numbers>* snapshot, int times) {
    for (int i = 1; i <= times; ++i) {
        snapshot->store(std::make_shared<const Numbers>(Numbers{i}));
        if (i % 5 == 0) co_await yield();
    }
}

TEST(SnapshotThreads, WaitersReachTheLastChange) {
    test::Loops loops;
    Snapshot<Numbers> snapshot{std::make_shared<const Numbers>(Numbers{0})};
    EXPECT_RUNS(
        loops,
        when_all(
            on_loop(loops.secondary(), follow(&snapshot, 5000)),
            on_loop(loops.primary(), follow(&snapshot, 5000)),
            on_loop(loops.secondary(), change(&snapshot, 5000))
        )
    );
}

}  // namespace
}  // namespace stator::discovery
