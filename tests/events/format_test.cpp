// Records and envelopes, byte by byte beside what Dynamo 1.6.1 wrote.
#include <fstream>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"
#include "stator/events/channel_record.hpp"
#include "stator/events/envelope.hpp"

namespace stator::events {
namespace {

using nlohmann::json;

const EventScope generate{"hello", "backend", "generate"};

json captures() {
    std::ifstream file{STATOR_SOURCE_DIR "/tests/events/captures/event-plane.json"};
    return json::parse(file).at("messages");
}

Bytes from_hex(const std::string& text) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2)
        bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
    return Bytes::copy_of(bytes);
}

void expect_as_captured(const EventEnvelope& envelope, const json& message) {
    const auto& seen = message.at("decoded").at("envelope");
    EXPECT_EQ(envelope.publisher_id, seen.at("publisher_id").get<std::uint64_t>());
    EXPECT_EQ(envelope.sequence, seen.at("sequence").get<std::uint64_t>());
    EXPECT_EQ(envelope.published_at, seen.at("published_at").get<std::uint64_t>());
    EXPECT_EQ(envelope.topic, seen.at("topic").get<std::string>());
    EXPECT_EQ(envelope.payload, from_hex(seen.at("payload").at("bin_hex").get<std::string>()));
    EXPECT_LE(envelope.publisher_id, max_publisher_id);
}

TEST(EventEnvelope, IsTheOriginalsOverNats) {
    int found = 0;
    for (const auto& message : captures()) {
        if (message.at("plane") != "event-nats") continue;
        ++found;
        const auto bytes = from_hex(message.at("bytes_hex").get<std::string>());
        const auto envelope = read_envelope(bytes);
        ASSERT_TRUE(envelope) << envelope.error().what();
        expect_as_captured(*envelope, message);
    }
    EXPECT_EQ(found, 4);
}

TEST(EventEnvelope, IsTheOriginalsOverZeroMQ) {
    int found = 0;
    for (const auto& message : captures()) {
        if (message.at("plane") != "event-zmq") continue;
        ++found;
        std::vector<Bytes> parts;
        for (const auto& part : message.at("parts_hex"))
            parts.push_back(from_hex(part.get<std::string>()));
        const auto envelope = read_parts(parts);
        ASSERT_TRUE(envelope) << envelope.error().what();
        expect_as_captured(*envelope, message);
    }
    EXPECT_EQ(found, 4);
}

EventEnvelope example() {
    return {
        .publisher_id = 0x1234,
        .sequence = 0,
        .published_at = 0x19b2dcd7c00,
        .topic = "kv-events",
        .payload = Bytes::of_static("\x81\xa1n\x01"),
    };
}

TEST(EventEnvelope, IsWrittenInTheOriginalsOrder) {
    const auto written = write_envelope(example());
    ASSERT_TRUE(written);
    EXPECT_EQ(
        *written,
        from_hex("85ac7075626c69736865725f6964cd1234a873657175656e636500ac7075626c69736865645f6174"
                 "cf0000019b2dcd7c00a5746f706963a96b762d6576656e7473a77061796c6f6164c40481a16e01")
    );
    EXPECT_EQ(read_envelope(*written), example());
    const auto parts = write_parts(example());
    ASSERT_TRUE(parts);
    EXPECT_EQ((*parts)[0].view(), "kv-events");
    EXPECT_EQ((*parts)[1], from_hex("0000000000001234"));
    EXPECT_EQ((*parts)[2], from_hex("0000000000000000"));
    EXPECT_EQ((*parts)[3].slice(0, 5), from_hex("010000004f"));
    EXPECT_EQ((*parts)[3].slice(5), *written);
    EXPECT_EQ(read_parts(*parts), example());
}

TEST(EventEnvelope, SaysWhatIsMissing) {
    const std::map<std::string, std::string> without{
        {"publisher_id", "no publisher_id"},
        {"sequence", "no sequence"},
        {"published_at", "no published_at"},
        {"topic", "no topic"},
        {"payload", "no payload"},
    };
    for (const auto& [key, why] : without) {
        Document document{
            {"publisher_id", 1},
            {"sequence", 2},
            {"published_at", 3},
            {"topic", "t"},
            {"payload", Document::binary({1})},
            {"more", {1, 2}},
        };
        EXPECT_TRUE(read_envelope(*encode_msgpack(document)));
        document.erase(key);
        const auto read = read_envelope(*encode_msgpack(document));
        ASSERT_FALSE(read);
        EXPECT_EQ(read.error().detail(), "events.envelope");
        EXPECT_NE(read.error().message().find(why), std::string::npos) << read.error().message();
    }
}

