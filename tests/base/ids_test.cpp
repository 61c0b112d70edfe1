#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <set>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include <gtest/gtest.h>

#include "stator/base/instance_id.hpp"
#include "stator/base/random.hpp"
#include "stator/base/request_id.hpp"

namespace stator {
namespace {

TEST(InstanceId, is_written_in_hex_without_padding) {
    struct Row {
        std::uint64_t value;
        std::string_view text;
    };
    constexpr Row rows[] = {
        {0, "0"},
        {0xa, "a"},
        {0xdd2443044320d6d2, "dd2443044320d6d2"},
        {std::numeric_limits<std::uint64_t>::max(), "ffffffffffffffff"},
    };
    for (const auto& row : rows) {
        EXPECT_EQ(InstanceId{row.value}.to_string(), row.text);
        EXPECT_EQ(InstanceId::parse(row.text), InstanceId{row.value});
    }
}

TEST(InstanceId, has_one_spelling_only) {
    for (const auto* text :
         {"", "0a", "00", "A", "0x1", "g", " a", "a ", "-1", "10000000000000000"}) {
        const auto id = InstanceId::parse(text);
        ASSERT_FALSE(id.has_value()) << text;
        EXPECT_EQ(id.error().code(), ErrorCode::invalid_request);
        EXPECT_EQ(id.error().detail(), "instance_id.invalid");
    }
}

TEST(InstanceId, random_ones_differ_and_use_all_bits) {
    std::unordered_set<InstanceId> ids;
    std::uint64_t ones = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto id = InstanceId::random();
        EXPECT_TRUE(id);
        ones |= id.value();
        ids.insert(id);
    }
    EXPECT_EQ(ids.size(), 1000U);
    EXPECT_EQ(ones, std::numeric_limits<std::uint64_t>::max());
    EXPECT_FALSE(InstanceId{});
}

TEST(RequestId, is_a_version_4_uuid) {
    for (int i = 0; i < 1000; ++i) {
        const auto id = RequestId::random();
        const auto text = id.to_string();
        ASSERT_EQ(text.size(), RequestId::text_size);
        EXPECT_EQ(text[14], '4') << text;
        EXPECT_NE(std::string_view{"89ab"}.find(text[19]), std::string_view::npos) << text;
        EXPECT_EQ(RequestId::parse(text), id);
    }
}

TEST(RequestId, text_and_numbers_agree) {
    const RequestId id{0x6f9619ff8b864d01U, 0xb42d00cf4fc964ffU};
    EXPECT_EQ(id.to_string(), "6f9619ff-8b86-4d01-b42d-00cf4fc964ff");
    EXPECT_EQ(RequestId::parse("6F9619FF-8B86-4D01-B42D-00CF4FC964FF"), id);
    EXPECT_EQ(RequestId{}.to_string(), "00000000-0000-0000-0000-000000000000");
    EXPECT_FALSE(RequestId{});
    EXPECT_TRUE((RequestId{0, 1}));
}

TEST(RequestId, what_is_no_uuid_is_refused) {
    const std::string good = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
    std::vector<std::string> bad{
        "", "6f9619ff8b864d01b42d00cf4fc964ff", good + "0", good.substr(1), "{" + good + "}"
    };
    for (std::size_t i = 0; i < good.size(); ++i) {
        for (const char letter : {'g', ' ', good[i] == '-' ? '0' : '-'}) {
            auto changed = good;
            changed[i] = letter;
            bad.push_back(changed);
        }
    }
    EXPECT_GT(bad.size(), 100U);
    for (const auto& text : bad) {
        const auto id = RequestId::parse(text);
        ASSERT_FALSE(id.has_value()) << text;
        EXPECT_EQ(id.error().detail(), "request_id.invalid");
    }
}

TEST(RequestId, threads_do_not_repeat_each_other) {
    constexpr int per_thread = 5000;
    std::array<std::vector<RequestId>, 4> made;
    {
        std::vector<std::jthread> threads;
        for (auto& ids : made) {
            threads.emplace_back([&ids] {
                for (int i = 0; i < per_thread; ++i) ids.push_back(RequestId::random());
            });
        }
    }
    std::unordered_set<RequestId> all;
    for (const auto& ids : made) all.insert(ids.begin(), ids.end());
    EXPECT_EQ(all.size(), made.size() * per_thread);
}

TEST(Random, a_forked_child_does_not_repeat_its_parent) {
    thread_random()();
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const auto child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const auto value = thread_random()();
        const bool sent =
            ::write(pipe[1], &value, sizeof value) == static_cast<ssize_t>(sizeof value);
        ::_exit(sent ? 0 : 1);
    }
    const auto mine = thread_random()();
    std::uint64_t its = 0;
    ASSERT_EQ(::read(pipe[0], &its, sizeof its), static_cast<ssize_t>(sizeof its));
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ::close(pipe[0]);
    ::close(pipe[1]);
    EXPECT_NE(mine, its);
}

TEST(Random, equal_seeds_give_equal_sequences) {
    Random a{7};
    Random b{7};
    Random c{8};
    std::set<std::uint64_t> values;
    for (int i = 0; i < 100; ++i) {
        const auto value = a();
        EXPECT_EQ(value, b());
        values.insert(value);
        values.insert(c());
    }
    EXPECT_EQ(values.size(), 200U);
}

TEST(Random, is_even_within_its_bounds) {
    Random random{1};
    std::array<int, 7> seen{};
    for (int i = 0; i < 70'000; ++i) ++seen.at(random.below(seen.size()));
    for (const int count : seen) EXPECT_NEAR(count, 10'000, 500);
    EXPECT_EQ(random.below(0), 0U);
    EXPECT_EQ(random.below(1), 0U);
    for (int i = 0; i < 1000; ++i) {
        const auto unit = random.unit();
        EXPECT_GE(unit, 0.0);
        EXPECT_LT(unit, 1.0);
    }
}

}  // namespace
}  // namespace stator
