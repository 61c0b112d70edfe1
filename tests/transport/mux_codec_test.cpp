// Preface, frame headers, HELLO, call heads and error blocks, byte by byte.
#include <algorithm>
#include <numeric>

#include "stator/transport/mux_head.hpp"
#include "tests/transport/mux_support.hpp"

namespace stator::transport::test {
namespace {

using mux::FrameHeader;
using mux::Hello;
using mux::Preface;

std::span<const std::byte, mux::preface_size> as_preface(const std::string& text) {
    return bytes_of(text).first<mux::preface_size>();
}

TEST(MuxSniff, DecidesByTwoBytes) {
    EXPECT_EQ(sniff({}), Protocol::need_more);
    EXPECT_EQ(sniff(bytes_of("\xFF")), Protocol::need_more);
    EXPECT_EQ(sniff(bytes_of("\x16")), Protocol::need_more);
    EXPECT_EQ(sniff(bytes_of("\xFF\xFF")), Protocol::mux);
    EXPECT_EQ(sniff(bytes_of("\x16\x03\x01")), Protocol::tls);
    EXPECT_EQ(sniff(bytes_of(std::string_view{"\x00\x12", 2})), Protocol::dynamo);
    EXPECT_EQ(sniff(bytes_of("\xFF\xFE")), Protocol::dynamo);
    EXPECT_EQ(sniff(bytes_of("\x16\x04")), Protocol::dynamo);
    EXPECT_EQ(sniff(bytes_of("GET / HTTP/1.1")), Protocol::dynamo);
    EXPECT_EQ(sniff(bytes_of(preface())), Protocol::mux);
}

TEST(MuxPreface, RoundTrip) {
    const Preface sent{2, 9};
    const auto bytes = sent.encode();
    EXPECT_EQ(text_of(bytes), preface(2, 9));
    const auto read = Preface::decode(bytes);
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, sent);
}

TEST(MuxPreface, EveryWrongBitIsNamed) {
    const auto good = preface();
    for (std::size_t at = 0; at < good.size(); ++at) {
        if (at >= 8 && at < 12) continue;  // the versions
        for (unsigned bit = 0; bit < 8; ++bit) {
            auto bad = good;
            bad[at] = static_cast<char>(bad[at] ^ (1U << bit));
            const auto read = Preface::decode(as_preface(bad));
            ASSERT_FALSE(read) << at;
            EXPECT_EQ(read.error().detail(), "mux.bad_preface");
            EXPECT_EQ(read.error().code(), ErrorCode::protocol);
        }
    }
    EXPECT_FALSE(Preface::decode(as_preface(preface(0, 1))));
    EXPECT_FALSE(Preface::decode(as_preface(preface(2, 1))));
}

TEST(MuxVersion, HighestOfBoth) {
    EXPECT_EQ(mux::choose_version({1, 5}, {1, 1}), 1);
    EXPECT_EQ(mux::choose_version({1, 5}, {2, 9}), 5);
    EXPECT_EQ(mux::choose_version({3, 3}, {1, 9}), 3);
    const auto none = mux::choose_version({2, 3}, {4, 6});
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code(), ErrorCode::unimplemented);
    EXPECT_EQ(none.error().detail(), "mux.no_common_version");
    EXPECT_EQ(none.error().message(), "dialler speaks 2 to 3, acceptor 4 to 6");
    EXPECT_FALSE(mux::choose_version({7, 9}, {4, 6}));
}

TEST(MuxHeader, RoundTrip) {
    const FrameHeader header{0x01020304, 0x05, 0x06, 0x0708, 0x090A0B0C};
    std::array<std::byte, mux::frame_header_size> bytes{};
    header.encode(bytes.data());
    EXPECT_EQ(
        text_of(bytes), u32(0x01020304) + u8(0x05) + u8(0x06) + u16(0x0708) + u32(0x090A0B0C)
    );
    EXPECT_EQ(FrameHeader::decode(bytes.data()), header);
}

