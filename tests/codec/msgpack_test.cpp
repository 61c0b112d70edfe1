#include <cmath>
#include <limits>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stator/base/text.hpp"
#include "stator/codec/json.hpp"

namespace stator {
namespace {

std::string bytes_of(std::string_view hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        if (hex[i] == ' ')
            --i;
        else
            bytes.push_back(static_cast<char>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16))
            );
    }
    return bytes;
}

Result<Document> decode(std::string_view bytes, DecodeLimits limits = {}) {
    return decode_msgpack(std::as_bytes(std::span{bytes}), limits);
}

struct Form {
    const char* json;
    std::string_view hex;
};

// The shortest form of each value, which is what the encoder writes.
constexpr Form shortest[] = {
    {"null", "c0"},
    {"false", "c2"},
    {"true", "c3"},
    {"0", "00"},
    {"127", "7f"},
    {"128", "cc80"},
    {"255", "ccff"},
    {"256", "cd0100"},
    {"65535", "cdffff"},
    {"65536", "ce00010000"},
    {"4294967295", "ceffffffff"},
    {"4294967296", "cf0000000100000000"},
    {"18446744073709551615", "cfffffffffffffffff"},
    {"-1", "ff"},
    {"-32", "e0"},
    {"-33", "d0df"},
    {"-128", "d080"},
    {"-129", "d1ff7f"},
    {"-32768", "d18000"},
    {"-32769", "d2ffff7fff"},
    {"-2147483648", "d280000000"},
    {"-2147483649", "d3ffffffff7fffffff"},
    {"-9223372036854775808", "d38000000000000000"},
    {"0.5", "cb3fe0000000000000"},
    {"-0.0", "cb8000000000000000"},
    {"\"\"", "a0"},
    {"\"hi\"", "a26869"},
    {"[]", "90"},
    {"[1,[2]]", "92019102"},
    {"{}", "80"},
    {R"({"b":1,"a":[null]})", "82a16201a16191c0"},
};

TEST(MsgPack, has_one_shortest_form_per_value) {
    for (const auto& form : shortest) {
        const auto document = decode_json(form.json).value();
        const auto encoded = encode_msgpack(document);
        ASSERT_TRUE(encoded.has_value()) << form.json;
        EXPECT_EQ(encoded->view(), bytes_of(form.hex)) << form.json;
        const auto decoded = decode(encoded->view());
        ASSERT_TRUE(decoded.has_value()) << form.json << ": " << decoded.error().what();
        EXPECT_EQ(encode_json(*decoded).value(), form.json);
    }
}

TEST(MsgPack, longer_forms_of_other_encoders_are_understood) {
    constexpr Form longer[] = {
        {"5", "cc05"},
        {"5", "cd0005"},
        {"5", "ce00000005"},
        {"5", "cf0000000000000005"},
        {"5", "d005"},
        {"5", "d10005"},
        {"5", "d200000005"},
        {"5", "d30000000000000005"},
        {"-5", "d0fb"},
        {"-5", "d1fffb"},
        {"-5", "d2fffffffb"},
        {"-5", "d3fffffffffffffffb"},
        {"0.5", "ca3f000000"},
        {"\"a\"", "d90161"},
        {"\"a\"", "da000161"},
        {"\"a\"", "db0000000161"},
        {"[7]", "dc000107"},
        {"[7]", "dd0000000107"},
        {R"({"a":7})", "de0001a16107"},
        {R"({"a":7})", "df00000001a16107"},
    };
    for (const auto& form : longer) {
        const auto decoded = decode(bytes_of(form.hex));
        ASSERT_TRUE(decoded.has_value()) << form.hex << ": " << decoded.error().what();
        EXPECT_EQ(encode_json(*decoded).value(), form.json) << form.hex;
    }
}

TEST(MsgPack, lengths_switch_form_at_their_limits) {
    for (const std::size_t size : {31U, 32U, 255U, 256U, 65535U, 65536U}) {
        const Document text = std::string(size, 'x');
        EXPECT_EQ(decode(encode_msgpack(text).value().view()), text) << size;
        const Document array = Document::array_t(size, Document(1));
        EXPECT_EQ(decode(encode_msgpack(array).value().view()), array) << size;
        const Document binary = Document::binary(Document::binary_t::container_type(size, 7));
        EXPECT_EQ(decode(encode_msgpack(binary).value().view()), binary) << size;
    }
    EXPECT_EQ(encode_msgpack(std::string(31, 'x')).value().size(), 32U);
    EXPECT_EQ(encode_msgpack(std::string(32, 'x')).value().size(), 34U);
    EXPECT_EQ(encode_msgpack(std::string(256, 'x')).value().size(), 259U);
    EXPECT_EQ(encode_msgpack(std::string(65536, 'x')).value().size(), 65541U);
}

TEST(MsgPack, bin_becomes_a_binary_value_that_json_refuses) {
    const auto document = decode(bytes_of("c403010203"));
    ASSERT_TRUE(document.has_value());
    EXPECT_TRUE(document->is_binary());
    EXPECT_EQ(encode_msgpack(*document).value().view(), bytes_of("c403010203"));
    EXPECT_EQ(encode_json(*document).error().detail(), "payload.binary");
}

