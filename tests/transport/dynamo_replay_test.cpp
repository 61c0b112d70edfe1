// Every frame that was captured between processes of the original is read, says what another
// decoder found in it, and is written again: the same bytes, wherever the original's own order is
// fixed.
#include <map>
#include <string>

#include "stator/codec/json.hpp"
#include "stator/codec/value_writer.hpp"
#include "tests/transport/dynamo_support.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_item.hpp"
#include "transport/dynamo_stream.hpp"

namespace stator::transport::dynamo::test {
namespace {

std::string_view text_of(const Result<Bytes>& bytes) {
    EXPECT_TRUE(bytes) << bytes.error().what();
    return bytes ? bytes->view() : std::string_view{};
}

Json decode(const Bytes& bytes, PayloadCodec codec) {
    const auto document =
        codec == PayloadCodec::json ? decode_json(bytes.view()) : decode_msgpack(bytes.span());
    EXPECT_TRUE(document) << document.error().what();
    return document ? *document : Json{};
}

/// Json whose objects have their keys in order, to be compared where the order is free.
nlohmann::json sorted(const Json& document) { return nlohmann::json::parse(document.dump()); }

/// A text of a decoded object; empty if it is not there.
std::string word(const Json& object, const char* key) { return object.value(key, std::string{}); }

PayloadCodec codec_of(const Json& body) {
    return got(payload_codec_from_name(body.value("codec", std::string{"msgpack"})));
}

class Replay {
public:
    void frame(const Captured& frame) {
        SCOPED_TRACE(frame.from + " " + frame.name);
        if (frame.plane != "request-tcp") {
            message(frame);
        } else if (frame.direction == "c2s") {
            request(frame);
        } else {
            ack(frame);
        }
    }

    std::map<std::string, int> seen;

private:
    void request(const Captured& captured) {
        RequestReader reader;
        reader.feed(bytes_of(captured.bytes));
        const auto read = reader.next();
        ASSERT_TRUE(read && *read);
        EXPECT_EQ(reader.pending(), 0U);
        const auto& frame = got(*read);
        EXPECT_EQ(frame.path, word(captured.decoded, "path"));
        headers(frame, captured);
        const auto message = split_message(frame.payload);
        ASSERT_TRUE(message);
        control(*message, captured.decoded["two_part"]);
        Output out;
        ASSERT_TRUE(
            put_request(out, frame.path, frame.headers, message->header.view(), message->body)
        );
        EXPECT_EQ(drain(out), captured.bytes);
        ++seen["request"];
    }

    void headers(const RequestFrame& frame, const Captured& captured) {
        const auto headers = read_headers(frame.headers);
        ASSERT_TRUE(headers) << headers.error().what();
        if (frame.headers.empty()) return;
        const auto& theirs = captured.decoded["headers"];
        EXPECT_EQ(headers->request_id.value_or(""), word(theirs, "request-id"));
        EXPECT_EQ(headers->endpoint_path.value_or(""), word(theirs, "x-endpoint-path"));
        EXPECT_EQ(
            std::to_string(headers->sent_at_ns.value_or(0)), word(theirs, "x-frontend-send-ts-ns")
        );
        EXPECT_EQ(headers->traceparent.value_or(""), word(theirs, "traceparent"));
        EXPECT_EQ(sorted(Json::parse(text_of(write_headers(*headers)))), sorted(theirs));
        seen["traceparent"] += headers->traceparent ? 1 : 0;
    }

    void control(const Message& message, const Json& decoded) {
        const auto read = read_control(message.header);
        if (!decoded["header"]["connection_info"].is_object()) {
            EXPECT_FALSE(read);
            ++seen["bad control"];
            return;
        }
        const auto& theirs = decoded["header"];
        ASSERT_TRUE(read) << read.error().what();
        EXPECT_EQ(read->id, word(theirs, "id"));
        EXPECT_EQ(read->many_in, theirs["request_type"] == "many_in");
        EXPECT_EQ(to_string(read->codec), theirs.value("payload_codec", std::string{"json"}));
        EXPECT_EQ(read->metadata.size(), theirs.value("metadata", Json::object()).size());
        EXPECT_EQ(
            read->request_stream.has_value(), theirs.contains("request_stream_connection_info")
        );
        EXPECT_EQ(read->connection.transport, word(theirs["connection_info"], "transport"));
        if (!read->connection.is_tcp()) {
            ++seen["other transport"];
            return;
        }
        const auto info = Json::parse(theirs["connection_info"]["info"].get<std::string>());
        EXPECT_EQ(read->connection.address, word(info, "address"));
        EXPECT_EQ(read->connection.subject, word(info, "subject"));
        if (theirs.contains("future") || !theirs.contains("payload_codec")) return;
        EXPECT_EQ(text_of(write_control(*read)), message.header.view());
        ++seen["control written"];
    }