/// What docs/protocol/mux.md, section 2, allows; written down apart from the implementation.
struct Rule {
    unsigned type;
    unsigned flags;
    std::vector<std::uint32_t> good_sizes;
    std::vector<std::uint32_t> bad_sizes;
    StreamId good_stream;
    std::vector<StreamId> bad_streams;
};

const std::vector<Rule>& rules() {
    static const std::vector<Rule> all = {
        {hello_frame, 0, {12, 80}, {0, 11}, 0, {1, 2}},
        {open_frame, end_flag | more_flag | message_flag, {48, 5000}, {0, 47}, 1, {0, 2}},
        {accept_frame, 0, {0}, {1}, 1, {0, 2}},
        {data_frame, end_flag | more_flag | message_flag, {0, 70000}, {}, 1, {0, 2}},
        {end_frame, 0, {0}, {1}, 1, {0, 2}},
        {error_frame, refused_flag, {0, 8, 900}, {}, 1, {0, 2}},
        {stop_frame, 0, {1}, {0, 2}, 1, {0, 2}},
        {kill_frame, 0, {1}, {0, 2}, 1, {0, 2}},
        {reset_frame, 0, {0, 8}, {}, 1, {0, 2}},
        {credit_frame, 0, {4}, {0, 3, 5}, 0, {2}},
        {credit_frame, 0, {4}, {0, 3, 5}, 1, {2}},
        {ping_frame, 0, {8}, {7, 9}, 0, {1, 2}},
        {pong_frame, 0, {8}, {7, 9}, 0, {1, 2}},
        {drain_frame, 0, {8, 264}, {7, 265}, 0, {1, 2}},
        {goodbye_frame, 0, {8, 100}, {7}, 0, {1, 2}},
    };
    return all;
}

FrameHeader header_of(std::uint32_t length, unsigned type, unsigned flags, StreamId stream) {
    return {length, static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(flags), 0, stream};
}

TEST(MuxHeader, EveryTypeFlagSizeAndStream) {
    for (const auto& rule : rules()) {
        const auto size = rule.good_sizes.front();
        for (const auto good : rule.good_sizes) {
            EXPECT_EQ(check_frame_header(header_of(good, rule.type, 0, rule.good_stream)), "")
                << rule.type;
        }
        for (const auto bad : rule.bad_sizes) {
            EXPECT_EQ(
                check_frame_header(header_of(bad, rule.type, 0, rule.good_stream)), "mux.bad_frame"
            ) << rule.type;
        }
        for (const auto bad : rule.bad_streams) {
            EXPECT_EQ(check_frame_header(header_of(size, rule.type, 0, bad)), "mux.bad_stream_id")
                << rule.type;
        }
        for (unsigned flags = 0; flags < 256; ++flags) {
            const bool more = (flags & more_flag) != 0;
            const bool allowed = (flags & ~rule.flags) == 0 && !(more && (flags & end_flag) != 0) &&
                                 !(more && rule.type == open_frame && (flags & message_flag) == 0);
            EXPECT_EQ(
                check_frame_header(header_of(size, rule.type, flags, rule.good_stream)),
                allowed ? "" : "mux.bad_flags"
            ) << rule.type
              << " " << flags;
        }
        auto reserved = header_of(size, rule.type, 0, rule.good_stream);
        reserved.reserved = 1;
        EXPECT_EQ(check_frame_header(reserved), "mux.bad_frame");
    }
}

TEST(MuxHeader, UnknownTypes) {
    for (unsigned type = 0; type < 256; ++type) {
        if (type >= 1 && type <= 14) continue;
        EXPECT_EQ(
            check_frame_header(header_of(3, type, 0xFF, 6)), type >= 0x80 ? "" : "mux.unknown_frame"
        );
    }
}

