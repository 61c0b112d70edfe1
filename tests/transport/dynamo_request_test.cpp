// What a worker makes of request frames, among them those of the original.
#include "transport/dynamo_request.hpp"

#include <string>

#include <gtest/gtest.h>

#include "dynamo_support.hpp"
#include "loopback.hpp"

namespace stator::transport::dynamo {
namespace {

using namespace test;
using transport::test::must;

TEST(DynamoRequest, EveryCapturedRequestIsReadAsItsSenderMeantIt) {
    std::size_t read = 0;
    for (const auto& one : all_frames()) {
        if (one.plane != "request-tcp" || one.direction != "c2s" || one.name != "request") continue;
        RequestReader reader;
        reader.feed(bytes_of(one.bytes));
        const auto frame = must(reader.next().value());
        const auto message = split_message(frame.payload);
        ASSERT_TRUE(message.has_value()) << one.from;
        auto control = read_control(message->header);
        if (!control) {
            EXPECT_TRUE(one.from.starts_with("fc-bad")) << one.from << control.error().what();
            continue;
        }
        const auto id = control->id;
        const auto codec = static_cast<int>(control->codec);
        const bool many_in = control->many_in;
        const Request request{frame, std::move(*control)};
        const auto head = request.head();
        EXPECT_EQ(head.request.to_string(), id) << one.from;
        EXPECT_EQ(head.codec, codec) << one.from;
        EXPECT_EQ(one_request(head.shape), !many_in) << one.from;
        EXPECT_FALSE(one_response(head.shape)) << one.from;
        // 1.4 and 1.5 publish paths of another form, which nobody looks up here.
        const bool ours = std::ranges::count(frame.path, '/') == 3;
        if (ours) {
            EXPECT_EQ(head.instance.to_string() + '/' + std::string{head.path}, frame.path)
                << one.from;
        }
        ++read;
    }
    EXPECT_GT(read, 100U);
}

TEST(DynamoRequest, MetadataAndTraceOfTheOriginal) {
    const auto head_of = [](std::string_view capture, const auto& check) {
        for (const auto& one : frames_of(capture)) {
            if (one.plane != "request-tcp" || one.name != "request") continue;
            RequestReader reader;
            reader.feed(bytes_of(one.bytes));
            const auto frame = must(reader.next().value());
            const Request request{
                frame, read_control(split_message(frame.payload)->header).value()
            };
            check(request.head());
            return;
        }
        ADD_FAILURE() << "no request in " << capture;
    };
    head_of("unary-metadata", [](const CallHead& head) { EXPECT_FALSE(head.headers.empty()); });
    head_of("trace-header", [](const CallHead& head) { EXPECT_EQ(must(head.trace).flags, 1); });
}

TEST(DynamoRequest, TheCallHomeIsFoundInHeadersThatAreBad) {
    const auto found = [](std::string_view text) { return find_call_home(Bytes::copy_of(text)); };
    const std::string connection =
        R"("connection_info":{"transport":"tcp_server","info":"{\"address\":\"1.2.3.4:5\",\"subject\":\"s\"}"})";
    for (const auto& text : {
             "{" + connection + "}",
             R"({"id":7,"x":[{}],)" + connection + R"(,"payload_codec":"msgpack"})",
             "{" + connection + R"(,"payload_codec":"msgpack","rest is cut)",
         }) {
        const auto home = must(found(text));
        EXPECT_EQ(home.info.address, "1.2.3.4:5");
        EXPECT_EQ(home.info.subject, "s");
        EXPECT_EQ(
            home.codec, text.contains("msgpack") ? PayloadCodec::msgpack : PayloadCodec::json
        );
    }
    for (const auto* text : {
             "",
             "[]",
             "{}",
             R"({"connection_info":5})",
             R"({"connection_info":{"transport":"quic-response","info":"{}"}})",
             R"({"connection_info":{"transport":"tcp_server","info":"{\"address\":5,\"subject\":\"s\"}"}})",
             R"({"connection_info":{"transport":"tcp_server","info":"nothing"}})",
         })
        EXPECT_FALSE(found(text).has_value()) << text;
}

}  // namespace
}  // namespace stator::transport::dynamo