    void ack(const Captured& captured) {
        AckReader reader;
        reader.feed(bytes_of(captured.bytes));
        const auto text = reader.next();
        ASSERT_TRUE(text && *text);
        EXPECT_EQ(got(*text), word(captured.decoded, "text"));
        Output out;
        put_ack(out, got(*text));
        EXPECT_EQ(drain(out), captured.bytes);
        ++seen[got(*text).empty() ? "accepted" : "refused"];
    }

    void message(const Captured& captured) {
        MessageReader reader;
        reader.feed(bytes_of(captured.bytes));
        const auto read = reader.next();
        ASSERT_TRUE(read && *read);
        EXPECT_EQ(reader.pending(), 0U);
        const auto& [header, body, booked] = got(*read);
        EXPECT_EQ(booked.size(), 0U);
        EXPECT_EQ(header.size(), captured.decoded["header_len"]);
        EXPECT_EQ(body.size(), captured.decoded["body_len"]);
        Output out;
        put_message(out, header.view(), body);
        auto same = captured.bytes;
        std::fill(same.begin() + 16, same.begin() + 24, '\0');  // one has a checksum
        EXPECT_EQ(drain(out), same);
        if (!header.empty()) return said(header, captured);
        if (captured.direction == "c2s") return item(body, captured.decoded["body"], same);
        const auto& theirs = captured.decoded["body"];
        EXPECT_EQ(decode(body, codec_of(theirs)), theirs["value"]);
        ++seen["input"];
    }

    void said(const Bytes& header, const Captured& captured) {
        const auto& theirs = captured.decoded["header"];
        Output out;
        if (theirs.is_string()) {
            const auto word = read_word(header);
            ASSERT_EQ(word.has_value(), captured.name != "nonsense");
            ++seen[theirs.get<std::string>()];
            if (!word) return;
            put_word(out, *word);
            EXPECT_EQ(drain(out).substr(24), header.view());
        } else if (theirs.contains("subject")) {
            const auto handshake = read_handshake(header);
            ASSERT_TRUE(handshake) << handshake.error().what();
            EXPECT_EQ(handshake->subject, word(theirs, "subject"));
            put_handshake(out, handshake->subject, handshake->stream_type);
            EXPECT_EQ(drain(out), captured.bytes);
            ++seen["handshake " + theirs["stream_type"].get<std::string>()];
        } else {
            prologue(header, theirs, captured);
        }
    }

    void prologue(const Bytes& header, const Json& theirs, const Captured& captured) {
        const auto prologue = read_prologue(header);
        ASSERT_TRUE(prologue) << prologue.error().what();
        EXPECT_EQ(prologue->error().has_value(), !theirs["error"].is_null());
        EXPECT_EQ(prologue->typed.has_value(), theirs.contains("typed_error"));
        if (!prologue->failure) {
            Output out;
            put_prologue(out);
            EXPECT_EQ(drain(out), captured.bytes);
            ++seen["prologue"];
            return;
        }
        EXPECT_EQ(got(prologue->failure), word(theirs, "error"));
        ++seen["failed prologue"];
        if (!prologue->typed) return;
        EXPECT_EQ(
            decode(written(got(prologue->typed), PayloadCodec::json), PayloadCodec::json),
            theirs["typed_error"]
        );
    }

    static Bytes written(const ErrorObject& object, PayloadCodec codec) {
        ValueWriter out{codec};
        write_error(out, object);
        return out.finish().value();
    }