TEST(MuxHello, RoundTripAndCutAnywhere) {
    Hello sent;
    sent.epoch = 0x1234;
    sent.max_frame = 70000;
    sent.max_message = 80000;
    sent.stream_credit = 90000;
    sent.connection_credit = 100000;
    sent.max_streams = 5;
    sent.max_head = 2000;
    const auto bytes = sent.encode(false);
    const auto read = Hello::decode(bytes);
    ASSERT_TRUE(read) << read.error().what();
    EXPECT_EQ(*read, sent);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const auto cut = Hello::decode(std::span{bytes}.first(size));
        // Between two records a shorter HELLO is a HELLO.
        const std::size_t ends[] = {12, 20, 32, 40, 52, 60};
        if (std::ranges::find(ends, size) != std::end(ends)) {
            EXPECT_TRUE(cut) << size;
        } else {
            ASSERT_FALSE(cut) << size;
            EXPECT_EQ(cut.error().detail(), "mux.bad_hello");
        }
    }
}

TEST(MuxHello, DefaultsUnknownTagsAndBounds) {
    const auto fixed = u16(1) + u16(0) + u64(5);
    const auto bare = Hello::decode(bytes_of(fixed));
    ASSERT_TRUE(bare);
    EXPECT_EQ(bare->max_frame, 65536U);
    EXPECT_EQ(bare->max_message, 1048576U);
    EXPECT_EQ(bare->stream_credit, 65536U);
    EXPECT_EQ(bare->connection_credit, 1048576U);
    EXPECT_EQ(bare->max_streams, 1024U);
    EXPECT_EQ(bare->max_head, 8192U);
    EXPECT_TRUE(Hello::decode(bytes_of(fixed + u16(900) + u16(3) + "abc" + u16(0) + u16(0))));
    const std::string bad[] = {
        u16(1) + u16(4) + u32(16383),
        u16(1) + u16(8) + u64(65536),
        u16(2) + u16(8) + u64(16383),
        u16(2) + u16(8) + u64(std::uint64_t{1} << 32U),
        u16(3) + u16(4) + u32(8191),
        u16(4) + u16(8) + u64(65535),
        u16(4) + u16(8) + u64(~std::uint64_t{0}),
        u16(6) + u16(4) + u32(1023),
        u16(6) + u16(4) + u32(65536),
        u16(1) + u16(4) + u32(20000) + u16(6) + u16(4) + u32(20001),
        u16(5) + u16(4) + u32(1) + u16(5) + u16(4) + u32(1),
        u16(900) + u16(1),
    };
    for (const auto& records : bad) {
        const auto read = Hello::decode(bytes_of(fixed + records));
        ASSERT_FALSE(read) << ::testing::PrintToString(records);
        EXPECT_EQ(read.error().detail(), "mux.bad_hello");
    }
    EXPECT_FALSE(Hello::decode(bytes_of(u16(1) + u16(1) + u64(5))));
    std::string many = fixed;
    for (int i = 0; i < 64; ++i) many += u16(1000) + u16(0);
    EXPECT_TRUE(Hello::decode(bytes_of(many)));
    EXPECT_FALSE(Hello::decode(bytes_of(many + u16(1000) + u16(0))));
}

CallHead full_head(std::span<const HeaderField> headers) {
    CallHead head;
    head.path = "demo/backend/generate";
    head.instance = InstanceId{0xDD2443044320D6D2};
    head.request = RequestId{0x0102030405060708, 0x090A0B0C0D0E0F10};
    head.remaining = 5s;
    head.shape = CallShape::client_streaming;
    head.codec = 2;
    head.response_credit = 65536;
    auto& trace = head.trace.emplace();
    trace.trace_id[3] = std::byte{9};
    trace.span_id[2] = std::byte{8};
    trace.flags = 1;
    trace.state = "a=1,b=2";
    head.headers = headers;
    return head;
}

std::vector<std::byte> encoded(const CallHead& head) {
    const auto size = mux::head_size(head, 65535);
    EXPECT_TRUE(size) << size.error().what();
    std::vector<std::byte> out(size.value_or(0));
    mux::encode_head(head, out.size(), out.data());
    return out;
}

