// Keys as subjects, and back.
#include <string>

#include <gtest/gtest.h>

#include "stator/base/random.hpp"
#include "stator/nats/jetstream.hpp"
#include "stator/nats/message.hpp"
#include "store/jetstream/subject.hpp"

namespace stator::store::jetstream {
namespace {

TEST(KeySubject, PartsBecomePartsAndOtherBytesHex) {
    EXPECT_EQ(subject_of("stator", "v1/test/a/1"), "$KV.stator.v1.test.a.1");
    EXPECT_EQ(
        subject_of("b", "v1/test/a.b c*>=$\xc3\xa9"), "$KV.b.v1.test.a=2Eb=20c=2A=3E=3D=24=C3=A9"
    );
    EXPECT_EQ(pattern_of("b", "v1/test/"), "$KV.b.v1.test.>");
    EXPECT_EQ(pattern_of("b", "v1/test/x/some.thi"), "$KV.b.v1.test.x.>");
}

TEST(KeySubject, EveryKeyComesBack) {
    Random random{7};
    for (int i = 0; i < 2000; ++i) {
        std::string key = "v1/test/";
        const auto size = 1 + random.below(20);
        for (std::uint64_t j = 0; j < size; ++j) {
            const auto byte = static_cast<char>(0x20 + random.below(0xe0));
            key += byte == 0x7f || (byte == '/' && key.back() == '/') ? 'x' : byte;
        }
        if (key.back() == '/') key += 'y';
        const auto subject = subject_of("stator", key);
        EXPECT_TRUE(nats::is_subject(subject)) << subject;
        EXPECT_EQ(key_of("stator", subject), key);
    }
}

TEST(KeySubject, ASubjectHasOneKeyAtMost) {
    for (const auto* subject :
         {"$KV.other.v1.test.a",
          "$KV.b",
          "$KV.b.v1.test.a/b",
          "$KV.b.v1.test.=2e",
          "$KV.b.v1.test.=2",
          "$KV.b.v1.test.=",
          "$KV.b.v1.test.=41",
          "$KV.b.v1.test.=2F",
          "$KV.b.v1.test.a b"})
        EXPECT_EQ(key_of("b", subject), std::nullopt) << subject;
    EXPECT_EQ(key_of("b", "$KV.b.v1.test.=2E"), "v1/test/.");
}

TEST(KeySubject, NamesOfBuckets) {
    for (const auto* good : {"stator", "A-b_9"}) EXPECT_TRUE(nats::is_stream_name(good)) << good;
    for (const auto* bad : {"", "a.b", "a b", "a*", "a/b", "\xc3\xa9"})
        EXPECT_FALSE(nats::is_stream_name(bad)) << bad;
    EXPECT_FALSE(nats::is_stream_name(std::string(201, 'a')));
}

}  // namespace
}  // namespace stator::store::jetstream
