#include "stator/nats/message.hpp"

#include <gtest/gtest.h>

namespace stator::nats {
namespace {

TEST(NatsSubjects, HaveNoEmptyPartsAndNoBlanks) {
    for (const auto* good : {"a", "a.b", "$SRV.PING", "_INBOX.x.1", "a*b", "h\xc3\xa9"})
        EXPECT_TRUE(is_subject(good)) << good;
    for (const auto* bad :
         {"", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\n", "*", "a.>", "a.*.b"})
        EXPECT_FALSE(is_subject(bad)) << bad;
    EXPECT_FALSE(is_subject(std::string_view{"a\0b", 3}));
}

TEST(NatsSubjects, APatternEndsWithTheRest) {
    for (const auto* good : {"a", "*", ">", "a.*.b", "a.>", "*.*"})
        EXPECT_TRUE(is_pattern(good)) << good;
    for (const auto* bad : {"", ">.a", "a.>.b", "a..b", "a b"})
        EXPECT_FALSE(is_pattern(bad)) << bad;
}

TEST(NatsMessages, FindAHeaderInAnyCase) {
    Message message;
    message.headers = {{"Request-Id", "7"}, {"x", "1"}, {"X", "2"}};
    ASSERT_NE(message.header("request-id"), nullptr);
    EXPECT_EQ(*message.header("request-id"), "7");
    EXPECT_EQ(*message.header("X"), "1");
    EXPECT_EQ(message.header("y"), nullptr);
}

TEST(NatsMessages, CountWhatTheServerCounts) {
    Publication made;
    made.payload = Bytes::of_static("12345");
    EXPECT_EQ(made.size(), 5);
    made.headers = {{"a", "b"}};
    // NATS/1.0<>a: b<><>
    EXPECT_EQ(made.size(), 5 + 10 + 6 + 2);
}

}  // namespace
}  // namespace stator::nats