TEST(MuxHead, RoundTripAndCutAnywhere) {
    const std::vector<HeaderField> fields = {
        {"tenant", "blue"}, {"empty", ""}, {"tenant", std::string_view{"\0\xFF", 2}}
    };
    const auto sent = full_head(fields);
    const auto bytes = encoded(sent);
    CallHead read;
    mux::HeaderScratch scratch;
    ASSERT_EQ(mux::decode_head(bytes, read, scratch), "");
    EXPECT_EQ(read.path, sent.path);
    EXPECT_EQ(read.instance, sent.instance);
    EXPECT_EQ(read.request, sent.request);
    EXPECT_EQ(read.remaining, sent.remaining);
    EXPECT_EQ(read.shape, sent.shape);
    EXPECT_EQ(read.codec, sent.codec);
    EXPECT_EQ(read.response_credit, sent.response_credit);
    EXPECT_EQ(read.trace, sent.trace);
    EXPECT_TRUE(std::ranges::equal(read.headers, fields));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_NE(mux::decode_head(std::span{bytes}.first(size), read, scratch), "") << size;
    }
    auto longer = bytes;
    longer.push_back({});
    EXPECT_NE(mux::decode_head(longer, read, scratch), "");
    // A small head after a large one shows nothing of it.
    const auto small = head(CallShape::unary);
    ASSERT_EQ(mux::decode_head(bytes_of(small), read, scratch), "");
    EXPECT_FALSE(read.trace);
    EXPECT_TRUE(read.headers.empty());
    EXPECT_EQ(read.remaining, 0s);
}

TEST(MuxHead, DeadlinesOutOfRange) {
    auto bytes = head(CallShape::unary);
    bytes.replace(16, 8, u64(~std::uint64_t{0}));
    CallHead read;
    mux::HeaderScratch scratch;
    ASSERT_EQ(mux::decode_head(bytes_of(bytes), read, scratch), "");
    EXPECT_EQ(read.remaining.count(), std::numeric_limits<std::int64_t>::max());
}

TEST(MuxHead, WhatIsWrongIsSaid) {
    const auto good = head(CallShape::unary);
    const auto changed = [&](std::size_t at, const std::string& by) {
        auto bytes = good;
        bytes.replace(at, by.size(), by);
        return bytes;
    };
    const std::string bad[] = {
        changed(2, u8(4)),   // shape
        changed(4, u16(2)),  // head flags
        changed(6, u16(0)),  // path sizes
        changed(6, u16(6)),
        changed(6, u16(1025)),
        changed(40, u32(8191)),  // response credit
        changed(44, u16(1)),     // headers that are not there
        changed(44, u16(65)),
        changed(46, u16(1)),  // state without trace
        changed(50, "\x7F"),  // path letters
        changed(50, " "),
        changed(50, "\xC3"),
        good + u16(1) + u16(0) + "k",  // a header that is not counted
    };
    for (const auto& bytes : bad) {
        CallHead read;
        mux::HeaderScratch scratch;
        EXPECT_NE(mux::decode_head(bytes_of(bytes), read, scratch), "")
            << ::testing::PrintToString(bytes);
    }
    const auto with_header = [&](const std::string& field) { return changed(44, u16(1)) + field; };
    CallHead read;
    mux::HeaderScratch scratch;
    EXPECT_EQ(mux::decode_head(bytes_of(with_header(u16(1) + u16(0) + "k")), read, scratch), "");
    EXPECT_NE(mux::decode_head(bytes_of(with_header(u16(0) + u16(1) + "v")), read, scratch), "");
    EXPECT_NE(mux::decode_head(bytes_of(with_header(u16(1) + u16(0) + " ")), read, scratch), "");
    EXPECT_NE(
        mux::decode_head(
            bytes_of(with_header(u16(257) + u16(0) + std::string(257, 'k'))), read, scratch
        ),
        ""
    );
}

