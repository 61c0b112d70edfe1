// Errors of Dynamo's planes in our terms and back, row by row.
#include "transport/dynamo_error.hpp"

#include <string>
#include <tuple>

#include "stator/codec/value_reader.hpp"
#include "stator/codec/value_writer.hpp"
#include "tests/transport/dynamo_support.hpp"
#include "transport/dynamo_item.hpp"
#include "transport/dynamo_stream.hpp"

namespace stator::transport::dynamo::test {
namespace {

constexpr ErrorCode codes[] = {
    ErrorCode::invalid_request,
    ErrorCode::unauthenticated,
    ErrorCode::permission_denied,
    ErrorCode::not_found,
    ErrorCode::already_exists,
    ErrorCode::payload_too_large,
    ErrorCode::overloaded,
    ErrorCode::unavailable,
    ErrorCode::draining,
    ErrorCode::cancelled,
    ErrorCode::deadline_exceeded,
    ErrorCode::disconnected,
    ErrorCode::protocol,
    ErrorCode::unimplemented,
    ErrorCode::internal,
};

ErrorObject object_of(std::string_view json) {
    ValueReader in{Bytes::copy_of(json), PayloadCodec::json};
    auto object = read_error(in);
    EXPECT_TRUE(object && in.finish()) << json;
    return object ? std::move(*object) : ErrorObject{};
}

Error error_of(std::string_view json) { return to_error(object_of(json)); }

std::string json_of(const ErrorObject& object) {
    ValueWriter out{PayloadCodec::json};
    write_error(out, object);
    return out.finish().value().to_string();
}

TEST(DynamoError, WhatRealWorkersRaise) {
    // Name of the captured error -> class, whether another attempt is worth it.
    const std::map<std::string, std::tuple<ErrorCode, bool>> expected{
        {"ValueError", {ErrorCode::invalid_request, false}},
        {"ValueError-json", {ErrorCode::invalid_request, false}},
        {"TypeError", {ErrorCode::invalid_request, false}},
        {"InvalidArgument", {ErrorCode::invalid_request, false}},
        {"TimeoutError", {ErrorCode::deadline_exceeded, true}},
        {"ConnectionTimeout", {ErrorCode::deadline_exceeded, true}},
        {"ConnectionRefusedError", {ErrorCode::unavailable, true}},
        {"CannotConnect", {ErrorCode::unavailable, true}},
        {"WorkerUnavailable", {ErrorCode::unavailable, true}},
        {"ConnectionResetError", {ErrorCode::disconnected, true}},
        {"Disconnected", {ErrorCode::disconnected, true}},
        {"StreamIncomplete", {ErrorCode::disconnected, true}},
        {"GeneratorExit", {ErrorCode::draining, true}},
        {"EngineShutdown", {ErrorCode::draining, true}},
        {"Cancelled", {ErrorCode::cancelled, false}},
        {"RuntimeError", {ErrorCode::internal, false}},
        {"KeyError", {ErrorCode::internal, false}},
        {"Unknown", {ErrorCode::internal, false}},
        {"DynamoException", {ErrorCode::internal, false}},
    };
    std::size_t found = 0;
    for (const auto& frame : frames_of("error-items")) {
        if (frame.name.starts_with("call-")) continue;
        SCOPED_TRACE(frame.name);
        ASSERT_TRUE(expected.contains(frame.name));
        const auto& body = frame.decoded["body"];
        const auto codec = got(payload_codec_from_name(body["codec"].get<std::string>()));
        const auto item =
            read_item(Bytes::copy_of(std::string_view{frame.bytes}.substr(24)), codec);
        ASSERT_TRUE(item && item->error());
        const auto error = got(item->error());
        const auto& theirs = body["value"]["data"]["error"];
        const auto& [code, retryable] = expected.at(frame.name);
        EXPECT_EQ(error.code(), code);
        EXPECT_EQ(error.retryable(), retryable);
        EXPECT_EQ(error.message(), theirs["message"].get<std::string>());
        EXPECT_EQ(error.detail(), theirs["reason"].get<std::string>());
        ++found;
    }
    EXPECT_EQ(found, expected.size());
}

TEST(DynamoError, FailedPrologues) {
    std::size_t found = 0;
    for (const auto& frame : frames_of("error-items")) {
        if (!frame.name.starts_with("call-")) continue;
        const auto prologue =
            read_prologue(Bytes::copy_of(std::string_view{frame.bytes}.substr(24)));
        ASSERT_TRUE(prologue);
        const auto error = prologue->error();
        ASSERT_TRUE(error);
        EXPECT_EQ(got(error).code(), ErrorCode::unavailable);
        ASSERT_NE(got(error).cause(), nullptr);
        EXPECT_EQ(got(error).cause()->code(), ErrorCode::internal);
        EXPECT_EQ(got(error).cause()->detail(), "runtime.unclassified");
        ++found;
    }
    EXPECT_EQ(found, 4U);
    const auto read = [](std::string_view json) {
        return read_prologue(Bytes::copy_of(json)).value().error();
    };
    EXPECT_FALSE(read(R"({"error":null})"));
    EXPECT_FALSE(read("{}"));
    EXPECT_EQ(got(read(R"({"error":"no way"})")).detail(), "dynamo.prologue");
    EXPECT_NE(got(read(R"({"error":"no way"})")).message().find("no way"), std::string::npos);
    const auto blamed = read(
        R"({"error":"boom","typed_error":{"class":"InvalidRequest","reason":"request.invalid","message":"m"}})"
    );
    EXPECT_EQ(got(blamed).code(), ErrorCode::invalid_request);
    EXPECT_EQ(got(blamed).message(), "m");
}

TEST(DynamoError, EveryClassOfOursComesBack) {
    for (const auto code : codes) {
        for (const auto codec : {PayloadCodec::json, PayloadCodec::msgpack}) {
            const Error sent = Error{code, "layer.key", "it went wrong: \"é\"\n2nd line"}
                                   .with_context("inner step")
                                   .with_context("outer step")
                                   .with_cause(Error{ErrorCode::not_found, "a.b", "the cause"});
            const auto item = read_item(write_error_item(codec, sent), codec);
            ASSERT_TRUE(item && item->error()) << to_string(code);
            const auto read = got(item->error());
            EXPECT_EQ(read.code(), code);
            EXPECT_EQ(read.detail(), "layer.key");
            EXPECT_EQ(read.message(), "it went wrong: \"é\"?2nd line");
            EXPECT_EQ(read.context(), sent.context());
            EXPECT_EQ(read.retryable(), retryable_by_default(code));
            ASSERT_NE(read.cause(), nullptr);
            EXPECT_EQ(read.cause()->code(), ErrorCode::not_found);
            EXPECT_EQ(read.cause()->detail(), "a.b");
            EXPECT_EQ(read.cause()->message(), "the cause");
        }
    }
}

TEST(DynamoError, ALongMessageLeavesRoomForTheDetail) {
    const Error sent =
        Error{ErrorCode::internal, "a.b", std::string(max_error_text, 'm')}.with_context("step");
    const auto read = to_error(to_object(sent));
    EXPECT_EQ(read.message(), sent.message());
    EXPECT_EQ(read.detail(), "a.b");
    EXPECT_EQ(read.context(), sent.context());
    EXPECT_EQ(to_object(sent).diagnostic, "[a.b]\nstep");
}

TEST(DynamoError, WhatIsWritten) {
    EXPECT_EQ(
        json_of(to_object(Error{ErrorCode::invalid_request, "no text"})),
        R"({"error_type":{"Backend":"InvalidArgument"},"class":"InvalidRequest",)"
        R"("reason":"backend.invalid_argument","message":"no text","diagnostic":"no text"})"
    );
    EXPECT_EQ(
        json_of(to_object(Error{ErrorCode::overloaded, "queue.full", "busy"})),
        R"({"error_type":"ResourceExhausted","class":"CapacityExhausted",)"
        R"("reason":"capacity.worker_overloaded","message":"busy","diagnostic":"[queue.full] busy"})"
    );
    // The types that make routers put an instance aside: only the one that leaves says so.
    for (const auto code : codes) {
        const auto object = to_object(Error{code, "x"});
        const bool aside =
            object.backend
                ? object.type == "EngineShutdown" || object.type == "StreamIncomplete"
                : object.type == "CannotConnect" || object.type == "Disconnected" ||
                      object.type == "ConnectionTimeout" || object.type == "ResponseTimeout" ||
                      object.type == "WorkerUnavailable";
        EXPECT_EQ(aside, code == ErrorCode::draining) << to_string(code);
    }
}

struct Read {
    std::string_view json;
    ErrorCode code;
    std::string_view detail;
};

TEST(DynamoError, WhateverAPeerLeavesOut) {
    for (const auto& [json, code, detail] : {
             // Before there were classes and reasons: by the type.
             Read{"{}", ErrorCode::internal, "runtime.unclassified"},
             Read{
                 R"({"error_type":"Unknown","message":"m"})",
                 ErrorCode::internal,
                 "runtime.unclassified"
             },
             Read{
                 R"({"error_type":"InvalidArgument"})",
                 ErrorCode::invalid_request,
                 "request.invalid_argument"
             },
             Read{
                 R"({"error_type":{"Backend":"InvalidArgument"}})",
                 ErrorCode::invalid_request,
                 "backend.invalid_argument"
             },
             Read{
                 R"({"error_type":"CannotConnect"})",
                 ErrorCode::unavailable,
                 "transport.cannot_connect"
             },
             Read{
                 R"({"error_type":"Disconnected"})",
                 ErrorCode::disconnected,
                 "transport.disconnected"
             },
             Read{
                 R"({"error_type":{"Backend":"Disconnected"}})",
                 ErrorCode::disconnected,
                 "backend.disconnected"
             },
             Read{
                 R"({"error_type":"ConnectionTimeout"})",
                 ErrorCode::deadline_exceeded,
                 "transport.connection_timeout"
             },
             Read{
                 R"({"error_type":"ResponseTimeout"})",
                 ErrorCode::deadline_exceeded,
                 "backend.response_timeout"
             },
             Read{R"({"error_type":"Cancelled"})", ErrorCode::cancelled, "request.cancelled"},
             Read{
                 R"({"error_type":"ResourceExhausted"})",
                 ErrorCode::overloaded,
                 "capacity.pool_exhausted"
             },
             Read{
                 R"({"error_type":"WorkerOverloaded"})",
                 ErrorCode::overloaded,
                 "capacity.worker_overloaded"
             },
             Read{
                 R"({"error_type":"WorkerUnavailable"})",
                 ErrorCode::unavailable,
                 "backend.worker_unavailable"
             },
             Read{
                 R"({"error_type":{"Backend":"EngineShutdown"}})",
                 ErrorCode::draining,
                 "backend.engine_shutdown"
             },
             Read{
                 R"({"error_type":{"Backend":"StreamIncomplete"}})",
                 ErrorCode::disconnected,
                 "backend.stream_incomplete"
             },
             // The class counts more than the type.
             Read{
                 R"({"error_type":"Unknown","class":"InvalidRequest"})",
                 ErrorCode::invalid_request,
                 "dynamo.error"
             },
             Read{
                 R"({"error_type":"Unknown","class":"NotFound","reason":"request.not_found"})",
                 ErrorCode::not_found,
                 "request.not_found"
             },
             Read{
                 R"({"class":"RateLimited","reason":"request.rate_limited"})",
                 ErrorCode::overloaded,
                 "request.rate_limited"
             },
             Read{
                 R"({"class":"DeadlineExceeded","reason":"router.queue_deadline_exceeded"})",
                 ErrorCode::deadline_exceeded,
                 "router.queue_deadline_exceeded"
             },
             Read{
                 R"({"class":"Internal","reason":"backend.protocol"})",
                 ErrorCode::protocol,
                 "backend.protocol"
             },
             Read{
                 R"({"reason":"request.conflict"})", ErrorCode::already_exists, "request.conflict"
             },
             Read{
                 R"({"error_type":"Unavailable","class":"Unavailable"})",
                 ErrorCode::unavailable,
                 "backend.unavailable"
             },
             // What does not fit together is an internal error, as in the original.
             Read{
                 R"({"error_type":"Whatever","class":"NewClass","reason":"x.y","message":"m1"})",
                 ErrorCode::internal,
                 "runtime.invalid_error"
             },
             Read{
                 R"({"class":"InvalidRequest","reason":"x.y"})",
                 ErrorCode::internal,
                 "runtime.invalid_error"
             },
             Read{
                 R"({"class":"InvalidRequest","reason":"capacity.exhausted"})",
                 ErrorCode::internal,
                 "runtime.invalid_error"
             },
             Read{
                 R"({"error_type":{"Frontend":"X"}})", ErrorCode::internal, "runtime.unclassified"
             },
             // Values of another kind are passed over.
             Read{
                 R"({"error_type":7,"class":[],"reason":null,"message":{"a":1},"public":3,"caused_by":"x"})",
                 ErrorCode::internal,
                 "runtime.unclassified"
             },
             Read{R"([1,2])", ErrorCode::internal, "runtime.unclassified"},
         }) {
        const auto error = error_of(json);
        EXPECT_EQ(error.code(), code) << json;
        EXPECT_EQ(error.detail(), detail) << json;
    }
}

TEST(DynamoError, DetailsAndCauses) {
    constexpr std::string_view json =
        R"({"error_type":"InvalidArgument","class":"PayloadTooLarge",)"
        R"("reason":"request.payload_too_large","message":"long","diagnostic":"d",)"
        R"("public":{"type":"context_length","limit":18446744073709551615,"actual":9},)"
        R"("caused_by":{"error_type":"Unknown","message":""}})";
    const auto object = object_of(json);
    ASSERT_TRUE(object.details);
    EXPECT_EQ(got(object.details).limit, ~std::uint64_t{0});
    EXPECT_EQ(json_of(object), json);
    EXPECT_EQ(
        got(object_of(R"({"public_details":{"type":"message","message":"x"}})").details).message,
        "x"
    );
    std::string chain = R"({"message":"end"})";
    for (int i = 0; i < 60; ++i) chain = R"({"message":"m","caused_by":)" + chain + "}";
    const auto error = error_of(chain);
    std::size_t depth = 0;
    for (const auto* cause = error.cause(); cause != nullptr; cause = cause->cause()) ++depth;
    EXPECT_EQ(depth, max_error_causes);
}

TEST(DynamoError, ForeignTextIsMadeFit) {
    EXPECT_EQ(error_of(R"({"message":"a\nb"})").message(), "a?b");
    EXPECT_EQ(
        error_of(R"({"message":")" + std::string(10'000, 'x') + "\"}").message().size(),
        max_error_text
    );
    // A diagnostic that only looks like ours.
    EXPECT_EQ(
        error_of(R"({"message":"m","diagnostic":"[x] other"})").detail(), "runtime.unclassified"
    );
    EXPECT_EQ(
        error_of(R"({"message":"m","diagnostic":"[X!] m"})").detail(), "runtime.unclassified"
    );
    EXPECT_EQ(
        error_of(R"({"message":"m","diagnostic":"[a.b] mm"})").detail(), "runtime.unclassified"
    );
    EXPECT_EQ(error_of(R"({"message":"m","diagnostic":"[a.b] m\nc"})").context().size(), 1U);
    // Nothing that we may be given keeps us from writing.
    const Error hostile{ErrorCode::internal, "a\xff", std::string(5000, 'y') + "\xff\xfe"};
    const auto item = read_item(write_error_item(PayloadCodec::json, hostile), PayloadCodec::json);
    ASSERT_TRUE(item && item->error());
    EXPECT_EQ(got(item->error()).message().size(), max_error_text);
    const Error binary{ErrorCode::internal, "bad \xff text"};
    EXPECT_EQ(to_object(binary).message, "bad ? text");
}

TEST(DynamoError, Refusals) {
    EXPECT_EQ(
        refusal_text(Error{ErrorCode::overloaded, "x"}), "Server overloaded: worker at capacity"
    );
    EXPECT_EQ(
        refusal_text(Error{ErrorCode::not_found, "unknown endpoint a/b"}),
        "Server unavailable: unknown endpoint a/b"
    );
    for (const auto code : codes) {
        const auto text = refusal_text(Error{code, "why"});
        EXPECT_TRUE(
            text.starts_with("Server unavailable: ") || text.starts_with("Server overloaded: ")
        );
        const auto read = refusal_error(text).code();
        const bool own = code == ErrorCode::overloaded || code == ErrorCode::draining;
        EXPECT_EQ(read, own ? code : ErrorCode::unavailable);
    }
    for (const auto& [text, code, detail] : {
             Read{
                 "Server overloaded: worker at capacity", ErrorCode::overloaded, "dynamo.overloaded"
             },
             Read{
                 "Server unavailable: unknown endpoint x",
                 ErrorCode::unavailable,
                 "dynamo.unknown_endpoint"
             },
             Read{
                 "Unknown endpoint: deadbeef/generate",
                 ErrorCode::unavailable,
                 "dynamo.unknown_endpoint"
             },
             Read{
                 "Server unavailable: worker pool channel closed",
                 ErrorCode::unavailable,
                 "dynamo.unavailable"
             },
             Read{
                 "Read error: message too large: 2147483656 bytes (max: 33554432 bytes)",
                 ErrorCode::payload_too_large,
                 "dynamo.frame_too_large"
             },
             Read{"Read error: other", ErrorCode::unavailable, "dynamo.refused"},
             Read{"Something else", ErrorCode::unavailable, "dynamo.refused"},
             Read{"Invalid endpoint path", ErrorCode::unavailable, "dynamo.refused"},
         }) {
        const auto error = refusal_error(text);
        EXPECT_EQ(error.code(), code) << text;
        EXPECT_EQ(error.detail(), detail) << text;
        EXPECT_EQ(error.message(), text);
    }
}

TEST(DynamoError, TheAnswerToAFrameBeyondTheLimit) {
    std::string frame;
    for (const auto& captured : frames_of("fc-oversize")) {
        if (captured.name == "partial") frame = captured.bytes;
    }
    RequestReader reader;
    reader.feed(bytes_of(frame));
    const auto read = reader.next();
    ASSERT_FALSE(read);
    Output out;
    put_ack(out, read_error_text(read.error()));
    EXPECT_EQ(drain(out), golden("ack-read-error"));
}

}  // namespace
}  // namespace stator::transport::dynamo::test