TEST(EventEnvelope, ABadOneIsAnErrorAtEveryByte) {
    const auto parts = *write_parts(example());
    const auto& frame = parts[3];
    for (std::size_t size = 0; size < frame.size(); ++size) {
        if (size + 5 < frame.size()) EXPECT_FALSE(read_envelope(frame.slice(5, size))) << size;
        EventParts cut = parts;
        cut[3] = frame.slice(0, size);
        EXPECT_FALSE(read_parts(cut)) << size;
    }
    EXPECT_FALSE(read_parts(std::span{parts}.first(3)));
    for (std::size_t i = 0; i < 3; ++i) {
        EventParts other = parts;
        other[i] = Bytes::of_static("12345678");
        EXPECT_FALSE(read_parts(other)) << i;
    }
}

TEST(EventChannels, AreTheOriginals) {
    int found = 0;
    for (const auto& message : captures()) {
        if (message.at("name") != "records") continue;
        for (const auto& [file, text] : message.at("decoded").items()) {
            if (!file.starts_with("v1/event_channels/")) continue;
            ++found;
            const auto record = text.get<std::string>();
            const auto channel = channel_from_record(record);
            ASSERT_TRUE(channel) << channel.error().what();
            EXPECT_EQ(channel->scope, generate);
            EXPECT_EQ(to_record(*channel), record);
            // The file store spells the rest of a key once more.
            const auto key = channel->key();
            std::string spelled;
            for (const char letter : key.substr(channels_bucket.size() + 1)) {
                spelled += std::isalnum(static_cast<unsigned char>(letter)) != 0
                               ? std::string{letter}
                               : fmt::format("%{:02X}", static_cast<unsigned char>(letter));
            }
            EXPECT_EQ(file, std::string{channels_bucket} + "/" + spelled);
        }
    }
    EXPECT_EQ(found, 4);
}

TEST(EventChannels, OfEveryScope) {
    for (const auto& scope :
         {EventScope{"a", {}, {}}, EventScope{"a", "b", {}}, EventScope{"a", "b", "c"}}) {
        const EventChannel channel{scope, "t", 7, ZmqChannel{"tcp://127.0.0.1:1"}};
        const auto record = to_record(channel);
        ASSERT_TRUE(record);
        EXPECT_EQ(channel_from_record(*record), channel) << *record;
    }
    EXPECT_EQ((EventScope{"a.b", "c", {}}.to_subject()), "namespace.a%2Eb.component.c");
    EXPECT_EQ(generate.to_path(), "namespace/hello/component/backend/endpoint/generate");
    EXPECT_EQ(
        channels_prefix(generate, "kv.x"),
        "v1/event_channels/namespace/hello/component/backend/endpoint/generate/topic/kv%2Ex/"
    );
}

TEST(EventChannels, OfAnotherKindAreNamedAndNotWritten) {
    const auto broker = channel_from_record(
        R"({"type":"EventChannel","scope":{"kind":"namespace","name":"a"},"topic":"t",)"
        R"("instance_id":1,"transport":{"kind":"ZmqBroker","config":{}},"more":[1]})"
    );
    ASSERT_TRUE(broker);
    EXPECT_EQ(broker->transport, ChannelTransport{OtherChannel{"ZmqBroker"}});
    EXPECT_EQ(to_record(*broker).error().detail(), "events.record");
}

TEST(EventChannels, WhatIsNoneIsRefused) {
    const auto good = *to_record({generate, "t", 7, NatsChannel{"namespace.hello"}});
    const auto with = [&](std::string_view from, std::string_view to) {
        auto text = good;
        const auto at = text.find(from);
        EXPECT_NE(at, text.npos) << from;
        return text.replace(at, from.size(), to);
    };
    for (const auto& bad : {
             std::string{},
             std::string{"[]"},
             with("EventChannel", "Endpoint"),
             with("\"kind\":\"endpoint\"", "\"kind\":\"world\""),
             with("\"name\":\"generate\"", "\"name\":1"),
             with("\"topic\"", "\"topics\""),
             with("\"instance_id\":7", "\"instance_id\":-7"),
             with("\"instance_id\":7", "\"instance_id\":\"7\""),
             with("\"subject_prefix\"", "\"prefix\""),
             with("\"transport\"", "\"transports\""),
         }) {
        const auto read = channel_from_record(bad);
        ASSERT_FALSE(read) << bad;
        EXPECT_EQ(read.error().detail(), "events.record");
    }
}

TEST(EventScopes, AreChecked) {
    EXPECT_TRUE(generate.check());
    EXPECT_TRUE((EventScope{"a", {}, {}}.check()));
    EXPECT_EQ((EventScope{"a", {}, "c"}.check().error().detail()), "events.scope");
    EXPECT_FALSE((EventScope{"A b", {}, {}}.check()));
    EXPECT_FALSE((EventScope{"a", "B c", {}}.check()));
}

}  // namespace
}  // namespace stator::events
