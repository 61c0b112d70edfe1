// How objects are written: records, digests, subjects, addresses.
#include "nats/object_record.hpp"

#include <gtest/gtest.h>

#include "nats/base64.hpp"
#include "nats/sha256.hpp"
#include "stator/nats/object_url.hpp"

namespace stator::test {
namespace {

using nats::ObjectInfo;
using nats::ObjectUrl;

std::span<const std::byte> octets(std::string_view text) { return std::as_bytes(std::span{text}); }

std::string digest_of(std::initializer_list<std::string_view> pieces) {
    nats::Sha256 sha256;
    for (const auto piece : pieces) sha256.add(octets(piece));
    return nats::digest_text(sha256.finish());
}

// The values of FIPS 180-2 for nothing and for "abc".
TEST(ObjectRecord, ADigestIsThatOfAllPieces) {
    EXPECT_EQ(digest_of({}), "SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=");
    EXPECT_EQ(digest_of({"abc"}), "SHA-256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=");
    EXPECT_EQ(digest_of({"a", "", "bc"}), digest_of({"abc"}));
}

TEST(ObjectRecord, Base64OfEveryLength) {
    std::string bytes;
    for (int length = 0; length < 70; ++length) {
        auto text = nats::to_base64url(bytes);
        EXPECT_EQ(text.size() % 4, 0U);
        EXPECT_FALSE(text.contains('+') || text.contains('/'));
        for (char& letter : text) letter = letter == '-' ? '+' : letter == '_' ? '/' : letter;
        EXPECT_EQ(nats::from_base64(text), bytes);
        bytes += static_cast<char>(255 - 7 * length);
    }
    for (const auto* const bad : {"a", "ab", "abc", "a===", "====", "ab*=", "ab=c", "YWJj\n"})
        EXPECT_EQ(nats::from_base64(bad).value_or("refused"), "refused") << bad;
}

TEST(ObjectRecord, Subjects) {
    EXPECT_EQ(nats::object_stream("models"), "OBJ_models");
    EXPECT_EQ(nats::chunk_subject("models", "N1"), "$O.models.C.N1");
    EXPECT_EQ(nats::record_pattern("models"), "$O.models.M.>");
    EXPECT_EQ(nats::object_record_subject("models", "a.b/c?"), "$O.models.M.YS5iL2M_");
}

TEST(ObjectRecord, IsWrittenAsOthersReadIt) {
    const ObjectInfo info{
        .name = "config.json",
        .bucket = "models",
        .nuid = "CkuyLEX4z2hbyjj1aWCfiH",
        .size = 344'000,
        .chunks = 3,
        .digest = "SHA-256=abc=",
        .modified = "2026-01-02T03:04:05.000000006Z",
        .max_chunk_size = 131'072,
    };
    EXPECT_EQ(
        nats::record_text(info).view(),
        R"({"name":"config.json","options":{"max_chunk_size":131072},"bucket":"models",)"
        R"("nuid":"CkuyLEX4z2hbyjj1aWCfiH","size":344000,"mtime":"2026-01-02T03:04:05.000000006Z",)"
        R"("chunks":3,"digest":"SHA-256=abc="})"
    );
    const auto again = nats::read_record(nats::record_text(info).view(), "later");
    ASSERT_TRUE(again) << again.error().what();
    EXPECT_EQ(again->nuid, info.nuid);
    EXPECT_EQ(again->size, info.size);
    EXPECT_EQ(again->chunks, info.chunks);
    EXPECT_EQ(again->digest, info.digest);
    EXPECT_EQ(again->modified, "later");
    EXPECT_FALSE(again->deleted);
}

TEST(ObjectRecord, WhatOthersWriteIsRead) {
    const auto info = nats::read_record(
        R"({"name":"a","description":"of it","headers":{"k":["v"]},"bucket":"b","nuid":"N",)"
        R"("size":0,"mtime":"0001-01-01T00:00:00Z","chunks":0,"deleted":true,"digest":null})",
        ""
    );
    ASSERT_TRUE(info) << info.error().what();
    EXPECT_TRUE(info->deleted);
    const auto link = nats::read_record(
        R"({"name":"a","bucket":"b","nuid":"","options":{"link":{"bucket":"c","name":"d"}}})", ""
    );
    ASSERT_TRUE(link) << link.error().what();
    EXPECT_EQ(link->link, "c/d");
    for (const auto* const bad : {
             "",
             "[]",
             "{}",
             R"({"name":"a"})",
             R"({"name":"a","nuid":"x.>"})",
             R"({"name":1,"nuid":"N"})",
             R"({"name":"a","nuid":"N","size":-1})",
             R"({"name":"a","nuid":"N","size":"1"})",
         }) {
        const auto refused = nats::read_record(bad, "");
        ASSERT_FALSE(refused) << bad;
        EXPECT_EQ(refused.error().detail(), "nats.object_record");
    }
}

TEST(ObjectRecord, NamesAreAnyText) {
    for (const std::string name : {" ", "a/b\\c", "*.>", "\n\t\x01", "日本語", "\"{}"})
        EXPECT_TRUE(nats::check_object_name(name)) << name;
    EXPECT_TRUE(nats::check_object_name(std::string(1024, 'x')));
    for (const auto& bad : {std::string{}, std::string(1025, 'x'), std::string{"\xff"}}) {
        const auto refused = nats::check_object_name(bad);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().detail(), "nats.object_name");
    }
}

TEST(ObjectRecord, Times) {
    EXPECT_EQ(nats::time_text(0), "1970-01-01T00:00:00.000000000Z");
    EXPECT_EQ(nats::time_text(1'709'164'799'000'000'001), "2024-02-28T23:59:59.000000001Z");
    for (const auto* const short_form : {"Z", ".Z", ".0Z", ".00000000Z"}) {
        const auto whole = nats::whole_time_text(std::string{"2024-02-28T23:59:59"} + short_form);
        EXPECT_EQ(whole, "2024-02-28T23:59:59.000000000Z") << short_form;
    }
    EXPECT_EQ(
        nats::whole_time_text("2026-11-23T06:49:12.40120798Z"), "2026-11-23T06:49:12.401207980Z"
    );
    for (const std::string other : {"", "later", "2026-11-23", "2026-11-23T06:49:12.4+01:00"})
        EXPECT_EQ(nats::whole_time_text(other), other);
}

TEST(ObjectRecord, TheTimeOfTheServerHasOneForm) {
    const auto info = nats::read_record(R"({"name":"a","nuid":"N"})", "2026-11-23T06:49:12.4Z");
    ASSERT_TRUE(info) << info.error().what();
    EXPECT_EQ(info->modified, "2026-11-23T06:49:12.400000000Z");
}

TEST(ObjectUrl, IsReadAndWritten) {
    const ObjectUrl plain{"nats://10.0.0.5:4222", "models", "config.json"};
    EXPECT_EQ(plain.to_string(), "nats://10.0.0.5:4222/models/config.json");
    EXPECT_EQ(ObjectUrl::parse(plain.to_string()).value(), plain);
    std::string every;
    for (int letter = 1; letter < 256; ++letter) every += static_cast<char>(letter);
    const ObjectUrl odd{"tls://nats.example", "b-1_2", "/a//b?#%" + every};
    EXPECT_EQ(ObjectUrl::parse(odd.to_string()).value(), odd);
    EXPECT_EQ(ObjectUrl::parse("nats://h/b/a%2fb%20c").value().name, "a/b c");
    for (const auto* const bad : {
             "",
             "models/config.json",
             "http://h/b/k",
             "nats://h",
             "nats://h/b",
             "nats://h/b/",
             "nats:///b/k",
             "nats://h//k",
             "nats://h/b.c/k",
             "nats://h/b/k%2",
             "nats://h/b/k%xy",
             "nats://h/b/k?x=1",
         }) {
        const auto refused = ObjectUrl::parse(bad);
        ASSERT_FALSE(refused) << bad;
        EXPECT_EQ(refused.error().detail(), "nats.object_url");
    }
}

}  // namespace
}  // namespace stator::test
