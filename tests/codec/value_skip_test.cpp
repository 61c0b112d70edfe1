// Reading past values: what is skipped is exactly one value, and its bytes are its own encoding.
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"
#include "stator/codec/value_reader.hpp"

namespace stator {
namespace {

constexpr auto json = PayloadCodec::json;
constexpr auto msgpack = PayloadCodec::msgpack;

Result<std::string> raw_of(std::string_view text, PayloadCodec codec) {
    ValueReader in{Bytes::copy_of(text), codec};
    auto bytes = in.raw();
    if (!bytes) return std::unexpected{bytes.error()};
    if (auto good = in.finish(); !good) return std::unexpected{good.error()};
    return bytes->to_string();
}

const std::string_view documents[] = {
    "null",
    "true",
    "false",
    "0",
    "-1",
    "18446744073709551615",
    "-9223372036854775808",
    "1.5e300",
    R"("")",
    R"("a\"b\\ \u00e9 ü")",
    "[]",
    "{}",
    "[[],{},[[]]]",
    R"({"a":{"b":[1,2,{"c":null}],"":[]},"d":"}]"})",
    R"([1,"],[",{"k":"v\""},-0.5])",
};

TEST(ValueSkip, RawIsTheValueAsItWas) {
    for (const auto text : documents) {
        EXPECT_EQ(raw_of(text, json), text);
        const auto packed = encode_msgpack(*decode_json(text))->to_string();
        EXPECT_EQ(raw_of(packed, msgpack), packed) << text;
    }
}

TEST(ValueSkip, RawLeavesOutTheSpaceAround) {
    EXPECT_EQ(raw_of(" \t\n[ 1 , { \"a\" : 2 } ] \r\n", json), "[ 1 , { \"a\" : 2 } ]");
}

TEST(ValueSkip, WhatFollowsIsStillThere) {
    for (const auto codec : {json, msgpack}) {
        for (const auto text : documents) {
            const auto document = Document::parse("[" + std::string{text} + ",7]");
            const auto bytes =
                codec == json ? Bytes::copy_of(*encode_json(document)) : *encode_msgpack(document);
            ValueReader in{bytes, codec};
            ASSERT_TRUE(in.begin_array());
            ASSERT_TRUE(in.next_item().value());
            ASSERT_TRUE(in.skip()) << text;
            ASSERT_TRUE(in.next_item().value());
            EXPECT_EQ(in.integer().value(), 7) << text;
            EXPECT_FALSE(in.next_item().value());
            EXPECT_TRUE(in.finish());
        }
    }
}

TEST(ValueSkip, RawSharesTheMemory) {
    const auto bytes = Bytes::copy_of(R"({"a":[1,2,3]})");
    ValueReader in{bytes, json};
    ASSERT_TRUE(in.begin_map());
    ASSERT_TRUE(in.next_key().value());
    EXPECT_EQ(in.raw()->data(), bytes.data() + 5);
}

TEST(ValueSkip, CutAnywhereIsAnError) {
    for (const auto text : documents) {
        for (std::size_t cut = 0; cut < text.size(); ++cut) {
            const auto raw = raw_of(text.substr(0, cut), json);
            // The front of a number is a number.
            if (raw) {
                EXPECT_NE(text.find_first_of("0123456789"), std::string_view::npos) << text;
            }
        }
        const auto packed = encode_msgpack(*decode_json(text))->to_string();
        for (std::size_t cut = 0; cut < packed.size(); ++cut) {
            EXPECT_FALSE(raw_of(std::string_view{packed}.substr(0, cut), msgpack)) << text;
        }
    }
}

TEST(ValueSkip, BadStructureIsAnError) {
    for (const std::string_view text : {
             "[1,]",      "[,1]", "[1 2]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{1:2}", "[}", "{]",
             "[1}",       "tru",  "nul",   "\"a",     "\"a\\",    "\"\n\"",     "+1",    "01", "1.",
             "{\"a\":1]", "[[1]", "",      "]",       "}",        "1e",         "-",
         }) {
        EXPECT_FALSE(raw_of(text, json)) << text;
    }
    for (const std::string_view bytes :
         {"\xc1",
          "\xc7\x01\x01",
          "\x81\x01\x02",
          "\x92\x01",
          "\xdd\xff\xff\xff\xff",
          "\xc6\xff\xff\xff\xff",
          "\xd9\x05x"}) {
        EXPECT_FALSE(raw_of(bytes, msgpack));
    }
}

TEST(ValueSkip, StringsAreNotLookedInto) {
    EXPECT_TRUE(raw_of("\"\xff \\q \\ud800\"", json));
    EXPECT_TRUE(raw_of("\xa1\xff", msgpack));
}

TEST(ValueSkip, AValueIsAsDeepWhereverItIs) {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    EXPECT_TRUE(raw_of(nested(128), json));
    EXPECT_FALSE(raw_of(nested(129), json));
    EXPECT_FALSE(raw_of(std::string(200'000, '['), json));
    const auto text = "[" + nested(128) + "]";
    ValueReader in{Bytes::of_static(text), json};
    ASSERT_TRUE(in.begin_array());
    ASSERT_TRUE(in.next_item().value());
    EXPECT_TRUE(in.skip());
    EXPECT_FALSE(in.next_item().value());
    // The bound of the reader itself is back.
    const auto deep = "[" + nested(1) + "," + nested(128) + "]";
    ValueReader bound{Bytes::of_static(deep), json};
    ASSERT_TRUE(bound.begin_array());
    ASSERT_TRUE(bound.next_item().value());
    ASSERT_TRUE(bound.skip());
    ASSERT_TRUE(bound.next_item().value());
    EXPECT_FALSE(read_document(bound));
}

TEST(ValueSkip, ValuesAreCounted) {
    ValueReader in{Bytes::of_static("[1,2,3]"), json, {.max_values = 2}};
    const auto skipped = in.skip();
    ASSERT_FALSE(skipped);
    EXPECT_EQ(skipped.error().detail(), "json.values");
}

TEST(ValueSkip, RawPayloadsHaveNone) {
    ValueReader in{Bytes::of_static("x"), PayloadCodec::raw};
    EXPECT_EQ(in.skip().error().detail(), "payload.codec");
}

}  // namespace
}  // namespace stator
