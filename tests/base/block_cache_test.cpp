#include "stator/base/block_cache.hpp"

#include <chrono>
#include <cstring>
#include <map>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace stator::inline base::block_cache {
namespace {

constexpr std::size_t mib = 1U << 20U;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STATOR_BLOCKS_FROM_HEAP 1
#endif
#endif

class BlockCacheTest : public ::testing::Test {
protected:
    void SetUp() override { keep(true); }
    void TearDown() override { keep(false); }
    /// Trims until nothing is kept; how often it had to be asked.
    static int trim_all() {
        int asked = 0;
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds{10};
        while (trim() && std::chrono::steady_clock::now() < limit) {
            ++asked;
            std::this_thread::yield();
        }
        return asked;
    }
};

#ifdef STATOR_BLOCKS_FROM_HEAP

TEST_F(BlockCacheTest, UnderASanitizerNothingIsKept) {
    give(take(mib), mib);
    EXPECT_FALSE(trim());
}

#else

TEST_F(BlockCacheTest, GivesWhatWasFreedAgain) {
    void* first = take(mib);
    give(first, mib);
    void* second = take(mib - 1000);  // of the same class
    EXPECT_EQ(second, first);
    void* third = take(mib);
    EXPECT_NE(third, second);
    give(second, mib - 1000);
    give(third, mib);
}

TEST_F(BlockCacheTest, EveryBlockHasItsSize) {
    constexpr std::size_t kib = 1024;
    for (const std::size_t size : std::vector<std::size_t>{
             1,
             32 * kib,
             32 * kib + 1,
             40 * kib,
             40 * kib + 1,
             64 * kib + 24,
             128 * kib + 24,
             mib,
             mib + 1,
             5 * mib / 4,
             16 * mib,
             16 * mib + 1
         }) {
        for (int round = 0; round < 3; ++round) {
            void* block = take(size);
            std::memset(block, 0x5A, size);  // the allocator's own checks see what is beyond
            give(block, size);
        }
    }
}

TEST_F(BlockCacheTest, KeepsNoMoreThanItsBound) {
    std::vector<void*> blocks;
    for (int i = 0; i < 100; ++i) blocks.push_back(take(mib));
    for (void* block : blocks) give(block, mib);
    std::map<void*, int> again;
    for (int i = 0; i < 32; ++i) ++again[take(mib)];
    EXPECT_EQ(again.size(), 32U);
    for (const auto& [block, count] : again) give(block, mib);
}

TEST_F(BlockCacheTest, FreesWhatIsNotNeededAndIsEmptyInTheEnd) {
    void* block = take(mib);
    give(block, mib);
    EXPECT_GT(trim_all(), 0);
    EXPECT_FALSE(trim());
}

#endif

TEST_F(BlockCacheTest, ThreadsWithoutALoopKeepNothing) {
    keep(false);
    void* block = take(mib);
    give(block, mib);
    EXPECT_FALSE(trim());
}

TEST_F(BlockCacheTest, ABlockMayBeFreedElsewhere) {
    void* block = take(mib);
    std::jthread{[block] { give(block, mib); }}.join();
    EXPECT_FALSE(trim());
}

}  // namespace
}  // namespace stator::inline base::block_cache
