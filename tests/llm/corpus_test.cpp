#include "stator/llm/corpus.hpp"

#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/store/store_fixture.hpp"

namespace stator::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CorpusTest : public ::testing::Test {
protected:
    std::filesystem::path write(const std::string& name, const std::string& text) const {
        const auto path = folder_.path() / name;
        std::ofstream{path, std::ios::binary} << text;
        return path;
    }
    const stator::test::TemporaryFolder folder_;
};

TEST_F(CorpusTest, takes_what_is_there_in_a_fixed_order) {
    write("Artistic", "third");
    write("GPL-2", "second");
    write("unknown", "never");
    write("GPL-3", "first");
    write("MPL-2.0", "");
    const auto corpus = read_licences(folder_.path());
    ASSERT_TRUE(corpus);
    EXPECT_EQ(corpus->text, "first\nsecond\nthird\n");
    EXPECT_THAT(corpus->names, ElementsAre("GPL-3", "GPL-2", "Artistic"));
}

TEST_F(CorpusTest, nothing_to_learn_from_is_an_error_that_says_where_it_looked) {
    for (const auto& folder : {folder_.path(), folder_.path() / "missing"}) {
        const auto corpus = read_licences(folder);
        ASSERT_FALSE(corpus);
        EXPECT_EQ(corpus.error().code(), ErrorCode::not_found);
        EXPECT_EQ(corpus.error().detail(), "corpus.not_found");
        EXPECT_THAT(corpus.error().what(), HasSubstr(folder.string()));
        EXPECT_THAT(corpus.error().what(), HasSubstr("GPL-3"));
        EXPECT_THAT(corpus.error().what(), HasSubstr("--corpus"));
    }
}

TEST_F(CorpusTest, a_text_of_the_users_own) {
    const auto corpus = read_text(write("story", "once upon a time"));
    ASSERT_TRUE(corpus);
    EXPECT_EQ(corpus->text, "once upon a time");
    EXPECT_THAT(corpus->names, ElementsAre("story"));
}

TEST_F(CorpusTest, a_file_that_cannot_be_read_is_an_error) {
    for (const auto& path : {folder_.path(), folder_.path() / "missing", write("empty", "")}) {
        const auto corpus = read_text(path);
        ASSERT_FALSE(corpus);
        EXPECT_EQ(corpus.error().detail(), "corpus.not_found");
    }
}

TEST_F(CorpusTest, a_file_beyond_the_limit_is_refused_unread) {
    const auto path = write("large", "x");
    std::filesystem::resize_file(path, (16U << 20U) + 1);
    const auto corpus = read_text(path);
    ASSERT_FALSE(corpus);
    EXPECT_EQ(corpus.error().code(), ErrorCode::payload_too_large);
}

}  // namespace
}  // namespace stator::llm
