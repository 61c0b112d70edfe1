#include "cli/diagnostic_request.hpp"

#include <chrono>
#include <limits>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"

namespace stator::cli {
namespace {

using namespace std::chrono_literals;

Result<DiagnosticRequest> decode(std::string_view json) {
    return DiagnosticRequest::decode(Bytes::copy_of(json), PayloadCodec::json);
}

TEST(DiagnosticRequest, HasDefaults) {
    const auto request = decode("{}");
    ASSERT_TRUE(request);
    EXPECT_EQ(request->items, 3U);
    EXPECT_EQ(request->delay, 0s);
    EXPECT_EQ(request->size, 0U);
    EXPECT_EQ(request->fail_after, std::nullopt);
    EXPECT_EQ(request->text, std::nullopt);
    EXPECT_FALSE(request->ignore_stop);
    EXPECT_EQ(request->hold, 0s);
}

TEST(DiagnosticRequest, TakesEveryFieldInBothCodecs) {
    const std::string json =
        R"({"items":5,"delay_ms":20,"pace_ms":9,"size":100,"fail_after":2,"text":"hi","ignore_stop":true,"hold_ms":7})";
    const auto packed = encode_msgpack(*decode_json(json));
    ASSERT_TRUE(packed);
    for (const auto& request :
         {decode(json), DiagnosticRequest::decode(*packed, PayloadCodec::msgpack)}) {
        ASSERT_TRUE(request) << request.error().what();
        EXPECT_EQ(request->items, 5U);
        EXPECT_EQ(request->delay, 20ms);
        EXPECT_EQ(request->pace, 9ms);
        EXPECT_EQ(request->size, 100U);
        EXPECT_EQ(request->fail_after, 2U);
        EXPECT_EQ(request->text, "hi");
        EXPECT_TRUE(request->ignore_stop);
        EXPECT_EQ(request->hold, 7ms);
    }
}

struct BadRequest {
    const char* json;
    const char* detail;
    const char* says;
};

class BadRequests : public testing::TestWithParam<BadRequest> {};

TEST_P(BadRequests, AreNamed) {
    const auto request = decode(GetParam().json);
    ASSERT_FALSE(request);
    EXPECT_EQ(request.error().code(), ErrorCode::invalid_request);
    EXPECT_EQ(request.error().detail(), GetParam().detail);
    EXPECT_NE(request.error().message().find(GetParam().says), std::string::npos)
        << request.error().message();
}

INSTANTIATE_TEST_SUITE_P(
    Diagnostic,
    BadRequests,
    testing::Values(
        BadRequest{R"({"items":-1})", "diagnostic.request", R"(items must be a whole number)"},
        BadRequest{R"({"items":1.5})", "diagnostic.request", "items must be a whole number"},
        BadRequest{R"({"items":"5"})", "diagnostic.request", "items must be a whole number"},
        BadRequest{R"({"items":null})", "diagnostic.request", "items must be a whole number"},
        BadRequest{R"({"items":[]})", "diagnostic.request", "not an array"},
        BadRequest{R"({"items":1000000000001})", "diagnostic.request", "to 1000000000000"},
        BadRequest{R"({"delay_ms":-5})", "diagnostic.request", "delay_ms"},
        BadRequest{R"({"pace_ms":"x"})", "diagnostic.request", "pace_ms"},
        BadRequest{R"({"delay_ms":86400001})", "diagnostic.request", "86400000"},
        BadRequest{R"({"size":1073741825})", "diagnostic.request", "size"},
        BadRequest{R"({"fail_after":true})", "diagnostic.request", "fail_after"},
        BadRequest{R"({"text":5})", "diagnostic.request", "text must be a string"},
        BadRequest{R"({"ignore_stop":1})", "diagnostic.request", "true or false"},
        BadRequest{R"({"hold_ms":600001})", "diagnostic.request", "hold_ms"},
        BadRequest{R"({"item":1})", "diagnostic.request", "did you mean items?"},
        BadRequest{R"({"prompt":"x"})", "diagnostic.request", R"(no field "prompt")"},
        BadRequest{R"([1])", "diagnostic.request", "not an array"},
        BadRequest{R"("text")", "diagnostic.request", "not a string"},
        BadRequest{R"({"items":1)", "json.syntax", ""},
        BadRequest{R"({"items":1,"items":2})", "json.duplicate_key", ""}
    )
);

std::string item(const DiagnosticItems& items, std::uint64_t index) {
    const auto bytes = items.item(index);
    return bytes ? bytes->to_string() : bytes.error().what();
}

TEST(DiagnosticItems, NameTheirWorker) {
    DiagnosticRequest request;
    const DiagnosticItems items{"1a2b", request, PayloadCodec::json};
    EXPECT_EQ(item(items, 0), R"({"i":0,"worker":"1a2b"})");
    EXPECT_EQ(item(items, 12), R"({"i":12,"worker":"1a2b"})");
}

TEST(DiagnosticItems, CarryTheText) {
    DiagnosticRequest request;
    request.text = "say \"hi\"\n";
    const DiagnosticItems items{"1a2b", request, PayloadCodec::json};
    EXPECT_EQ(item(items, 1), R"({"i":1,"worker":"1a2b","text":"say \"hi\"\n"})");
}

TEST(DiagnosticItems, ArePaddedToTheirSize) {
    DiagnosticRequest request;
    request.text = "\xc3\xa4\t";  // escapes and wide letters count as they are written
    for (const std::uint64_t size : {60U, 61U, 64U, 100U, 5000U}) {
        request.size = size;
        const DiagnosticItems items{"1a2b", request, PayloadCodec::json};
        for (const std::uint64_t index : {0U, 9U, 10U, 4095U}) {
            EXPECT_EQ(item(items, index).size(), size) << item(items, index);
        }
    }
}

TEST(DiagnosticItems, ArePaddedByAtLeastTheNameOfThePad) {
    DiagnosticRequest request;
    const std::string bare = R"({"i":0,"worker":"1a2b"})";
    request.size = bare.size();
    EXPECT_EQ(item(DiagnosticItems{"1a2b", request, PayloadCodec::json}, 0), bare);
    for (std::uint64_t missing = 1; missing <= 9; ++missing) {
        request.size = bare.size() + missing;
        const DiagnosticItems items{"1a2b", request, PayloadCodec::json};
        EXPECT_EQ(item(items, 0), R"({"i":0,"worker":"1a2b","pad":""})");
    }
    request.size = bare.size() + 10;
    EXPECT_EQ(
        item(DiagnosticItems{"1a2b", request, PayloadCodec::json}, 0),
        R"({"i":0,"worker":"1a2b","pad":"."})"
    );
}

TEST(DiagnosticItems, AreTheSameInMessagePack) {
    DiagnosticRequest request;
    request.text = "hi";
    request.size = 200;
    const DiagnosticItems json{"1a2b", request, PayloadCodec::json};
    const DiagnosticItems packed{"1a2b", request, PayloadCodec::msgpack};
    const auto bytes = packed.item(7);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(encode_json(*decode_msgpack(bytes->span())), item(json, 7));
}

TEST(DiagnosticItems, SayThatTheyWereStopped) {
    DiagnosticRequest request;
    request.text = "hi";
    const DiagnosticItems items{"1a2b", request, PayloadCodec::json};
    const auto last = items.stopped(4, "shutdown");
    ASSERT_TRUE(last);
    EXPECT_EQ(last->view(), R"({"i":4,"worker":"1a2b","stopped":"shutdown"})");
}

}  // namespace
}  // namespace stator::cli