    void item(const Bytes& body, const Json& decoded, const std::string& bytes) {
        if (!decoded.contains("value")) {
            EXPECT_FALSE(read_item(body, PayloadCodec::msgpack));
            ++seen["bad item"];
            return;
        }
        const auto codec = codec_of(decoded);
        const auto& theirs = decoded["value"];
        const auto item = read_item(body, codec);
        ASSERT_TRUE(item) << item.error().what();
        EXPECT_EQ(item->last, theirs["complete_final"].get<bool>());
        EXPECT_EQ(item->present, theirs.contains("data"));
        const auto inner = theirs.value("data", Json::object());
        EXPECT_EQ(item->data.empty(), !inner.contains("data"));
        if (inner.contains("data")) EXPECT_EQ(decode(item->data, codec), inner["data"]);
        if (item->notes) {
            notes(*item, inner, codec);
        } else if (item->present && !inner.contains("unknown_field") && !theirs.contains("extra")) {
            Output out;
            put_item(out, codec, item->data, item->last);
            EXPECT_EQ(drain(out), bytes);
            ++seen["item"];
        } else if (!item->present && item->last) {
            Output out;
            put_final(out, codec);
            EXPECT_EQ(drain(out), bytes);
            ++seen["final"];
        }
    }

    void notes(const Item& item, const Json& theirs, PayloadCodec codec) {
        EXPECT_EQ(item.notes->id.value_or(""), word(theirs, "id"));
        EXPECT_EQ(item.notes->event.value_or(""), word(theirs, "event"));
        EXPECT_EQ(Json(item.notes->comment), theirs.value("comment", Json::array()));
        EXPECT_EQ(item.error().has_value(), word(theirs, "event") == "error");
        ++seen[item.error() ? "error item" : "annotated item"];
        ASSERT_EQ(item.notes->error.has_value(), theirs.contains("error"));
        if (!theirs.contains("error") || theirs["error"].empty()) return;
        EXPECT_EQ(decode(written(got(item.notes->error), codec), codec), theirs["error"]);
        ++seen["error object"];
    }
};

TEST(DynamoReplay, EveryCapturedFrame) {
    Replay replay;
    for (const auto& frame : all_frames()) replay.frame(frame);
    // All kinds are there, so that none is passed over without a word.
    for (const auto* kind : {
             "request",
             "traceparent",
             "control written",
             "bad control",
             "other transport",
             "accepted",
             "refused",
             "handshake response",
             "handshake request",
             "prologue",
             "failed prologue",
             "item",
             "final",
             "annotated item",
             "error item",
             "error object",
             "bad item",
             "sentinel",
             "stop",
             "kill",
             "nonsense",
             "input",
         }) {
        EXPECT_GT(replay.seen[kind], 0) << kind;
    }
    for (const auto& [kind, count] : replay.seen) RecordProperty(kind, count);
    EXPECT_GE(replay.seen["request"], 100);
    EXPECT_GE(replay.seen["item"], 200);
}

TEST(DynamoReplay, EveryKindOfValueKeepsItsBytes) {
    std::size_t values = 0;
    for (const auto& value : read_capture(captures_folder() / "value-encodings.json")["values"]) {
        if (value["outcome"] != "ok" || !value.contains("response_frame_hex")) continue;
        SCOPED_TRACE(value.dump());
        const auto codec = codec_of(value);
        const auto request = Bytes::copy_of(from_hex(value["request_body_hex"].get<std::string>()));
        const auto document = decode(request, codec);
        EXPECT_EQ(document, Json::parse(value["request_json"].get<std::string>()));
        const auto frame = from_hex(value["response_frame_hex"].get<std::string>());
        MessageReader reader;
        reader.feed(bytes_of(frame));
        const auto message = reader.next();
        ASSERT_TRUE(message && *message);
        const auto item = read_item(got(*message).body, codec);
        ASSERT_TRUE(item);
        EXPECT_EQ(decode(item->data, codec), value["response_decoded"]["value"]["data"]["data"]);
        Output out;
        put_item(out, codec, item->data);
        EXPECT_EQ(drain(out), frame);
        ++values;
    }
    EXPECT_GE(values, 20U);
}

}  // namespace
}  // namespace stator::transport::dynamo::test
