#include "stator/codec/payload_json.hpp"

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace app {

/// Converted by nlohmann's own macro, which knows nlohmann::json only.
struct Request {
    std::string prompt;
    int items = 0;
    friend bool operator==(const Request&, const Request&) = default;
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(Request, prompt, items)
};

/// Converted by functions for every document type: its keys keep their order.
struct Reply {
    std::string worker;
    int index = 0;
    friend bool operator==(const Reply&, const Reply&) = default;
};
template <class Json>
void to_json(Json& json, const Reply& reply) {
    json = Json{{"worker", reply.worker}, {"index", reply.index}};
}
template <class Json>
void from_json(const Json& json, Reply& reply) {
    json.at("worker").get_to(reply.worker);
    json.at("index").get_to(reply.index);
}

enum class Color { red, green };
NLOHMANN_JSON_SERIALIZE_ENUM(Color, {{Color::red, "red"}, {Color::green, "green"}})

/// Can be written only, and fails at it.
struct Broken {};
inline void to_json(nlohmann::json&, const Broken&) { throw std::runtime_error{"no such field"}; }

}  // namespace app

namespace stator {
namespace {

static_assert(Encodable<app::Request> && Decodable<app::Request>);
static_assert(Encodable<app::Reply> && Decodable<app::Reply>);
static_assert(Encodable<app::Color> && Decodable<app::Color>);
static_assert(Encodable<std::vector<app::Request>> && Decodable<std::optional<app::Reply>>);
static_assert(Encodable<nlohmann::json> && Decodable<nlohmann::json>);
static_assert(Encodable<nlohmann::ordered_json> && Decodable<nlohmann::ordered_json>);
static_assert(Encodable<app::Broken> && !Decodable<app::Broken>);
static_assert(Encodable<std::string> && Encodable<int> && Encodable<Bytes> && Encodable<Raw>);

template <class T>
void expect_round_trip(const T& value) {
    for (const auto codec : {PayloadCodec::msgpack, PayloadCodec::json}) {
        const auto bytes = Payload<T>::encode(value, codec);
        ASSERT_TRUE(bytes.has_value()) << bytes.error().what();
        const auto back = Payload<T>::decode(*bytes, codec);
        ASSERT_TRUE(back.has_value()) << back.error().what();
        EXPECT_EQ(*back, value);
    }
}

TEST(PayloadJson, types_that_nlohmann_knows_are_payloads) {
    expect_round_trip(app::Request{"hi", 3});
    expect_round_trip(app::Reply{"a1", 2});
    expect_round_trip(app::Color::green);
    expect_round_trip(std::vector<app::Request>{{"a", 1}, {"b", 2}});
    expect_round_trip(std::optional<app::Reply>{app::Reply{"x", 1}});
    expect_round_trip(std::map<std::string, app::Color>{{"leaf", app::Color::green}});
    expect_round_trip(std::array<app::Reply, 2>{app::Reply{"x", 1}, app::Reply{"y", 2}});
    expect_round_trip(nlohmann::json{{"b", 1}, {"a", {1, 2.5, nullptr}}});
    expect_round_trip(nlohmann::ordered_json{{"b", 1}, {"a", {1, 2.5, nullptr}}});
}

TEST(PayloadJson, key_order_is_kept_where_it_can_be) {
    const auto text = [](const auto& value) {
        return Payload<std::remove_cvref_t<decltype(value)>>::encode(value, PayloadCodec::json)
            .value()
            .to_string();
    };
    EXPECT_EQ(text(app::Reply{"w", 1}), R"({"worker":"w","index":1})");
    EXPECT_EQ(text(app::Request{"p", 1}), R"({"items":1,"prompt":"p"})");
    EXPECT_EQ(text(nlohmann::ordered_json{{"z", 1}, {"a", 2}}), R"({"z":1,"a":2})");
}

TEST(PayloadJson, failures_have_names) {
    const auto detail = [](std::string_view text) {
        const auto value = Payload<app::Request>::decode(Bytes::copy_of(text), PayloadCodec::json);
        return value ? "decoded" : value.error().detail();
    };
    EXPECT_EQ(detail(R"({"prompt":"hi","items":1})"), "decoded");
    EXPECT_EQ(detail(R"({"prompt":"hi"})"), "json.from_json");
    EXPECT_EQ(detail(R"({"prompt":1,"items":1})"), "json.from_json");
    EXPECT_EQ(detail(R"({"prompt":"hi","items":1)"), "json.syntax");
    EXPECT_EQ(detail(R"({"prompt":"hi","items":1,"items":2})"), "json.duplicate_key");
    EXPECT_EQ(detail(std::string(200'000, '[')), "json.depth");
    const auto broken = Payload<app::Broken>::encode({}, PayloadCodec::msgpack);
    EXPECT_EQ(broken.error().detail(), "payload.to_json");
    EXPECT_EQ(broken.error().message(), "no such field");
    const auto unprintable = Payload<nlohmann::json>::encode("\xff", PayloadCodec::json);
    EXPECT_EQ(unprintable.error().detail(), "payload.utf8");
}

}  // namespace
}  // namespace stator
