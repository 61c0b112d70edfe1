// Control headers, handshakes, envelopes: what is accepted, what is refused by which name, and how
// large bodies pass through.
#include <string>

#include <fmt/format.h>

#include "stator/codec/json.hpp"
#include "tests/transport/dynamo_support.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_item.hpp"
#include "transport/dynamo_stream.hpp"

namespace stator::transport::dynamo::test {
namespace {

constexpr auto json = PayloadCodec::json;
constexpr auto msgpack = PayloadCodec::msgpack;

ConnectionInfo connection(StreamType type) {
    return {.address = "[::1]:37331", .subject = "s-1", .context = "id \"1\"", .stream_type = type};
}

ControlHeader control() {
    ControlHeader header;
    header.id = "id \"1\"";
    header.codec = msgpack;
    header.connection = connection(StreamType::response);
    return header;
}

Result<ControlHeader> read(std::string_view text) { return read_control(Bytes::copy_of(text)); }

/// `control` written, with a part of the text replaced.
std::string changed(const ControlHeader& header, std::string_view from, std::string_view to) {
    auto text = write_control(header).value().to_string();
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

void expect_bad(const Result<ControlHeader>& read, std::string_view what) {
    ASSERT_FALSE(read) << what;
    EXPECT_EQ(read.error().code(), ErrorCode::protocol) << what;
    EXPECT_EQ(read.error().detail(), "dynamo.bad_control") << what;
}

TEST(DynamoControl, RoundTrip) {
    auto header = control();
    EXPECT_EQ(read(write_control(header)->view()).value(), header);
    header.many_in = true;
    header.many_out = false;
    header.codec = json;
    header.request_stream = connection(StreamType::request);
    header.metadata = {{"k", "v"}, {"ü", "\"\\"}};
    header.sent_at_ns = ~std::uint64_t{0};
    EXPECT_EQ(read(write_control(header)->view()).value(), header);
}

TEST(DynamoControl, AnyOrderAndWhatIsNotKnown) {
    const auto header = read(
        R"( {"new":{"a":[1,{"id":"no"}]},"connection_info":{"info":"{\"stream_type\":\"response\",\"x\":1,)"
        R"(\"context\":\"i\",\"subject\":\"s\",\"address\":\"::1:80\"}","y":[],"transport":"tcp_server"},)"
        R"("metadata":null,"request_stream_connection_info":null,"payload_codec":null,)"
        R"("response_type":"many_out","request_type":"single_in","id":"i"} )"
    );
    ASSERT_TRUE(header) << header.error().what();
    EXPECT_EQ(header->id, "i");
    EXPECT_EQ(header->connection.address, "::1:80");
    EXPECT_EQ(header->codec, json);
    EXPECT_TRUE(header->metadata.empty());
}

TEST(DynamoControl, BadOnesHaveAName) {
    const auto header = control();
    expect_bad(read(""), "nothing");
    expect_bad(read("{}"), "empty");
    expect_bad(read("[]"), "no map");
    expect_bad(read(std::string(200'000, '[')), "brackets");
    expect_bad(read(write_control(header)->to_string() + "x"), "surplus");
    expect_bad(read(changed(header, R"("id":"id \"1\"")", R"("id":"")")), "no id");
    expect_bad(read(changed(header, R"("id":"id \"1\"")", R"("id":7)")), "id");
    expect_bad(read(changed(header, R"("id":"id \"1\"")", R"("id":"other")")), "context");
    expect_bad(read(changed(header, "single_in", "no_in")), "request type");
    expect_bad(read(changed(header, "single_in", "many_in")), "no request stream");
    expect_bad(read(changed(header, "many_out", "any_out")), "response type");
    expect_bad(read(changed(header, "msgpack", "cbor")), "codec");
    expect_bad(read(changed(header, R"(\"response\")", R"(\"request\")")), "stream type");
    expect_bad(read(changed(header, R"(\"response\")", R"(\"other\")")), "stream type");
    expect_bad(read(changed(header, R"(\"subject\":\"s-1\",)", "")), "no subject");
    expect_bad(read(changed(header, R"(\"address\":\"[::1]:37331\",)", "")), "no address");
    expect_bad(read(changed(header, "connection_info", "connection")), "no connection");
    expect_bad(read(changed(header, R"("payload_codec")", R"("id":"a","payload_codec")")), "twice");
    const auto text = write_control(header)->to_string();
    for (std::size_t cut = 0; cut < text.size(); ++cut)
        expect_bad(read(std::string_view{text}.substr(0, cut)), "cut off");
    auto bidirectional = control();
    bidirectional.many_in = true;
    bidirectional.request_stream = connection(StreamType::response);
    expect_bad(read(write_control(bidirectional)->view()), "type of the request stream");
}

TEST(DynamoControl, SizeIsBounded) {
    auto header = control();
    header.metadata.emplace_back("k", "");
    const auto bare = write_control(header)->size();
    header.metadata[0].second = std::string(max_control_size - bare, 'x');
    EXPECT_TRUE(read(write_control(header)->view()));
    header.metadata[0].second += 'x';
    expect_bad(read(write_control(header)->view()), "too long");
}

TEST(DynamoControl, OtherTransportsAreNamed) {
    const auto header = read(changed(control(), "tcp_server", "quic-response"));
    ASSERT_TRUE(header);
    EXPECT_FALSE(header->connection.is_tcp());
    EXPECT_EQ(header->connection.transport, "quic-response");
}

TEST(DynamoHeaders, RoundTripAndWhatIsNotKnown) {
    const TransportHeaders headers{
        .request_id = "r",
        .sent_at_ns = 1795309729359,
        .endpoint_path = "a/b",
        .traceparent = "00-3979a596471edaef01be9965480818a6-8716083876a5cd60-01",
        .tracestate = "v=1"
    };
    EXPECT_EQ(read_headers(write_headers(headers)->view()).value(), headers);
    EXPECT_EQ(read_headers("").value(), TransportHeaders{});
    EXPECT_EQ(read_headers(write_headers({})->view()).value(), TransportHeaders{});
    EXPECT_EQ(read_headers(R"({"x":[1],"request-id":"r"})")->request_id, "r");
    EXPECT_FALSE(read_headers(R"({"x-frontend-send-ts-ns":"soon"})")->sent_at_ns);
    for (const auto* bad :
         {"x",
          "[]",
          R"({"request-id":1})",
          R"({"request-id":"a"}})",
          R"({"request-id":"a","request-id":"b"})"}) {
        const auto read = read_headers(bad);
        ASSERT_FALSE(read) << bad;
        EXPECT_EQ(read.error().detail(), "dynamo.bad_header");
    }
}

TEST(DynamoStream, HandshakesAndWordsThatAreNone) {
    for (const auto* bad :
         {"",
          "7",
          R"({"subject":"s"})",
          R"({"stream_type":"response"})",
          R"({"subject":"","stream_type":"response"})",
          R"({"subject":"s","stream_type":"both"})",
          R"("sentinel")"}) {
        const auto read = read_handshake(Bytes::copy_of(bad));
        ASSERT_FALSE(read) << bad;
        EXPECT_EQ(read.error().detail(), "dynamo.bad_handshake");
    }
    EXPECT_EQ(
        read_handshake(Bytes::copy_of(R"({"x":1,"stream_type":"request","subject":"s"})"))
            ->stream_type,
        StreamType::request
    );
    for (const auto* bad : {"", "stop", R"("Stop")", R"("stop" )", R"({"error":null})"})
        EXPECT_EQ(read_word(Bytes::copy_of(bad)).error().detail(), "dynamo.bad_word") << bad;
    for (const auto* bad : {"", "null", R"({"error":1})", R"({"error":"a","error":"b"})"})
        EXPECT_EQ(read_prologue(Bytes::copy_of(bad)).error().detail(), "dynamo.bad_prologue")
            << bad;
}

TEST(DynamoItem, AnyOrderAndWhatIsNotKnown) {
    for (const auto codec : {json, msgpack}) {
        const auto body = [&](std::string_view text) {
            return codec == json ? Bytes::copy_of(text) : *encode_msgpack(*decode_json(text));
        };
        const auto value = [&](const Item& item) {
            return codec == json ? decode_json(item.data.view()) : decode_msgpack(item.data.span());
        };
        auto item =
            read_item(body(R"({"x":[{}],"complete_final":true,"data":{"y":1,"data":[7]}})"), codec);
        ASSERT_TRUE(item) << item.error().what();
        EXPECT_TRUE(item->last && item->present && !item->notes);
        EXPECT_EQ(value(*item)->dump(), "[7]");

        item = read_item(
            body(
                R"({"data":{"event":"note","id":"1","comment":["a","b"],"data":null},"complete_final":false})"
            ),
            codec
        );
        ASSERT_TRUE(item && item->notes);
        EXPECT_EQ(item->notes->event, "note");
        EXPECT_EQ(item->notes->id, "1");
        EXPECT_EQ(item->notes->comment.size(), 2U);
        EXPECT_TRUE(value(*item)->is_null());
        EXPECT_FALSE(item->error());

        item = read_item(
            body(
                R"({"data":{"data":1,"id":null,"event":null,"comment":null,"error":null},"complete_final":false})"
            ),
            codec
        );
        ASSERT_TRUE(item && !item->error());
        EXPECT_EQ(value(*item)->dump(), "1");

        for (const auto* empty :
             {R"({"complete_final":false})", R"({"data":null,"complete_final":false})"}) {
            item = read_item(body(empty), codec);
            ASSERT_TRUE(item) << empty;
            EXPECT_TRUE(!item->present && !item->last && item->data.empty());
        }
        item = read_item(body(R"({"data":{},"complete_final":false})"), codec);
        ASSERT_TRUE(item);
        EXPECT_TRUE(item->present && item->data.empty());

        item = read_item(
            body(
                R"({"data":{"event":"error","comment":["a python exception","boom"]},"complete_final":false})"
            ),
            codec
        );
        ASSERT_TRUE(item && item->error());
        EXPECT_EQ(item->error()->code(), ErrorCode::internal);
        EXPECT_EQ(item->error()->message(), "a python exception boom");

        for (const auto* bad : {
                 "7",
                 "[]",
                 "{}",
                 R"({"data":{"data":1}})",
                 R"({"data":7,"complete_final":false})",
                 R"({"complete_final":null})",
                 R"({"data":{"event":1},"complete_final":false})",
                 R"({"data":{"comment":"x"},"complete_final":false})",
             }) {
            item = read_item(body(bad), codec);
            ASSERT_FALSE(item) << bad;
            EXPECT_EQ(item.error().code(), ErrorCode::protocol);
            EXPECT_EQ(item.error().detail(), "dynamo.bad_item");
        }
    }
    EXPECT_FALSE(
        read_item(Bytes::copy_of(R"({"complete_final":true,"complete_final":false})"), json)
    );
    EXPECT_FALSE(read_item(Bytes::copy_of(R"({"complete_final":true}x)"), json));
    EXPECT_FALSE(read_item(Bytes{}, msgpack));
    EXPECT_FALSE(read_item(Bytes::of_static("\xc1\xff"), msgpack));
    EXPECT_FALSE(read_item(Bytes::of_static("x"), PayloadCodec::raw));
}

TEST(DynamoItem, WhatOnlyLooksLikeTheUsualForm) {
    const auto read_json = [](std::string_view value) {
        const auto text = fmt::format(R"({{"data":{{"data":{}}},"complete_final":false}})", value);
        return read_item(Bytes::copy_of(text), json);
    };
    for (const auto* value :
         {R"("},\"complete_final\":true}")", R"({"a":[1,"]"],"b":"\\"})", " [ 1 ] ", "-1.5"}) {
        const auto item = read_json(value);
        ASSERT_TRUE(item) << value;
        EXPECT_EQ(*decode_json(item->data.view()), *decode_json(value));
        EXPECT_FALSE(item->notes);
    }
    // More entries behind the value.
    auto item = read_json(R"([1],"id":"x")");
    ASSERT_TRUE(item && item->notes);
    EXPECT_EQ(item->data.view(), "[1]");
    EXPECT_EQ(item->notes->id, "x");
    item = read_json(R"(1},"x":{"y":2)");
    ASSERT_TRUE(item);
    EXPECT_EQ(item->data.view(), "1");
    // No value, or one that takes the tail into itself.
    for (const auto* value : {"", ",", ":", "}", "1,", R"("a)", R"("a\\\)", "[1", R"({"a":)"})
        EXPECT_FALSE(read_json(value)) << value;
    // A string of MessagePack that swallows the tail, and then is one short.
    const auto packed =
        std::string{item_head(msgpack)} + "\xd9\x10" + std::string{item_tail(msgpack, false)};
    const auto swallowed = read_item(Bytes::copy_of(packed), msgpack);
    EXPECT_TRUE(!swallowed || !decode_msgpack(swallowed->data.span()));
}

TEST(DynamoItem, CutAnywhereIsBad) {
    for (const auto& [name, codec] :
         {std::pair{"item-msgpack", msgpack},
          {"item-json", json},
          {"error-item-msgpack", msgpack},
          {"final-json", json}}) {
        const auto body = golden(name).substr(24);
        for (std::size_t cut = 0; cut < body.size(); ++cut)
            EXPECT_FALSE(read_item(Bytes::copy_of(std::string_view{body}.substr(0, cut)), codec))
                << cut;
    }
}

TEST(DynamoItem, TheValueIsASliceOfTheBody) {
    for (const auto codec : {json, msgpack}) {
        const auto value = codec == json ? Bytes::copy_of("{\"a\":[1]}")
                                         : Bytes::copy_of(
                                               "\x81\xa1"
                                               "a\x91\x01"
                                           );
        Output out;
        put_item(out, codec, value);
        const auto body = Bytes::copy_of(drain(out)).slice(24);
        const auto item = read_item(body, codec);
        ASSERT_TRUE(item);
        EXPECT_EQ(item->data, value);
        EXPECT_EQ(item->data.data(), body.data() + item_head(codec).size());
    }
}

TEST(DynamoItem, AnAnnotatedObjectIsPutIntoTheEnvelopeAsItIs) {
    for (const auto codec : {json, msgpack}) {
        const auto object = codec == json
                                ? Bytes::copy_of(R"({"data":7,"event":"note","comment":["x"]})")
                                : Bytes::copy_of(
                                      "\x83\xa4"
                                      "data\x07\xa5"
                                      "event\xa4note\xa7"
                                      "comment\x91\xa1x"
                                  );
        Output out;
        put_item(out, codec, object, false, ItemForm::annotated);
        const auto body = Bytes::copy_of(drain(out)).slice(24);
        if (codec == json) {
            EXPECT_EQ(
                body.view(),
                R"({"data":{"data":7,"event":"note","comment":["x"]},"complete_final":false})"
            );
        }
        const auto item = read_item(body, codec);
        ASSERT_TRUE(item);
        EXPECT_FALSE(item->data.empty());
        EXPECT_EQ(item->notes->event, "note");
        EXPECT_EQ(item->notes->comment, std::vector<std::string>{"x"});
        EXPECT_FALSE(item->last);
        EXPECT_EQ(annotated_object(body, codec), object);
        EXPECT_TRUE(annotated_object(Bytes::copy_of(final_item(codec)), codec).empty());
        Output usual;
        put_item(usual, codec, codec == json ? Bytes::copy_of("7") : Bytes::copy_of("\x07"), true);
        const auto plain = annotated_object(Bytes::copy_of(drain(usual)).slice(24), codec);
        EXPECT_EQ(
            plain,
            codec == json ? Bytes::copy_of(R"({"data":7})")
                          : Bytes::copy_of("\x81\xa4"
                                           "data\x07")
        );
    }
    EXPECT_TRUE(
        annotated_object(Bytes::copy_of(R"({"data":null,"complete_final":true})"), json).empty()
    );
}

TEST(DynamoItem, ValuesAsDeepAsOnTheOtherPlane) {
    const auto nested = std::string(128, '[') + std::string(128, ']');
    Output out;
    put_item(out, json, Bytes::copy_of(nested));
    const auto item = read_item(Bytes::copy_of(drain(out)).slice(24), json);
    ASSERT_TRUE(item);
    EXPECT_EQ(item->data.view(), nested);
}

/// The vectors in which `value` leaves, and whether one of them is its own memory.
bool refers(Output& out, const Bytes& value) {
    std::array<iovec, 8> vectors{};
    const auto count = out.gather(vectors);
    return std::any_of(
        vectors.begin(),
        vectors.begin() + static_cast<std::ptrdiff_t>(count),
        [&](const iovec& part) {
            return part.iov_base == value.data() && part.iov_len == value.size();
        }
    );
}

TEST(DynamoWriter, LargeBodiesAreNotCopied) {
    for (const auto size :
         {mux::reference_from - 1, mux::reference_from, mux::reference_from + 1}) {
        const auto value = Bytes::copy_of("\"" + std::string(size - 2, 'x') + "\"");
        const bool large = size >= mux::reference_from;
        Output item;
        put_item(item, json, value, true);
        EXPECT_EQ(refers(item, value), large) << size;
        const auto read = read_item(Bytes::copy_of(drain(item)).slice(24), json);
        ASSERT_TRUE(read && read->last);
        EXPECT_EQ(read->data, value);

        Output message;
        put_message(message, "h", value);
        EXPECT_EQ(refers(message, value), large) << size;
        const auto split = split_message(Bytes::copy_of(drain(message)));
        ASSERT_TRUE(split);
        EXPECT_EQ(split->header.view(), "h");
        EXPECT_EQ(split->body, value);

        Output request;
        ASSERT_TRUE(put_request(request, "p", "{}", "{}", value));
        EXPECT_EQ(request.size(), request_size(1, 2, 2 + value.size()));
        EXPECT_EQ(refers(request, value), large) << size;
        RequestReader reader;
        reader.feed(bytes_of(drain(request)));
        const auto frame = reader.next();
        ASSERT_TRUE(frame && *frame);
        EXPECT_EQ(split_message(got(*frame).payload)->body, value);
    }
}

TEST(DynamoWriter, RequestsBeyondALimitAreRefused) {
    const auto put = [](std::size_t path,
                        std::size_t headers,
                        std::size_t header,
                        std::size_t body,
                        std::size_t most = default_max_request) {
        Output out;
        const auto good = put_request(
            out,
            std::string(path, 'p'),
            std::string(headers, 'h'),
            std::string(header, 'c'),
            Bytes::copy_of(std::string(body, 'b')),
            most
        );
        EXPECT_EQ(good.has_value(), !out.empty());
        return good ? std::string{} : good.error().detail();
    };
    EXPECT_EQ(put(1, 0, 0, 0), "");
    EXPECT_EQ(put(0, 0, 0, 0), "dynamo.bad_path");
    EXPECT_EQ(put(max_path_size, 0, 0, 0), "");
    EXPECT_EQ(put(max_path_size + 1, 0, 0, 0), "dynamo.bad_path");
    EXPECT_EQ(put(1, max_headers_size, 0, 0), "");
    EXPECT_EQ(put(1, max_headers_size + 1, 0, 0), "dynamo.frame_too_large");
    EXPECT_EQ(put(1, 0, max_control_size, 0), "");
    EXPECT_EQ(put(1, 0, max_control_size + 1, 0), "dynamo.frame_too_large");
    EXPECT_EQ(put(1, 0, 0, 100, 133), "");
    EXPECT_EQ(put(1, 0, 0, 101, 133), "dynamo.frame_too_large");
}

TEST(DynamoWriter, AcksAreBounded) {
    Output out;
    put_ack(out, std::string(max_ack_size + 1, 'x'));
    EXPECT_EQ(out.size(), 4 + max_ack_size);
}

}  // namespace
}  // namespace stator::transport::dynamo::test
