#include "stator/store/watch_diff.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stator::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Entries = std::vector<Entry>;

WatchEvent snapshot(Entries entries) {
    return {.kind = WatchEvent::Kind::snapshot, .entries = std::move(entries), .entry = {}};
}
WatchEvent put(std::string key, std::string value) {
    return {
        .kind = WatchEvent::Kind::put,
        .entries = {},
        .entry = {.key = std::move(key), .value = std::move(value)}
    };
}
WatchEvent removed(std::string key) {
    return {
        .kind = WatchEvent::Kind::removed,
        .entries = {},
        .entry = {.key = std::move(key), .value = {}}
    };
}

KeyChange now(std::string key, std::string value) {
    return {KeyChange::Kind::put, std::move(key), std::move(value)};
}
KeyChange gone(std::string key) { return {KeyChange::Kind::removed, std::move(key), {}}; }

TEST(WatchDiff, TheFirstSnapshotIsAllThereIs) {
    WatchDiff diff;
    EXPECT_THAT(
        diff.apply(snapshot({{"v1/t/b", "2"}, {"v1/t/a", "1"}})),
        ElementsAre(now("v1/t/a", "1"), now("v1/t/b", "2"))
    );
}

TEST(WatchDiff, ALaterSnapshotIsTheDifference) {
    WatchDiff diff;
    (void)diff.apply(snapshot({{"v1/t/a", "1"}, {"v1/t/b", "2"}, {"v1/t/c", "3"}}));
    EXPECT_THAT(
        diff.apply(snapshot({{"v1/t/a", "1"}, {"v1/t/b", "new"}, {"v1/t/d", "4"}})),
        ElementsAre(gone("v1/t/c"), now("v1/t/b", "new"), now("v1/t/d", "4"))
    );
    EXPECT_THAT(
        diff.apply(snapshot({})), ElementsAre(gone("v1/t/a"), gone("v1/t/b"), gone("v1/t/d"))
    );
}

TEST(WatchDiff, WhatIsPublishedAgainIsNoChange) {
    WatchDiff diff;
    EXPECT_THAT(diff.apply(put("v1/t/a", "1")), ElementsAre(now("v1/t/a", "1")));
    EXPECT_THAT(diff.apply(put("v1/t/a", "1")), IsEmpty());
    EXPECT_THAT(diff.apply(put("v1/t/a", "2")), ElementsAre(now("v1/t/a", "2")));
    EXPECT_THAT(diff.apply(removed("v1/t/a")), ElementsAre(gone("v1/t/a")));
    EXPECT_THAT(diff.apply(removed("v1/t/a")), IsEmpty());
    EXPECT_THAT(diff.apply(put("v1/t/a", "2")), ElementsAre(now("v1/t/a", "2")));
}

}  // namespace
}  // namespace stator::store
