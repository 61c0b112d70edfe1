#include "stator/codec/json.hpp"

#include <limits>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stator/base/text.hpp"

namespace stator {
namespace {

// Strings are read eight letters at a time.
TEST(DecodeJson, StringsOfEveryLengthWithEveryLetterEverywhere) {
    for (std::size_t size = 0; size < 30; ++size) {
        const std::string plain(size, 'a');
        EXPECT_EQ(decode_json('"' + plain + '"')->get<std::string>(), plain);
        EXPECT_FALSE(decode_json('"' + plain));
        for (std::size_t at = 0; at <= size; ++at) {
            const auto with = [&](std::string_view part) {
                return '"' + plain.substr(0, at) + std::string{part} + plain.substr(at) + '"';
            };
            const auto read = decode_json(with("\\n\xc3\xa9\\\""));
            ASSERT_TRUE(read);
            EXPECT_EQ(
                read->get<std::string>(), plain.substr(0, at) + "\n\xc3\xa9\"" + plain.substr(at)
            );
            EXPECT_TRUE(decode_json(with("\x7f !#[]")));
            EXPECT_FALSE(decode_json(with("\x1f")));
            EXPECT_FALSE(decode_json(with("\x80")));
            EXPECT_FALSE(decode_json(with("\xff")));
            EXPECT_FALSE(decode_json(with("\"")));
        }
    }
}

TEST(DecodeJson, what_is_valid_comes_back_the_same) {
    // Compact texts in the spelling of our own encoder.
    for (const auto* text : {
             "null",
             "true",
             "false",
             "0",
             "-1",
             "18446744073709551615",
             "-9223372036854775808",
             "1.5",
             "-0.0",
             "1e+300",
             "2.2250738585072014e-308",
             "5e-324",
             "\"\"",
             "\"a\xc3\xa9\xf0\x9f\x98\x80\"",
             R"("\"\\\b\f\n\r\t\u0000\u001f")",
             "[]",
             "{}",
             "[1,[2,[3]],{}]",
             R"({"z":1,"a":{"y":[],"b":null},"m":"x"})",
             R"({"":0})",
         }) {
        const auto document = decode_json(text);
        ASSERT_TRUE(document.has_value()) << text << ": " << document.error().what();
        EXPECT_EQ(encode_json(*document).value(), text);
    }
}

TEST(DecodeJson, other_spellings_are_understood) {
    struct Row {
        const char* text;
        const char* compact;
    };
    for (const auto& row : {
             Row{" \t\r\n[ 1 , 2 ] \n", "[1,2]"},
             Row{R"( { "a" : 1 , "b" : 2 } )", R"({"a":1,"b":2})"},
             Row{R"("\u00e9\u20AC\ud83d\ude00\/")", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/\""},
             Row{"-0", "0"},
             Row{"1E2", "100.0"},
             Row{"1e-2", "0.01"},
             Row{"12e+1", "120.0"},
             Row{"1e-400", "0.0"},
             Row{"-1e-400", "-0.0"},
             Row{"0e999999999999999999999", "0.0"},
             Row{"1e-99999999999999999999", "0.0"},
             Row{"0.1000000000000000055511151231257827", "0.1"},
         }) {
        const auto document = decode_json(row.text);
        ASSERT_TRUE(document.has_value()) << row.text << ": " << document.error().what();
        EXPECT_EQ(encode_json(*document).value(), row.compact);
    }
    const auto tiny = "0." + std::string(400, '0') + "1";
    EXPECT_EQ(encode_json(decode_json(tiny).value()).value(), "0.0");
    const auto shifted = "0." + std::string(400, '0') + "1e+401";
    EXPECT_EQ(encode_json(decode_json(shifted).value()).value(), "1.0");
}

TEST(DecodeJson, what_is_wrong_has_a_name) {
    struct Row {
        std::string text;
        const char* detail;
    };
    const Row rows[] = {
        {"", "json.syntax"},
        {"  ", "json.syntax"},
        {"nul", "json.syntax"},
        {"truex", "json.syntax"},
        {"True", "json.syntax"},
        {"NaN", "json.syntax"},
        {"-Infinity", "json.syntax"},
        {"+1", "json.syntax"},
        {"01", "json.syntax"},
        {"-", "json.syntax"},
        {"1.", "json.syntax"},
        {".5", "json.syntax"},
        {"1e", "json.syntax"},
        {"1e+", "json.syntax"},
        {"0x10", "json.syntax"},
        {"--1", "json.syntax"},
        {"1 2", "json.syntax"},
        {"[", "json.syntax"},
        {"]", "json.syntax"},
        {"[1", "json.syntax"},
        {"[1,", "json.syntax"},
        {"[1,]", "json.syntax"},
        {"[,1]", "json.syntax"},
        {"[1 2]", "json.syntax"},
        {"[1}", "json.syntax"},
        {"[]]", "json.syntax"},
        {"{", "json.syntax"},
        {"{,}", "json.syntax"},
        {R"({"a")", "json.syntax"},
        {R"({"a" 1})", "json.syntax"},
        {R"({"a":})", "json.syntax"},
        {R"({"a":1,})", "json.syntax"},
        {R"({"a":1 "b":2})", "json.syntax"},
        {R"({"a":1])", "json.syntax"},
        {R"({"a"::1})", "json.syntax"},
        {"{1:2}", "json.key"},
        {"{null:2}", "json.key"},
        {"// comment\n1", "json.syntax"},
        {"'a'", "json.syntax"},
        {"\"", "json.syntax"},
        {"\"a", "json.syntax"},
        {"\"\\", "json.syntax"},
        {R"("\x41")", "json.syntax"},
        {R"("\u12")", "json.syntax"},
        {R"("\u12g4")", "json.syntax"},
        {R"("\u-123")", "json.syntax"},
        {"\"a\nb\"", "json.syntax"},
        {std::string{"\"a\0b\"", 5}, "json.syntax"},
        {std::string{"1\0", 2}, "json.syntax"},
        {std::string{"{}\0{}", 5}, "json.syntax"},
        {"\xef\xbb\xbf{}", "json.syntax"},
        {"\"\xff\"", "json.utf8"},
        {"\"\xc3\"", "json.utf8"},
        {"\"\xed\xa0\x80\"", "json.utf8"},
        {R"("\ud800")", "json.utf8"},
        {R"("\ud800x")", "json.utf8"},
        {R"("\ud800\n")", "json.utf8"},
        {R"("\ud800\u0041")", "json.utf8"},
        {R"("\udc00")", "json.utf8"},
        {"18446744073709551616", "json.number"},
        {"-9223372036854775809", "json.number"},
        {std::string(10'000, '9'), "json.number"},
        {"1e400", "json.number"},
        {"-1e400", "json.number"},
        {"1e99999999999999999999", "json.number"},
        {"0.00001e330", "json.number"},
        {std::string(400, '9') + ".5", "json.number"},
        {R"({"a":1,"a":2})", "json.duplicate_key"},
        {R"({"a":1,"\u0061":2})", "json.duplicate_key"},
        {std::string(200'000, '['), "json.depth"},
        {std::string(200'000, '[') + std::string(200'000, ']'), "json.depth"},
    };
    for (const auto& row : rows) {
        const auto document = decode_json(row.text);
        ASSERT_FALSE(document.has_value()) << quoted_text(row.text);
        EXPECT_EQ(document.error().code(), ErrorCode::invalid_request) << quoted_text(row.text);
        EXPECT_EQ(document.error().detail(), row.detail)
            << quoted_text(row.text) << document.error().what();
    }
    std::string maps;
    for (int i = 0; i < 200'000; ++i) maps += "{\"a\":";
    EXPECT_EQ(decode_json(maps).error().detail(), "json.depth");
}

TEST(DecodeJson, an_error_says_where) {
    EXPECT_STREQ(
        decode_json("[1,2").error().what(),
        "invalid_request [json.syntax]: the text ends inside an array or map at byte 4"
    );
}

TEST(DecodeJson, every_cut_of_a_document_is_an_error) {
    const std::string text = R"({"a":[1,-2.5e3,true,null,"x\u00e9\ud83d\ude00"],"b":{"c":"d"}})";
    ASSERT_TRUE(decode_json(text).has_value());
    for (std::size_t size = 0; size < text.size(); ++size) {
        EXPECT_FALSE(decode_json(text.substr(0, size)).has_value()) << size;
    }
}

TEST(DecodeJson, keeps_to_its_limits) {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    EXPECT_TRUE(decode_json(nested(128)).has_value());
    EXPECT_EQ(decode_json(nested(129)).error().detail(), "json.depth");
    EXPECT_TRUE(decode_json(nested(3), {.max_depth = 3}).has_value());
    EXPECT_EQ(decode_json(nested(4), {.max_depth = 3}).error().detail(), "json.depth");
    EXPECT_EQ(decode_json(nested(129), {.max_depth = 100'000}).error().detail(), "json.depth");

    const auto large = decode_json("[1,2,3]", {.max_size = 6});
    ASSERT_FALSE(large.has_value());
    EXPECT_EQ(large.error().code(), ErrorCode::payload_too_large);
    EXPECT_EQ(large.error().detail(), "json.size");
    EXPECT_TRUE(decode_json("[1,2,3]", {.max_size = 7}).has_value());

    EXPECT_TRUE(decode_json(R"([1,{"a":2}])", {.max_values = 3}).has_value());
    EXPECT_EQ(decode_json(R"([1,{"a":2}])", {.max_values = 2}).error().detail(), "json.values");
}

TEST(DecodeJson, many_keys_take_linear_time) {
    // With a search per key this takes minutes, and the test its time limit.
    std::string text = "{";
    for (int i = 0; i < 300'000; ++i) text += fmt::format("\"key{}\":{},", i, i);
    text += "\"last\":0}";
    const auto document = decode_json(text);
    ASSERT_TRUE(document.has_value()) << document.error().what();
    EXPECT_EQ(document->size(), 300'001U);
    text.insert(text.size() - 1, ",\"key150000\":1");
    EXPECT_EQ(decode_json(text).error().detail(), "json.duplicate_key");
}

TEST(EncodeJson, what_json_cannot_hold_has_a_name) {
    constexpr auto infinity = std::numeric_limits<double>::infinity();
    struct Row {
        Document document;
        const char* detail;
    };
    Document deep = 1;
    for (int i = 0; i < 129; ++i) deep = Document::array({std::move(deep)});
    const Row rows[] = {
        {Document(std::numeric_limits<double>::quiet_NaN()), "payload.number"},
        {Document{{"a", {1, -infinity}}}, "payload.number"},
        {Document("\xff"), "payload.utf8"},
        {Document{{"\xc3", 1}}, "payload.utf8"},
        {Document::binary({1, 2, 3}), "payload.binary"},
        {Document(Document::value_t::discarded), "payload.structure"},
        {deep, "payload.depth"},
    };
    for (const auto& row : rows) {
        const auto text = encode_json(row.document);
        ASSERT_FALSE(text.has_value()) << row.detail;
        EXPECT_EQ(text.error().code(), ErrorCode::invalid_request);
        EXPECT_EQ(text.error().detail(), row.detail);
    }
}

TEST(EncodeJson, a_document_deeper_than_the_stack_is_refused) {
    Document deep = 1;
    for (int i = 0; i < 200'000; ++i) deep = Document::array({std::move(deep)});
    EXPECT_EQ(encode_json(deep).error().detail(), "payload.depth");
    EXPECT_EQ(encode_msgpack(deep).error().detail(), "payload.depth");
}

}  // namespace
}  // namespace stator