TEST(MuxHead, WhatCannotBeSentIsRefused) {
    CallHead head;
    head.response_credit = 8192;
    EXPECT_EQ(mux::head_size(head, 65535).error().detail(), "mux.bad_head");  // no path
    head.path = "a/b/c";
    EXPECT_EQ(mux::head_size(head, 65535), 53U);
    const auto tight = mux::head_size(head, 52);
    ASSERT_FALSE(tight);
    EXPECT_EQ(tight.error().detail(), "mux.head_too_large");
    EXPECT_EQ(tight.error().code(), ErrorCode::payload_too_large);
    const std::string large(70000, 'x');
    const std::vector<HeaderField> field = {{"k", large}};
    head.headers = field;
    EXPECT_EQ(mux::head_size(head, 1U << 20U).error().detail(), "mux.head_too_large");
    const std::vector<HeaderField> many(65, HeaderField{"k", ""});
    head.headers = many;
    EXPECT_EQ(mux::head_size(head, 65535).error().detail(), "mux.bad_head");
    head.headers = {};
    head.path = "a b";
    EXPECT_EQ(mux::head_size(head, 65535).error().detail(), "mux.bad_head");
    head.path = "a/b/c";
    const std::string long_state(513, 's');
    head.trace.emplace().state = long_state;
    EXPECT_EQ(mux::head_size(head, 65535).error().detail(), "mux.bad_head");
    head.trace->state = "\n";
    EXPECT_EQ(mux::head_size(head, 65535).error().detail(), "mux.bad_head");
}

TEST(MuxError, RoundTripAndCutAnywhere) {
    const auto sent = Error{ErrorCode::overloaded, "gate.full", "worker is full"}
                          .with_retryable(false)
                          .with_context("inner")
                          .with_context("outer");
    const auto block = mux::encode_error(&sent);
    const auto read = mux::decode_error(block);
    ASSERT_TRUE(read);
    ASSERT_TRUE(*read);
    EXPECT_EQ((*read)->code(), sent.code());
    EXPECT_EQ((*read)->detail(), sent.detail());
    EXPECT_EQ((*read)->message(), sent.message());
    EXPECT_EQ((*read)->retryable(), false);
    EXPECT_EQ((*read)->context(), sent.context());
    for (std::size_t size = 0; size < block.size(); ++size) {
        const auto cut = mux::decode_error(std::span{block}.first(size));
        ASSERT_FALSE(cut) << size;
        EXPECT_EQ(cut.error().detail(), "mux.bad_error");
    }
    auto longer = block;
    longer.push_back({});
    EXPECT_FALSE(mux::decode_error(longer));
}

TEST(MuxError, EveryClassTravels) {
    for (unsigned code = 1; code <= 15; ++code) {
        for (const bool retryable : {false, true}) {
            const auto sent = Error{static_cast<ErrorCode>(code), "m"}.with_retryable(retryable);
            const auto read = mux::decode_error(mux::encode_error(&sent));
            ASSERT_TRUE(read && *read);
            EXPECT_EQ((*read)->code(), sent.code());
            EXPECT_EQ((*read)->retryable(), retryable);
        }
    }
    const auto newer = mux::decode_error(bytes_of(error_block(200, "", "")));
    ASSERT_TRUE(newer && *newer);
    EXPECT_EQ((*newer)->code(), ErrorCode::internal);
    const auto none = mux::decode_error(mux::encode_error(nullptr));
    ASSERT_TRUE(none);
    EXPECT_FALSE(*none);
    EXPECT_FALSE(mux::decode_error(bytes_of(error_block(0, "", "x"))));
}

TEST(MuxError, LongTextsAreCutAtACharacter) {
    std::string message;
    for (int i = 0; i < 3000; ++i) message += "\xC3\xA4";  // a with diaeresis, 6000 bytes
    auto sent = Error{ErrorCode::internal, std::string(200, 'd'), "x" + message};
    for (int i = 0; i < 20; ++i)
        sent = sent.with_context(fmt::format("{}{}", i, std::string(600, 'c')));
    const auto read = mux::decode_error(mux::encode_error(&sent));
    ASSERT_TRUE(read && *read);
    EXPECT_EQ((*read)->detail().size(), 128U);
    EXPECT_EQ((*read)->message().size(), 4095U);
    EXPECT_EQ((*read)->message().find('?'), std::string::npos);
    ASSERT_EQ((*read)->context().size(), 16U);
    EXPECT_EQ((*read)->context().front().size(), 512U);
    EXPECT_EQ((*read)->context().front().front(), '0');
}