TEST(MsgPack, infinity_passes_and_nan_is_not_encoded) {
    const auto infinity = decode(bytes_of("cb7ff0000000000000"));
    ASSERT_TRUE(infinity.has_value());
    EXPECT_EQ(encode_msgpack(*infinity).value().view(), bytes_of("cb7ff0000000000000"));
    const auto nan = decode(bytes_of("cb7ff8000000000000"));
    ASSERT_TRUE(nan.has_value());
    EXPECT_TRUE(std::isnan(nan->get<double>()));
    EXPECT_EQ(encode_msgpack(*nan).error().detail(), "payload.number");
}

TEST(MsgPack, what_is_wrong_has_a_name) {
    struct Row {
        std::string bytes;
        const char* detail;
    };
    const auto row = [](std::string_view hex, const char* detail) {
        return Row{bytes_of(hex), detail};
    };
    const Row rows[] = {
        row("", "msgpack.syntax"),
        row("c1", "msgpack.syntax"),
        row("0000", "msgpack.syntax"),  // something follows
        row("cc", "msgpack.syntax"),
        row("cd00", "msgpack.syntax"),
        row("cf00000000000000", "msgpack.syntax"),
        row("ca000000", "msgpack.syntax"),
        row("cb00000000000000", "msgpack.syntax"),
        row("a161 61", "msgpack.syntax"),
        row("a3 6161", "msgpack.syntax"),
        row("d9", "msgpack.syntax"),
        row("db ffffffff 61", "msgpack.syntax"),  // a string of 4 GiB in 6 bytes
        row("c6 ffffffff 61", "msgpack.syntax"),
        row("dd ffffffff c0 c0 c0", "msgpack.syntax"),
        row("df ffffffff a0 c0 a0", "msgpack.syntax"),
        row("df 00000002 a161 01", "msgpack.syntax"),
        row("92 00", "msgpack.syntax"),
        row("81 a161", "msgpack.syntax"),
        row("81 01 02", "msgpack.key"),
        row("81 c0 02", "msgpack.key"),
        row("81 c4 01 61 02", "msgpack.key"),
        row("82 a161 01 a161 02", "msgpack.duplicate_key"),
        row("a2 c328", "msgpack.utf8"),
        row("81 a1ff 00", "msgpack.utf8"),
        row("c7 00 01", "msgpack.extension"),
        row("c8 0000 01", "msgpack.extension"),
        row("c9 ffffffff 01", "msgpack.extension"),
        row("d4 01 00", "msgpack.extension"),
        row("d6 ff 00000000", "msgpack.extension"),  // a timestamp
        row("91 d8 01 00", "msgpack.extension"),
        {std::string(200'000, '\x91'), "msgpack.depth"},
        {std::string(129, '\x91') + '\0', "msgpack.depth"},
    };
    for (const auto& [bytes, detail] : rows) {
        const auto document = decode(bytes);
        ASSERT_FALSE(document.has_value()) << quoted_text(bytes);
        EXPECT_EQ(document.error().code(), ErrorCode::invalid_request);
        EXPECT_EQ(document.error().detail(), detail)
            << quoted_text(bytes) << document.error().what();
    }
    EXPECT_TRUE(decode(std::string(128, '\x91') + '\0').has_value());
}

TEST(MsgPack, keeps_to_its_limits) {
    const auto items = bytes_of("93 01 02 03");
    EXPECT_TRUE(decode(items, {.max_values = 3}).has_value());
    EXPECT_EQ(decode(items, {.max_values = 2}).error().detail(), "msgpack.values");
    EXPECT_EQ(decode(items, {.max_size = 3}).error().code(), ErrorCode::payload_too_large);
    EXPECT_EQ(decode(items, {.max_depth = 0}).error().detail(), "msgpack.depth");
    // One byte per value is the worst ratio of memory to input: the default bound must hold for it.
    auto many = bytes_of("dd 00800000");
    many.append(std::size_t{8} << 20U, '\xc0');
    EXPECT_EQ(decode(many).error().detail(), "msgpack.values");
}

TEST(MsgPack, every_cut_of_a_document_is_an_error) {
    const auto document =
        decode_json(R"({"a":[1,-200,70000,2.5,true,null,"xyz"],"b":{"c":"d"}})").value();
    const auto bytes = encode_msgpack(document).value().to_string();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode(std::string_view{bytes}.substr(0, size)).has_value()) << size;
    }
}

TEST(MsgPack, agrees_with_another_implementation) {
    const auto document =
        decode_json(
            R"({"text":"hi","n":[0,1,-1,127,128,-32,-33,65536,1e3,-0.25],"nested":{"a":{"b":[[],{}]}},"none":null})"
        )
            .value();
    EXPECT_EQ(Document::from_msgpack(encode_msgpack(document).value().view()), document);
    const auto theirs = Document::to_msgpack(document);
    EXPECT_EQ(decode_msgpack(std::as_bytes(std::span{theirs})), document);
}

}  // namespace
}  // namespace stator
