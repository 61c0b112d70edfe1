#include "stator/base/bytes.hpp"

#include <limits>
#include <new>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace stator {
namespace {

TEST(Bytes, slices_share_the_block_and_keep_it_alive) {
    Bytes part;
    const std::byte* block = nullptr;
    {
        const auto whole = Bytes::copy_of("hello world");
        block = whole.data();
        part = whole.slice(6);
    }
    EXPECT_EQ(part.view(), "world");
    EXPECT_EQ(part.data(), block + 6);
    EXPECT_EQ(part.held(), 11U);
}

TEST(Bytes, slices_are_clipped) {
    struct Row {
        std::size_t from;
        std::size_t length;
        std::string_view shows;
    };
    constexpr auto all = std::string_view::npos;
    const auto bytes = Bytes::copy_of("abcdef");
    for (const auto& row :
         {Row{0, all, "abcdef"},
          Row{2, 3, "cde"},
          Row{5, 9, "f"},
          Row{6, 1, ""},
          Row{all, all, ""},
          Row{3, 0, ""}}) {
        EXPECT_EQ(bytes.slice(row.from, row.length).view(), row.shows);
        EXPECT_EQ(bytes.slice(row.from, row.length).held(), row.shows.empty() ? 0U : 6U);
    }
}

TEST(Bytes, the_empty_one_owns_nothing) {
    EXPECT_EQ(Bytes{}.held(), 0U);
    EXPECT_EQ(Bytes::copy_of("").held(), 0U);
    EXPECT_TRUE(Bytes{}.slice(0).empty());
    EXPECT_EQ(Bytes{}, Bytes::copy_of(""));
}

TEST(Bytes, static_memory_is_not_owned_nor_copied) {
    static constexpr std::string_view text = "literal";
    const auto bytes = Bytes::of_static(text);
    const auto part = bytes.slice(3, 2);
    EXPECT_EQ(part.data(), reinterpret_cast<const std::byte*>(text.data()) + 3);
    EXPECT_EQ(part.held(), 0U);
    EXPECT_EQ(part.compact().data(), part.data());
}

TEST(Bytes, compact_lets_go_of_a_large_block_only) {
    const auto large = Bytes::copy_of(std::string(1 << 20, 'x'));
    const auto small_part = large.slice(10, 100);
    EXPECT_EQ(small_part.held(), std::size_t{1} << 20);
    EXPECT_EQ(small_part.compact().held(), 100U);
    EXPECT_EQ(small_part.compact(), small_part);
    EXPECT_EQ(large.compact().data(), large.data());
    const auto few = Bytes::copy_of("0123456789").slice(1, 1);
    EXPECT_EQ(few.compact().data(), few.data()) << "ten bytes are not worth a copy";
}

TEST(Bytes, a_block_knows_whether_it_is_shared) {
    auto* buffer = Buffer::allocate(16);
    EXPECT_TRUE(buffer->unique());
    {
        const auto shared = Bytes::share(buffer, buffer->data() + 4, 8);
        EXPECT_FALSE(buffer->unique());
        EXPECT_EQ(shared.size(), 8U);
    }
    EXPECT_TRUE(buffer->unique());
    const auto adopted = Bytes::adopt(buffer, 16);
    EXPECT_TRUE(buffer->unique());
    EXPECT_EQ(adopted.data(), buffer->data());
}

TEST(Bytes, assignment_to_itself_and_moves_keep_the_count) {
    auto* buffer = Buffer::allocate(4);
    auto bytes = Bytes::adopt(buffer, 4);
    auto& same = bytes;
    bytes = same;
    EXPECT_TRUE(buffer->unique());
    auto moved = std::move(bytes);
    EXPECT_TRUE(buffer->unique());
    EXPECT_TRUE(bytes.empty());  // NOLINT(bugprone-use-after-move): that is the test
    bytes = moved;
    EXPECT_FALSE(buffer->unique());
}

TEST(Bytes, copies_may_be_dropped_by_several_threads) {
    const auto bytes = Bytes::copy_of("shared by four");
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([bytes] {
            for (int i = 0; i < 10'000; ++i) {
                const auto part = bytes.slice(static_cast<std::size_t>(i) % 14);
                ASSERT_FALSE(part.empty());
            }
        });
    }
}

TEST(Bytes, an_impossible_size_is_bad_alloc) {
    EXPECT_THROW(Buffer::allocate(std::numeric_limits<std::size_t>::max()), std::bad_alloc);
}

}  // namespace
}  // namespace stator
