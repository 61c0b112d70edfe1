#include "stator/store/keys.hpp"

#include <string>

#include <gtest/gtest.h>

#include "store/file_name.hpp"

namespace stator::store {
namespace {

TEST(Keys, SplitsBucketAndRest) {
    const auto parts = split_key("v1/instances/ns/comp/ep/1a2b");
    ASSERT_TRUE(parts);
    EXPECT_EQ(parts->bucket, "v1/instances");
    EXPECT_EQ(parts->rest, "ns/comp/ep/1a2b");
}

TEST(Keys, RefusesWithAName) {
    const std::string_view bad[] = {
        "",
        "v1",
        "v1/instances",
        "v1/instances/",
        "/v1/instances/a",
        "v1//a",
        "V1/instances/a",
        "../etc/passwd",
        "v1/../a",
        "v1/instances//a",
        "v1/instances/a/",
        "v1/instances/a//b",
        "v1/instances/a\nb",
        "v1/in.stances/a",
    };
    for (const auto key : bad) {
        const auto parts = split_key(key);
        ASSERT_FALSE(parts) << key;
        EXPECT_EQ(parts.error().code(), ErrorCode::invalid_request);
        EXPECT_EQ(parts.error().detail(), "store.key");
    }
    EXPECT_FALSE(split_key("v1/instances/" + std::string(max_key_size, 'a')));
    EXPECT_FALSE(split_key(std::string_view{"v1/instances/a\0b", 16}));
}

TEST(Keys, PrefixesMayEndAnywhereAfterTheBucket) {
    EXPECT_TRUE(split_prefix("v1/instances/"));
    EXPECT_TRUE(split_prefix("v1/instances/ns/comp/"));
    EXPECT_TRUE(split_prefix("v1/instances/ns/co"));
    EXPECT_FALSE(split_prefix("v1/instances"));
    EXPECT_FALSE(split_prefix("v1/"));
    EXPECT_FALSE(split_prefix(""));
}

TEST(FileName, IsTheOriginals) {
    // Seen on disk, written by Dynamo 1.6.1.
    EXPECT_EQ(
        encode_file_name("my-ns/my_comp/gen_er-ate/92e42ca7e33730ff"),
        "my%2Dns%2Fmy%5Fcomp%2Fgen%5Fer%2Date%2F92e42ca7e33730ff"
    );
    EXPECT_EQ(encode_file_name("a.b/c%d"), "a%2Eb%2Fc%25d");
    EXPECT_EQ(encode_file_name("\xc3\xa9"), "%C3%A9");
}

TEST(FileName, ReadsWhatItWrites) {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    EXPECT_EQ(decode_file_name(encode_file_name(all)), all);
}

TEST(FileName, ReadsNothingElse) {
    const std::string_view bad[] = {
        "a-b", "a%2", "a%", "a%2g", "a%2f", "%41", "%61", ".tmp_1", "a b"
    };
    for (const auto name : bad) EXPECT_EQ(decode_file_name(name), std::nullopt) << name;
}

TEST(FileName, TemporaryOnesAreKnown) {
    const auto name = temporary_name();
    EXPECT_EQ(name.size(), 21U);
    EXPECT_EQ(name.substr(0, 5), ".tmp_");
    EXPECT_EQ(name.find_first_not_of("0123456789abcdef", 5), std::string::npos);
    EXPECT_TRUE(is_temporary_name(name));
    EXPECT_FALSE(is_temporary_name("tmp_1"));
    EXPECT_NE(temporary_name(), name);
}

}  // namespace
}  // namespace stator::store
