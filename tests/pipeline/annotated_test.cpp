#include "stator/pipeline/annotated.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace stator::testing {
namespace {

using Text = Annotated<std::string>;

std::string json(const Text& item) {
    return std::string{Payload<Text>::encode(item, PayloadCodec::json).value().view()};
}
Result<Text> from_json(std::string_view text) {
    return Payload<Text>::decode(Bytes::copy_of(text), PayloadCodec::json);
}

TEST(Annotated, AbsentFieldsAreNotWritten) {
    EXPECT_EQ(json(Text{}), "{}");
    EXPECT_EQ(json(Text::from_data("a")), R"({"data":"a"})");
    EXPECT_EQ(
        json(Text::from_annotation("note", "slow")), R"({"event":"note","comment":["slow"]})"
    );
    EXPECT_EQ(json({.data = "a", .id = "7"}), R"({"data":"a","id":"7"})");
}

TEST(Annotated, SurvivesBothCodecs) {
    const Text whole{
        .data = "d",
        .id = "i",
        .event = "e",
        .comment = {"x", "y"},
        .error = Error{ErrorCode::draining, "test.detail", "going"}
    };
    for (const auto codec : {PayloadCodec::json, PayloadCodec::msgpack}) {
        for (const auto& item : {whole, Text{}, Text::from_data("a")}) {
            const auto bytes = Payload<Text>::encode(item, codec).value();
            EXPECT_EQ(Payload<Text>::decode(bytes, codec).value(), item);
        }
    }
}

TEST(Annotated, AnErrorItemIsItsError) {
    const auto item = Text::from_error(Error{ErrorCode::overloaded, "test.full", "no room"});
    EXPECT_TRUE(item.is_error());
    EXPECT_EQ(item.ok().error().code(), ErrorCode::overloaded);
    EXPECT_EQ(Text{item}.into_result().error().message(), "no room");
    EXPECT_TRUE(Text::from_data("a").ok());
    EXPECT_EQ(Text::from_data("a").into_result().value(), "a");
}

TEST(Annotated, ErrorsAreWrittenAsTheOriginalReadsThem) {
    EXPECT_EQ(
        json(Text::from_error(Error{ErrorCode::draining, "test.going", "bye"})),
        R"({"event":"error","comment":["bye"],"error":{"error_type":{"Backend":"EngineShutdown"},)"
        R"("class":"Unavailable","reason":"backend.engine_shutdown","message":"bye",)"
        R"("diagnostic":"[test.going] bye"}})"
    );
    EXPECT_EQ(
        json({.event = "error", .error = Error{ErrorCode::not_found, "no"}}),
        R"({"event":"error","error":{"error_type":"Unknown","class":"NotFound",)"
        R"("reason":"request.not_found","message":"no"}})"
    );
    // The reason tells more than the class, unless it contradicts it.
    const auto code = [](std::string_view error) {
        return from_json(fmt::format(R"({{"event":"error","error":{}}})", error))
            .value()
            .ok()
            .error()
            .code();
    };
    EXPECT_EQ(code(R"({"class":"Unavailable"})"), ErrorCode::unavailable);
    EXPECT_EQ(
        code(R"({"class":"Unavailable","reason":"backend.disconnected"})"), ErrorCode::disconnected
    );
    EXPECT_EQ(code(R"({"reason":"backend.disconnected"})"), ErrorCode::disconnected);
    EXPECT_EQ(
        code(R"({"class":"Cancelled","reason":"backend.disconnected"})"), ErrorCode::cancelled
    );
}

TEST(Annotated, OlderPeersSayTheErrorInTheComment) {
    const auto item = from_json(R"({"event":"error","comment":["a","b"]})").value();
    EXPECT_EQ(item.ok().error().message(), "a; b");
    EXPECT_EQ(item.ok().error().code(), ErrorCode::internal);
}

TEST(Annotated, MappingTheDataKeepsTheRest) {
    const auto item =
        Text{.data = "four", .id = "7", .comment = {"x"}}.map_data([](const std::string& text) {
            return text.size();
        });
    EXPECT_EQ(item.data, 4U);
    EXPECT_EQ(item.id, "7");
    EXPECT_EQ(item.comment, std::vector<std::string>{"x"});
    EXPECT_FALSE(Text::from_annotation("a", "b").map_data([](auto text) { return text; }).data);
}

TEST(Annotated, ForeignOnesAreReadAsFarAsTheyGo) {
    EXPECT_EQ(from_json(R"({"x":[1,{}],"data":"a","id":null})").value(), Text::from_data("a"));
    EXPECT_EQ(from_json(R"({"data":null})").value(), Text{});
    EXPECT_FALSE(from_json(R"({"data":7})"));
    EXPECT_FALSE(from_json(R"([])"));
    EXPECT_FALSE(from_json(R"({"comment":[7]})"));
    const auto odd = from_json(R"({"event":"error","error":{"class":"Unheard","message":3}})");
    EXPECT_EQ(odd.value().ok().error().code(), ErrorCode::internal);
}

TEST(ErrorClass, EveryClassOfOursHasOneOfTheOriginalsAndBack) {
    for (std::uint8_t number = 1; number <= 15; ++number) {
        const auto code = error_code_from_wire(number);
        const auto name = original_class(code);
        const auto back = error_code_of_class(name);
        ASSERT_TRUE(back) << name;
        EXPECT_EQ(original_class(*back), name);
        const bool shares = code == ErrorCode::draining || code == ErrorCode::disconnected;
        EXPECT_EQ(*back, shares ? ErrorCode::unavailable : code);
    }
    EXPECT_EQ(error_code_of_class("RateLimited"), ErrorCode::overloaded);
    EXPECT_EQ(error_code_of_class("UnsupportedMedia"), ErrorCode::invalid_request);
    EXPECT_FALSE(error_code_of_class("Else"));
}

}  // namespace
}  // namespace stator::testing
