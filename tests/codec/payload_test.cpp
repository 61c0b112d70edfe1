#include "stator/codec/payload.hpp"

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace stator {
namespace {

/// A user type that joins without any library.
struct Point {
    int x = 0;
    int y = 0;
    friend bool operator==(const Point&, const Point&) = default;
};

}  // namespace

template <>
struct PayloadValue<Point> {
    static void write(ValueWriter& writer, const Point& point) {
        writer.begin_array(2);
        writer.integer(point.x);
        writer.integer(point.y);
        writer.end_array();
    }
    static Result<Point> read(ValueReader& reader) {
        auto parts = PayloadValue<std::vector<int>>::read(reader);
        if (!parts) return std::unexpected{parts.error()};
        if (parts->size() != 2)
            return std::unexpected{reader.error("type", "a point has two parts")};
        return Point{(*parts)[0], (*parts)[1]};
    }
};

namespace {

constexpr PayloadCodec both[] = {PayloadCodec::msgpack, PayloadCodec::json};

static_assert(Encodable<std::string> && Decodable<std::string>);
static_assert(Encodable<std::string_view> && !Decodable<std::string_view>);
static_assert(Encodable<bool> && Encodable<std::int8_t> && Encodable<std::uint64_t> && Encodable<float>);
static_assert(Encodable<Bytes> && Decodable<Bytes> && Encodable<Raw> && Decodable<Raw>);
static_assert(Decodable<std::vector<std::optional<std::map<std::string, Point>>>>);
static_assert(!Encodable<char> && !Encodable<void*> && !Encodable<std::vector<void*>>);
static_assert(!Encodable<std::map<int, int>>);

template <class T>
void expect_round_trip(const T& value) {
    for (const auto codec : both) {
        const auto bytes = Payload<T>::encode(value, codec);
        ASSERT_TRUE(bytes.has_value()) << bytes.error().what();
        const auto back = Payload<T>::decode(*bytes, codec);
        ASSERT_TRUE(back.has_value()) << back.error().what();
        EXPECT_EQ(*back, value) << to_string(codec);
    }
}

TEST(Payload, values_come_back_the_same) {
    expect_round_trip(true);
    expect_round_trip(std::numeric_limits<std::int8_t>::min());
    expect_round_trip(std::numeric_limits<std::int16_t>::max());
    expect_round_trip(std::numeric_limits<std::int32_t>::min());
    expect_round_trip(std::numeric_limits<std::int64_t>::min());
    expect_round_trip(std::numeric_limits<std::uint8_t>::max());
    expect_round_trip(std::numeric_limits<std::uint64_t>::max());
    expect_round_trip(0.1);
    expect_round_trip(std::numeric_limits<double>::max());
    expect_round_trip(std::numeric_limits<double>::denorm_min());
    expect_round_trip(0.1F);
    expect_round_trip(std::numeric_limits<float>::max());
    expect_round_trip(std::string{"hello \xe2\x82\xac \n \"x\""});
    expect_round_trip(std::string{});
    expect_round_trip(std::monostate{});
    expect_round_trip(std::vector<int>{1, -2, 3});
    expect_round_trip(std::vector<bool>{true, false});
    expect_round_trip(std::vector<std::string>(5000, "x"));
    expect_round_trip(std::optional<int>{});
    expect_round_trip(std::optional<int>{7});
    expect_round_trip(std::map<std::string, std::vector<double>>{{"a", {1.5}}, {"b", {}}});
    expect_round_trip(Point{3, -4});
    expect_round_trip(
        std::map<std::string, std::optional<Point>>{{"a", Point{1, 2}}, {"b", std::nullopt}}
    );
}

TEST(Payload, the_bytes_on_the_wire) {
    const auto shown = [](const auto& result) { return result.value().to_string(); };
    EXPECT_EQ(shown(Payload<std::string>::encode("hi", PayloadCodec::msgpack)), "\xa2hi");
    EXPECT_EQ(shown(Payload<std::string>::encode("hi", PayloadCodec::json)), "\"hi\"");
    EXPECT_EQ(shown(Payload<std::string_view>::encode("hi", PayloadCodec::raw)), "hi");
    EXPECT_EQ(shown(Payload<int>::encode(-1, PayloadCodec::msgpack)), "\xff");
    EXPECT_EQ(shown(Payload<int>::encode(-1, PayloadCodec::json)), "-1");
    EXPECT_EQ(shown(Payload<double>::encode(2, PayloadCodec::json)), "2.0");
    EXPECT_EQ(shown(Payload<std::vector<Point>>::encode({{1, 2}}, PayloadCodec::json)), "[[1,2]]");
    EXPECT_EQ(
        shown(Payload<Bytes>::encode(Bytes::of_static("ab"), PayloadCodec::msgpack)),
        "\xc4\x02"
        "ab"
    );
}

TEST(Payload, a_string_is_copied_once_into_memory_of_its_size) {
    const std::string text(100'000, 'x');
    const auto bytes = Payload<std::string>::encode(text, PayloadCodec::msgpack);
    ASSERT_TRUE(bytes.has_value());
    EXPECT_EQ(bytes->size(), text.size() + 5);
    EXPECT_LE(bytes->held(), text.size() + 8) << "the block was sized in advance";
}

/// What ValueReader says of bytes that should be one string: the text, or the error.
std::string read_string(const Bytes& bytes) {
    ValueReader reader{bytes, PayloadCodec::msgpack};
    auto text = reader.string();
    if (!text) return fmt::format("error: {}", text.error().what());
    if (const auto complete = reader.finish(); !complete)
        return fmt::format("error: {}", complete.error().what());
    return *text;
}

std::string decode_string(const Bytes& bytes) {
    auto text = Payload<std::string>::decode(bytes, PayloadCodec::msgpack);
    return text ? *text : fmt::format("error: {}", text.error().what());
}

TEST(Payload, a_string_alone_is_what_writer_and_reader_make_of_it) {
    for (std::size_t size = 0; size < 300; ++size) {
        for (const char* letter : {"x", "\xc3\xa4", "\xff"}) {
            std::string text(size, 'a');
            text += letter;
            ValueWriter writer{PayloadCodec::msgpack};
            writer.string(text);
            const auto written = writer.finish();
            const auto bytes = Payload<std::string>::encode(text, PayloadCodec::msgpack);
            ASSERT_EQ(bytes.has_value(), written.has_value()) << size;
            if (!bytes) {
                EXPECT_EQ(bytes.error().detail(), written.error().detail());
                continue;
            }
            EXPECT_EQ(*bytes, *written) << size;
            EXPECT_EQ(decode_string(*bytes), text);
        }
    }
}

TEST(Payload, bytes_that_are_no_string_alone_are_refused_as_the_reader_refuses_them) {
    for (const std::size_t size : {0, 1, 31, 32, 255, 256}) {
        const std::string text(size, 'a');
        const auto whole =
            Payload<std::string>::encode(text, PayloadCodec::msgpack).value().to_string();
        for (unsigned marker = 0; marker < 256; ++marker) {
            for (std::string bytes : {whole, whole + 'a', whole.substr(0, whole.size() - 1)}) {
                if (!bytes.empty()) bytes[0] = static_cast<char>(marker);
                const auto given = Bytes::copy_of(bytes);
                ASSERT_EQ(decode_string(given), read_string(given)) << size << " " << marker;
            }
        }
    }
    EXPECT_EQ(
        decode_string(Bytes::copy_of("\xa2\xc3(")),
        "error: invalid_request [msgpack.utf8]: the string is not UTF-8 at byte 1"
    );
}

TEST(Payload, raw_bytes_are_neither_copied_nor_read) {
    const auto bytes = Bytes::copy_of("\xc1 anything \xff");
    for (const auto codec : {PayloadCodec::msgpack, PayloadCodec::json, PayloadCodec::raw}) {
        EXPECT_EQ(Payload<Raw>::encode(Raw{bytes}, codec).value().data(), bytes.data());
        EXPECT_EQ(Payload<Raw>::decode(bytes, codec).value().bytes.data(), bytes.data());
    }
    EXPECT_EQ(Payload<Bytes>::encode(bytes, PayloadCodec::raw).value().data(), bytes.data());
    EXPECT_EQ(Payload<Bytes>::decode(bytes, PayloadCodec::raw).value().data(), bytes.data());
    EXPECT_EQ(Payload<std::string>::decode(bytes, PayloadCodec::raw).value(), bytes.view());
}

TEST(Payload, decoded_bytes_share_what_they_came_from) {
    const auto encoded =
        Payload<Bytes>::encode(Bytes::of_static("abc"), PayloadCodec::msgpack).value();
    const auto decoded = Payload<Bytes>::decode(encoded, PayloadCodec::msgpack);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->view(), "abc");
    EXPECT_EQ(decoded->data(), encoded.data() + 2);
    const auto list =
        Payload<std::vector<Bytes>>::encode({Bytes{}, *decoded}, PayloadCodec::msgpack).value();
    EXPECT_EQ(
        Payload<std::vector<Bytes>>::decode(list, PayloadCodec::msgpack).value()[1].data(),
        list.data() + 5
    );
}

template <class T>
std::string detail_of(std::string_view encoded, PayloadCodec codec) {
    const auto value = Payload<T>::decode(Bytes::copy_of(encoded), codec);
    return value ? "decoded" : value.error().detail();
}

TEST(Payload, what_does_not_fit_the_type_has_a_name) {
    constexpr auto json = PayloadCodec::json;
    EXPECT_EQ(detail_of<std::string>("1", json), "json.type");
    EXPECT_EQ(detail_of<int>("\"1\"", json), "json.type");
    EXPECT_EQ(detail_of<int>("1.0", json), "json.type");
    EXPECT_EQ(detail_of<int>("null", json), "json.type");
    EXPECT_EQ(detail_of<bool>("1", json), "json.type");
    EXPECT_EQ(detail_of<std::monostate>("0", json), "json.type");
    EXPECT_EQ(detail_of<std::vector<int>>("{}", json), "json.type");
    EXPECT_EQ(detail_of<std::vector<int>>("[1,\"2\"]", json), "json.type");
    EXPECT_EQ(detail_of<Bytes>("\"a\"", json), "json.type");
    EXPECT_EQ(detail_of<Point>("[1,2,3]", json), "json.type");
    EXPECT_EQ(detail_of<std::int8_t>("128", json), "json.range");
    EXPECT_EQ(detail_of<std::uint8_t>("-1", json), "json.range");
    EXPECT_EQ(detail_of<std::int64_t>("9223372036854775808", json), "json.range");
    EXPECT_EQ(detail_of<std::uint64_t>("18446744073709551616", json), "json.number");
    EXPECT_EQ(detail_of<float>("1e39", json), "json.range");
    EXPECT_EQ(detail_of<double>("1e39", json), "decoded");
    EXPECT_EQ(detail_of<double>("1", json), "decoded");
    EXPECT_EQ(
        (detail_of<std::map<std::string, int>>(R"({"a":1,"a":1})", json)), "json.duplicate_key"
    );
    EXPECT_EQ(detail_of<int>("1 1", json), "json.syntax");
    EXPECT_EQ(detail_of<std::string>("", json), "json.syntax");
    EXPECT_EQ(detail_of<std::string>("\x01", PayloadCodec::msgpack), "msgpack.type");
    EXPECT_EQ(
        detail_of<std::string>(
            "\xc4\x01"
            "a",
            PayloadCodec::msgpack
        ),
        "msgpack.type"
    );
    EXPECT_EQ(detail_of<std::int8_t>("\xcc\x80", PayloadCodec::msgpack), "msgpack.range");
    EXPECT_EQ(detail_of<int>("1", PayloadCodec::raw), "payload.codec");
    EXPECT_EQ(Payload<int>::encode(1, PayloadCodec::raw).error().detail(), "payload.codec");
    EXPECT_EQ(
        Payload<Bytes>::encode(Bytes::of_static("a"), json).error().detail(), "payload.binary"
    );
    EXPECT_EQ(Payload<std::string>::encode("\xff", json).error().detail(), "payload.utf8");
    EXPECT_EQ(
        Payload<std::string>::encode("\xff", PayloadCodec::msgpack).error().detail(), "payload.utf8"
    );
    EXPECT_EQ(Payload<double>::encode(std::nan(""), json).error().detail(), "payload.number");
}

TEST(Payload, a_hostile_length_reserves_nothing) {
    // 2^32 - 1 strings announced in 6 bytes; the count is refused before any memory is asked for.
    const std::string_view bytes{"\xdd\xff\xff\xff\xff\xa0", 6};
    EXPECT_EQ(detail_of<std::vector<std::string>>(bytes, PayloadCodec::msgpack), "msgpack.syntax");
}

TEST(Payload, infinity_is_kept_in_messagepack) {
    const auto infinity = std::numeric_limits<float>::infinity();
    const auto bytes = Payload<float>::encode(-infinity, PayloadCodec::msgpack);
    ASSERT_TRUE(bytes.has_value());
    EXPECT_EQ(Payload<float>::decode(*bytes, PayloadCodec::msgpack), -infinity);
    EXPECT_EQ(
        Payload<float>::encode(infinity, PayloadCodec::json).error().detail(), "payload.number"
    );
}

}  // namespace
}  // namespace stator
