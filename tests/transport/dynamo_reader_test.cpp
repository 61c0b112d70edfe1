// Frames of Dynamo's TCP planes however they are cut, at the limits, and hostile ones.
#include <string>

#include "tests/transport/dynamo_support.hpp"

namespace stator::transport::dynamo::test {
namespace {

std::string be(std::uint64_t value, std::size_t size) {
    std::string out;
    for (auto shift = 8 * size; shift > 0; shift -= 8)
        out.push_back(static_cast<char>(value >> (shift - 8)));
    return out;
}

std::string request(
    std::size_t path, std::size_t headers, std::size_t payload, bool complete = true
) {
    return be(path, 2) + std::string(path, 'p') + be(headers, 2) + std::string(headers, 'h') +
           be(payload, 4) + std::string(complete ? payload : 0, 'x');
}

std::string message(std::uint64_t header, std::uint64_t body, bool complete = true) {
    auto text = be(header, 8) + be(body, 8) + be(0, 8);
    if (complete) text += std::string(header, 'h') + std::string(body, 'b');
    return text;
}

Bytes static_bytes(std::string_view text) { return Bytes::of_static(text); }

void expect_request(const RequestFrame& frame, const std::string& bytes) {
    EXPECT_EQ(frame.frame.view(), bytes);
    const auto shown = be(frame.path.size(), 2) + std::string{frame.path} +
                       be(frame.headers.size(), 2) + std::string{frame.headers} +
                       be(frame.payload.size(), 4) + frame.payload.to_string();
    EXPECT_EQ(shown, bytes);
}

void expect_message(const Message& read, const std::string& bytes) {
    const auto shown = be(read.header.size(), 8) + be(read.body.size(), 8) + bytes.substr(16, 8) +
                       read.header.to_string() + read.body.to_string();
    EXPECT_EQ(shown, bytes);
}

TEST(DynamoRequestReader, CutAnywhere) {
    const auto frame = golden("request-msgpack");
    const auto both = frame + request(1, 0, 0);
    for (std::size_t cut = 0; cut <= both.size(); ++cut) {
        RequestReader reader;
        reader.feed(bytes_of(both).first(cut));
        auto first = reader.next();
        ASSERT_TRUE(first) << cut;
        ASSERT_EQ(first->has_value(), cut >= frame.size()) << cut;
        reader.feed(bytes_of(both).subspan(cut));
        if (!*first) first = reader.next();
        ASSERT_TRUE(first && *first) << cut;
        expect_request(got(*first), frame);
        const auto second = reader.next();
        ASSERT_TRUE(second && *second) << cut;
        EXPECT_EQ(got(*second).path, "p");
        EXPECT_TRUE(got(*second).payload.empty());
        EXPECT_EQ(reader.pending(), 0U);
        EXPECT_FALSE(reader.next().value());
    }
}

TEST(DynamoRequestReader, ByteByByte) {
    const auto frames = golden("request-msgpack") + golden("request-json");
    RequestReader reader;
    std::size_t found = 0;
    for (const auto byte : bytes_of(frames)) {
        reader.feed({&byte, 1});
        for (;;) {
            const auto frame = reader.next();
            ASSERT_TRUE(frame);
            if (!*frame) break;
            ++found;
        }
    }
    EXPECT_EQ(found, 2U);
}

TEST(DynamoRequestReader, PathsOfOneToOneKiB) {
    for (const auto size : {std::size_t{1}, max_path_size - 1, max_path_size}) {
        RequestReader reader;
        const auto frame = request(size, 0, 3);
        reader.feed(bytes_of(frame));
        const auto read = reader.next();
        ASSERT_TRUE(read && *read) << size;
        expect_request(got(*read), frame);
    }
    for (const auto size : {std::size_t{0}, max_path_size + 1, std::size_t{0xffff}}) {
        RequestReader reader;
        reader.feed(bytes_of(be(size, 2)));
        const auto read = reader.next();
        ASSERT_FALSE(read) << size;
        EXPECT_EQ(read.error().code(), ErrorCode::protocol);
        EXPECT_EQ(read.error().detail(), "dynamo.bad_frame");
    }
}

TEST(DynamoRequestReader, HeadersOfAnyLengthThatFits) {
    for (const auto size :
         {std::size_t{0}, std::size_t{1}, max_headers_size - 1, max_headers_size}) {
        RequestReader reader;
        const auto frame = request(7, size, 5) + request(1, 1, 1);
        std::string_view left = frame;
        std::size_t found = 0;
        while (!left.empty()) {
            receive(reader, left);
            for (;;) {
                const auto read = reader.next();
                ASSERT_TRUE(read);
                if (!*read) break;
                if (++found == 1) EXPECT_EQ(got(*read).headers.size(), size);
            }
        }
        EXPECT_EQ(found, 2U) << size;
    }
}

TEST(DynamoRequestReader, TheLimitCountsTheWholeFrame) {
    const auto limit = request(9, 4, 100).size();
    for (const auto payload : {std::size_t{99}, std::size_t{100}}) {
        RequestReader reader{limit};
        reader.feed(bytes_of(request(9, 4, payload)));
        EXPECT_TRUE(reader.next().value()) << payload;
    }
    RequestReader reader{limit};
    reader.feed(bytes_of(request(9, 4, 101, false)));
    const auto read = reader.next();
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code(), ErrorCode::payload_too_large);
    EXPECT_EQ(read.error().detail(), "dynamo.frame_too_large");
}

TEST(DynamoRequestReader, AnAnnouncedSizeCostsLittleMemory) {
    RequestReader reader;
    reader.feed(bytes_of(request(9, 0, (32U << 20U) - 100, false)));
    EXPECT_FALSE(reader.next().value());
    std::array<iovec, 2> vectors{};
    ASSERT_EQ(reader.space(vectors), 1U);
    EXPECT_LE(vectors[0].iov_len, 4U << 20U);
}

TEST(DynamoRequestReader, LargeFramesArriveWhole) {
    auto frame = request(9, 20, 9U << 20U);
    for (std::size_t i = 100; i < frame.size(); ++i) frame[i] = static_cast<char>(i * 7 >> 3U);
    const auto all = frame + request(3, 0, 70'000) + frame;
    RequestReader reader;
    std::string_view left = all;
    std::vector<RequestFrame> frames;
    while (!left.empty()) {
        receive(reader, left);
        for (;;) {
            auto read = reader.next();
            ASSERT_TRUE(read);
            if (!*read) break;
            frames.push_back(std::move(got(*read)));
        }
    }
    ASSERT_EQ(frames.size(), 3U);
    EXPECT_TRUE(frames[0].frame.view() == frame);
    EXPECT_EQ(frames[1].payload.view(), std::string(70'000, 'x'));
    EXPECT_TRUE(frames[2].frame.view() == frame);
}

TEST(DynamoRequestReader, FramesOutliveTheReader) {
    const auto bytes = golden("request-metadata");
    std::vector<RequestFrame> frames;
    {
        RequestReader reader;
        for (int i = 0; i < 300; ++i) {
            reader.feed(bytes_of(bytes));
            auto read = reader.next();
            ASSERT_TRUE(read && *read);
            frames.push_back(std::move(got(*read)));
        }
    }
    for (const auto& frame : frames) expect_request(frame, bytes);
}

TEST(DynamoMessageReader, CutAnywhere) {
    for (const auto* name : {"item-msgpack", "handshake-response", "sentinel", "error-item-json"}) {
        const auto frame = golden(name);
        const auto both = frame + message(0, 0);
        for (std::size_t cut = 0; cut <= both.size(); ++cut) {
            MessageReader reader;
            reader.feed(bytes_of(both).first(cut));
            auto first = reader.next();
            ASSERT_TRUE(first);
            ASSERT_EQ(first->has_value(), cut >= frame.size());
            reader.feed(bytes_of(both).subspan(cut));
            if (!*first) first = reader.next();
            ASSERT_TRUE(first && *first);
            expect_message(got(*first), frame);
            const auto second = reader.next();
            ASSERT_TRUE(second && *second);
            EXPECT_TRUE(got(*second).header.empty() && got(*second).body.empty());
            EXPECT_FALSE(reader.next().value());
        }
    }
}

TEST(DynamoMessageReader, Limits) {
    const MessageLimits limits{.header = 50, .body = 100'000};
    for (const auto& [header, body, good] :
         std::initializer_list<std::tuple<std::uint64_t, std::uint64_t, bool>>{
             {49, 0, true},
             {50, 100'000, true},
             {0, 99'999, true},
             {51, 0, false},
             {0, 100'001, false},
             {~std::uint64_t{0}, 1, false},
             {1, ~std::uint64_t{0}, false},
             {~std::uint64_t{0}, ~std::uint64_t{0}, false},
         }) {
        MessageReader reader{limits};
        reader.feed(bytes_of(message(header, body, good)));
        const auto read = reader.next();
        ASSERT_EQ(read.has_value(), good) << header << ' ' << body;
        if (good) {
            EXPECT_TRUE(*read);
        } else {
            EXPECT_EQ(read.error().code(), ErrorCode::payload_too_large);
            EXPECT_EQ(read.error().detail(), "dynamo.frame_too_large");
        }
    }
}

TEST(DynamoMessageReader, LimitsMayBeRaised) {
    MessageReader reader{{.header = 100, .body = 0}};
    reader.feed(bytes_of(message(100, 0) + message(0, 1)));
    EXPECT_TRUE(reader.next().value());
    reader.limit({});
    EXPECT_TRUE(reader.next().value());
}

TEST(DynamoMessageReader, FortyMegabytes) {
    const auto frame = message(0, 40'000'000) + message(3, 3);
    MessageReader reader;
    std::string_view left = frame;
    std::size_t found = 0;
    while (!left.empty()) {
        receive(reader, left);
        for (;;) {
            const auto read = reader.next();
            ASSERT_TRUE(read);
            if (!*read) break;
            EXPECT_EQ(got(*read).body.size(), found == 0 ? 40'000'000U : 3U);
            ++found;
        }
    }
    EXPECT_EQ(found, 2U);
}

TEST(DynamoMessageReader, ChecksumsAreNotLookedAt) {
    auto frame = golden("item-msgpack");
    frame[20] = '\x55';
    MessageReader reader;
    reader.feed(bytes_of(frame));
    const auto read = reader.next();
    ASSERT_TRUE(read && *read);
    expect_message(got(*read), frame);
}

TEST(DynamoSplitMessage, LengthsMustAddUp) {
    EXPECT_TRUE(split_message(static_bytes(message(3, 4))));
    EXPECT_TRUE(split_message(static_bytes(message(0, 0))));
    const auto good = message(3, 4);
    for (std::size_t cut = 0; cut < good.size(); ++cut) {
        const auto split = split_message(Bytes::copy_of(std::string_view{good}.substr(0, cut)));
        ASSERT_FALSE(split) << cut;
        EXPECT_EQ(split.error().detail(), "dynamo.bad_frame");
    }
    EXPECT_FALSE(split_message(Bytes::copy_of(good + "x")));
    EXPECT_FALSE(split_message(Bytes::copy_of(message(~std::uint64_t{0}, 8, false))));
    EXPECT_FALSE(split_message(Bytes::copy_of(message(8, ~std::uint64_t{0} - 7, false))));
}

TEST(DynamoAckReader, CutAnywhere) {
    const auto bytes = golden("ack-accepted") + golden("ack-overloaded") + golden("ack-accepted");
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
        AckReader reader;
        std::vector<std::string> texts;
        for (const auto part : {bytes_of(bytes).first(cut), bytes_of(bytes).subspan(cut)}) {
            reader.feed(part);
            for (;;) {
                auto text = reader.next();
                ASSERT_TRUE(text);
                if (!*text) break;
                texts.push_back(std::move(got(*text)));
            }
        }
        EXPECT_EQ(
            texts, (std::vector<std::string>{"", "Server overloaded: worker at capacity", ""})
        );
    }
}

TEST(DynamoAckReader, LongTextsAreRefused) {
    for (const auto size : {max_ack_size - 1, max_ack_size}) {
        AckReader reader;
        reader.feed(bytes_of(be(size, 4) + std::string(size, 't')));
        EXPECT_EQ(got(reader.next().value()).size(), size);
    }
    AckReader reader;
    reader.feed(bytes_of(be(max_ack_size + 1, 4)));
    const auto text = reader.next();
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().detail(), "dynamo.bad_ack");
}

}  // namespace
}  // namespace stator::transport::dynamo::test