TEST(MuxError, CausesAreFlattened) {
    const auto sent = Error{ErrorCode::unavailable, "outer"}.with_cause(
        Error{ErrorCode::internal, "middle"}.with_cause(Error{ErrorCode::not_found, "inner"})
    );
    const auto read = mux::decode_error(mux::encode_error(&sent));
    ASSERT_TRUE(read && *read);
    EXPECT_EQ((*read)->message(), "outer (cause: internal: middle) (cause: not_found: inner)");
}

TEST(MuxError, LimitsHoldForTheReaderToo) {
    const auto block =
        [](unsigned flags, unsigned lines, unsigned reserved, unsigned detail, unsigned message) {
            return u8(1) + u8(flags) + u8(lines) + u8(reserved) + u16(detail) + u16(message) +
                   std::string(detail + message, 'x');
        };
    EXPECT_TRUE(mux::decode_error(bytes_of(block(1, 0, 0, 128, 4096))));
    EXPECT_FALSE(mux::decode_error(bytes_of(block(2, 0, 0, 0, 0))));
    EXPECT_FALSE(mux::decode_error(bytes_of(block(0, 0, 1, 0, 0))));
    EXPECT_FALSE(mux::decode_error(bytes_of(block(0, 0, 0, 129, 0))));
    EXPECT_FALSE(mux::decode_error(bytes_of(block(0, 0, 0, 0, 4097))));
    EXPECT_FALSE(mux::decode_error(bytes_of(block(0, 17, 0, 0, 0) + std::string(34, '\0'))));
    EXPECT_FALSE(mux::decode_error(bytes_of(block(0, 1, 0, 0, 0) + u16(513) + std::string(513, 'x'))
    ));
    EXPECT_TRUE(mux::decode_error(bytes_of(block(0, 1, 0, 0, 0) + u16(512) + std::string(512, 'x')))
    );
}

TEST(MuxError, ForeignTextIsCleaned) {
    EXPECT_EQ(
        mux::clean_text("plain \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80"),
        "plain \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80"
    );
    EXPECT_EQ(mux::clean_text("a\nb\x1B[0m\x7F"), "a?b?[0m?");
    EXPECT_EQ(mux::clean_text("\xFF"), "?");
    EXPECT_EQ(mux::clean_text("\xC3"), "?");
    EXPECT_EQ(mux::clean_text("\xC3("), "?(");
    EXPECT_EQ(mux::clean_text("\xC0\x80"), "??");            // overlong
    EXPECT_EQ(mux::clean_text("\xE0\x80\x80"), "???");       // overlong
    EXPECT_EQ(mux::clean_text("\xED\xA0\x80"), "???");       // surrogate
    EXPECT_EQ(mux::clean_text("\xF4\x90\x80\x80"), "????");  // above U+10FFFF
    EXPECT_EQ(mux::clean_text("\xF0\x80\x80\x80"), "????");
}

TEST(MuxConfigCheck, NamesWhatIsOutOfBounds) {
    EXPECT_TRUE(MuxConfig{}.check());
    const auto refused = [](auto change) {
        MuxConfig config;
        change(config);
        const auto checked = config.check();
        EXPECT_FALSE(checked);
        return checked ? std::string{} : checked.error().message();
    };
    EXPECT_EQ(
        refused([](auto& c) { c.max_frame = 1; }), "max_frame is 1, not in [16384, 1073741824]"
    );
    EXPECT_NE(refused([](auto& c) { c.large_budget = 1; }).find("large_budget"), std::string::npos);
    EXPECT_NE(refused([](auto& c) { c.memory_limit = 1; }).find("memory_limit"), std::string::npos);
    EXPECT_NE(refused([](auto& c) { c.least_window = 1; }).find("least_window"), std::string::npos);
    EXPECT_NE(refused([](auto& c) { c.first_stream = 2; }).find("first_stream"), std::string::npos);
    EXPECT_NE(refused([](auto& c) { c.ping_after = 0s; }).find("ping_after"), std::string::npos);
    EXPECT_NE(refused([](auto& c) { c.suspect_after = 1s; }).find("suspect"), std::string::npos);
}

}  // namespace
}  // namespace stator::transport::test
