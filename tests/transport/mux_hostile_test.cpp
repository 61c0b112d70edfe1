// What a peer can send wrongly: each ends in a named error that closes only what it must.
#include "tests/transport/mux_support.hpp"

namespace stator::transport::test {
namespace {

/// A frame with a header field set to what it must not be.
std::string with_reserved(std::string sent) {
    sent[6] = 1;
    return sent;
}
std::string with_length(std::string sent, std::uint32_t length) {
    return u32(length) + sent.substr(4);
}

struct Case {
    std::string name;
    std::string bytes;
    std::string detail;
};

void expect_connection_error(const Events& events, MuxSession& session, const Case& wrong) {
    ASSERT_FALSE(events.empty()) << wrong.name;
    const auto* code = wrong.detail == "mux.no_common_version" ? "unimplemented" : "protocol";
    EXPECT_EQ(events.back(), fmt::format("closed {} {}", code, wrong.detail)) << wrong.name;
    EXPECT_TRUE(session.closed()) << wrong.name;
    const auto frames = take_frames(session);
    ASSERT_FALSE(frames.empty()) << wrong.name;
    EXPECT_EQ(frames.back().type, goodbye_frame) << wrong.name;
    EXPECT_EQ(frames.back().detail(), wrong.detail) << wrong.name;
}

TEST(MuxHostile, BeforeTheHandshake) {
    auto bad_magic = preface();
    bad_magic[4] = 'X';
    auto bad_reserved = preface();
    bad_reserved[15] = 1;
    const auto wrong_hello = [](const std::string& payload) {
        return preface() + frame(hello_frame, 0, 0, payload);
    };
    const Case cases[] = {
        {"magic", bad_magic, "mux.bad_preface"},
        {"reserved", bad_reserved, "mux.bad_preface"},
        {"version 0", preface(0, 1), "mux.bad_preface"},
        {"version order", preface(3, 2), "mux.bad_preface"},
        {"newer", preface(2, 3), "mux.no_common_version"},
        {"open first", preface() + open(1, CallShape::unary, "q"), "mux.expected_hello"},
        {"ping first", preface() + frame(ping_frame, 0, 0, u64(1)), "mux.expected_hello"},
        {"extension first", preface() + frame(0x80, 0, 0, ""), "mux.expected_hello"},
        {"short hello", wrong_hello("x"), "mux.bad_frame"},
        {"hello version 0", wrong_hello(u16(0) + u16(0) + u64(1)), "mux.bad_hello"},
        {"hello reserved", wrong_hello(u16(1) + u16(9) + u64(1)), "mux.bad_hello"},
        {"hello record cut", wrong_hello(u16(1) + u16(0) + u64(1) + u16(1)), "mux.bad_hello"},
        {"hello too large", wrong_hello(std::string(4097, 'x')), "mux.frame_too_large"},
        {"hello on a stream",
         preface() + frame(hello_frame, 0, 1, std::string(12, '\1')),
         "mux.bad_stream_id"},
    };
    for (const auto& wrong : cases) {
        Recorder handler;
        MuxSession session{MuxRole::acceptor, config_with_epoch(2), handler, TimePoint{}};
        session.feed(bytes_of(wrong.bytes), TimePoint{});
        expect_connection_error(handler.events(), session, wrong);
    }
}

TEST(MuxHostile, AnAnswerThatIsNotMux) {
    const std::pair<std::string, std::string> cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "mux.expected_hello"},
        {"SSH-2.0-OpenSSH_9.2p1\r\n", "mux.expected_hello"},
        {std::string(16, '\0'), "mux.expected_hello"},
        {frame(hello_frame, 0, 0, u16(2) + u16(0) + u64(1)), "mux.bad_hello"},
    };
    for (const auto& [answer, detail] : cases) {
        Recorder handler;
        MuxSession session{MuxRole::dialler, config_with_epoch(1), handler, TimePoint{}};
        session.feed(bytes_of(answer), TimePoint{});
        EXPECT_EQ(handler.events(), Events{"closed protocol " + detail}) << answer;
    }
}

/// Frames that break the connection in any state.
std::vector<Case> broken_frames() {
    return {
        {"type 0", frame(0, 0, 1, ""), "mux.unknown_frame"},
        {"type 15", frame(15, 0, 1, ""), "mux.unknown_frame"},
        {"type 127", frame(127, 0, 1, ""), "mux.unknown_frame"},
        {"second hello", hello(), "mux.unexpected_frame"},
        {"reserved", with_reserved(frame(ping_frame, 0, 0, u64(1))), "mux.bad_frame"},
        {"data flags", frame(data_frame, 0x10, 1, ""), "mux.bad_flags"},
        {"end and more", frame(data_frame, end_flag | more_flag, 1, ""), "mux.bad_flags"},
        {"ping flags", frame(ping_frame, 1, 0, u64(1)), "mux.bad_flags"},
        {"data on 0", data(0, "x"), "mux.bad_stream_id"},
        {"data on an even id", data(2, "x"), "mux.bad_stream_id"},
        {"ping on a stream", frame(ping_frame, 0, 1, u64(1)), "mux.bad_stream_id"},
        {"goodbye on a stream", frame(goodbye_frame, 0, 1, u64(0)), "mux.bad_stream_id"},
        {"ping size", frame(ping_frame, 0, 0, "1234567"), "mux.bad_frame"},
        {"credit size", frame(credit_frame, 0, 0, "12345"), "mux.bad_frame"},
        {"credit of nothing", frame(credit_frame, 0, 0, u32(0)), "mux.bad_frame"},
        {"stream credit of nothing", frame(credit_frame, 0, 1, u32(0)), "mux.bad_frame"},
        {"drain size", frame(drain_frame, 0, 0, "1234567"), "mux.bad_frame"},
        {"long drain", frame(drain_frame, 0, 0, std::string(265, 'x')), "mux.bad_frame"},
        {"goodbye size", frame(goodbye_frame, 0, 0, "1"), "mux.bad_frame"},
        {"hostile length", with_length(data(1, ""), 0xFFFFFFFFU), "mux.frame_too_large"},
        {"one too long", with_length(data(1, ""), (1U << 20U) + 1), "mux.frame_too_large"},
        {"extension too long",
         with_length(frame(0x80, 0, 0, ""), (1U << 20U) + 1),
         "mux.frame_too_large"},
        {"unknown stream", data(77, "x"), "mux.unknown_stream"},
        {"credit for an unknown stream", frame(credit_frame, 0, 77, u32(1)), "mux.unknown_stream"},
        {"reset of an unknown stream",
         frame(reset_frame, 0, 77, error_block(1, "", "")),
         "mux.unknown_stream"},
        {"end of an unknown stream", frame(end_frame, 0, 77, ""), "mux.unknown_stream"},
        {"fragment without size",
         frame(data_frame, message_flag | more_flag, 1, "1234567"),
         "mux.bad_frame"},
    };
}

TEST(MuxHostile, FramesThatBreakTheWorkersConnection) {
    auto cases = broken_frames();
    const std::vector<Case> more = {
        {"accept", frame(accept_frame, 0, 1, ""), "mux.unexpected_frame"},
        {"error", frame(error_frame, 0, 1, error_block(1, "", "")), "mux.unexpected_frame"},
        {"reuse", open(1, CallShape::unary, "q"), "mux.stream_reuse"},
        {"open on 0", open(0, CallShape::unary, "q"), "mux.bad_stream_id"},
        {"open on an even id", open(8, CallShape::unary, "q"), "mux.bad_stream_id"},
        {"open with more only", open(9, CallShape::unary, "q", more_flag), "mux.bad_flags"},
        {"short open", frame(open_frame, 0, 9, std::string(47, '0')), "mux.bad_frame"},
        {"head size 47",
         frame(open_frame, message_flag, 9, u16(47) + std::string(60, '0')),
         "mux.bad_frame"},
        {"head size beyond",
         frame(open_frame, message_flag, 9, u16(200) + std::string(60, '0')),
         "mux.bad_frame"},
        {"message without its flag", open(9, CallShape::unary, "q", end_flag), "mux.bad_frame"},
        {"open fragment without size",
         open(9, CallShape::unary, "1234567", message_flag | more_flag),
         "mux.bad_frame"},
        {"stop size", frame(stop_frame, 0, 1, ""), "mux.bad_frame"},
        {"stop of an unknown stream", frame(stop_frame, 0, 77, u8(1)), "mux.unknown_stream"},
        {"kill of an unknown stream", frame(kill_frame, 0, 77, u8(1)), "mux.unknown_stream"},
    };
    cases.insert(cases.end(), more.begin(), more.end());
    for (const auto& wrong : cases) {
        Acceptor worker;
        worker.feed(open(1, CallShape::bidirectional, "", 0));
        const auto events = worker.feed(wrong.bytes);
        expect_connection_error(events, worker.session, wrong);
        ASSERT_EQ(events.size(), 2U) << wrong.name;
        EXPECT_EQ(events[0], "reset 1 disconnected mux.disconnected");
        EXPECT_EQ(worker.feed(open(11, CallShape::unary, "q")), Events{}) << wrong.name;
    }
}

TEST(MuxHostile, FramesThatBreakTheCallersConnection) {
    auto cases = broken_frames();
    const std::vector<Case> more = {
        {"open", open(3, CallShape::unary, "q"), "mux.unexpected_frame"},
        {"stop", frame(stop_frame, 0, 1, u8(1)), "mux.unexpected_frame"},
        {"kill", frame(kill_frame, 0, 1, u8(1)), "mux.unexpected_frame"},
        {"accept of an unknown stream", frame(accept_frame, 0, 77, ""), "mux.unknown_stream"},
        {"error of an unknown stream",
         frame(error_frame, 0, 77, error_block(1, "", "")),
         "mux.unknown_stream"},
        {"refused on data", frame(data_frame, refused_flag, 1, ""), "mux.bad_flags"},
    };
    cases.insert(cases.end(), more.begin(), more.end());
    for (const auto& wrong : cases) {
        Dialler caller;
        caller.open(CallShape::bidirectional);
        take_output(caller.session);
        const auto events = caller.feed(wrong.bytes);
        expect_connection_error(events, caller.session, wrong);
        ASSERT_EQ(events.size(), 2U) << wrong.name;
        EXPECT_EQ(events[0], "error 1 disconnected mux.disconnected not_accepted");
    }
}

TEST(MuxHostile, ExtensionsAreSkippedAtAnyCut) {
    const auto bytes = frame(0x80, 0xAA, 3, std::string(9000, 'x')) + frame(0xFF, 0, 0, "") +
                       open(1, CallShape::unary, "q");
    for (std::size_t cut = 0; cut <= bytes.size(); cut += cut < 40 || cut > 9000 ? 1 : 997) {
        Acceptor worker;
        auto events = worker.feed(std::string_view{bytes}.substr(0, cut));
        const auto rest = worker.feed(std::string_view{bytes}.substr(cut));
        events.insert(events.end(), rest.begin(), rest.end());
        EXPECT_EQ(events, Events{"open 1 a/b/c message end"}) << cut;
    }
}

struct Refusal {
    std::string name;
    std::string bytes;
    std::string code;
    std::string detail;
};

TEST(MuxHostile, OpensThatAreRefusedAlone) {
    auto config = config_with_epoch(2);
    config.max_head = 2048;
    config.max_message = 20'000;
    config.request_credit = 8192;
    const auto opening = [](const std::string& whole, unsigned flags) {
        return frame(open_frame, flags, 3, whole);
    };
    const auto long_head =
        u16(2049) + head(CallShape::unary).substr(2) + std::string(2049 - 53, 'x');
    auto bad_shape = head(CallShape::unary);
    bad_shape[2] = 9;
    const auto fragment = [&](CallShape shape, std::uint64_t total, const std::string& piece) {
        return opening(head(shape) + u64(total) + piece, message_flag | more_flag);
    };
    const Refusal cases[] = {
        {"shape", opening(bad_shape + "q", message_flag), "invalid_request", "mux.bad_head"},
        {"path", opening(head(CallShape::unary, "a b"), 0), "invalid_request", "mux.bad_head"},
        {"credit", opening(head(CallShape::unary, "a", 8191), 0), "invalid_request", "mux.bad_head"
        },
        {"head", opening(long_head, 0), "payload_too_large", "mux.head_too_large"},
        {"no request", opening(head(CallShape::unary), end_flag), "protocol", "mux.missing_message"
        },
        {"too large",
         opening(head(CallShape::unary) + std::string(20'001, 'x'), message_flag),
         "payload_too_large",
         "mux.message_too_large"},
        {"announced too large",
         fragment(CallShape::unary, 20'001, "x"),
         "payload_too_large",
         "mux.message_too_large"},
        {"announced hugely",
         fragment(CallShape::unary, ~std::uint64_t{0}, "x"),
         "payload_too_large",
         "mux.message_too_large"},
        {"above the credit",
         opening(head(CallShape::unary) + std::string(8161, 'x'), message_flag),
         "protocol",
         "mux.credit_violation"},
        {"empty fragment", fragment(CallShape::unary, 10, ""), "protocol", "mux.bad_fragment"},
        {"complete fragment", fragment(CallShape::unary, 3, "abc"), "protocol", "mux.bad_fragment"},
        {"more than announced", fragment(CallShape::unary, 2, "abc"), "protocol", "mux.bad_fragment"
        },
        {"announced nothing", fragment(CallShape::unary, 0, "abc"), "protocol", "mux.bad_fragment"},
    };
    for (const auto& wrong : cases) {
        Acceptor worker{config};
        const auto before = worker.session.stats().credit_in;
        EXPECT_EQ(worker.feed(wrong.bytes), Events{"violation 3 " + wrong.detail}) << wrong.name;
        const auto frames = take_frames(worker.session);
        ASSERT_EQ(frames.size(), 1U) << wrong.name;
        EXPECT_EQ(frames[0].type, error_frame);
        EXPECT_EQ(frames[0].flags, static_cast<unsigned>(refused_flag));
        EXPECT_EQ(frames[0].stream, 3U);
        const auto error = mux::decode_error(bytes_of(frames[0].payload));
        ASSERT_TRUE(error && *error);
        EXPECT_EQ(to_string((*error)->code()), wrong.code) << wrong.name;
        EXPECT_EQ((*error)->detail(), wrong.detail) << wrong.name;
        // The id is used up and over; the connection lives.
        EXPECT_EQ(worker.feed(data(3, "late") + frame(end_frame, 0, 3, "")), Events{})
            << wrong.name;
        EXPECT_EQ(worker.feed(open(5, CallShape::unary, "q")), Events{"open 5 a/b/c message end"});
        EXPECT_LE(worker.session.stats().credit_in, before);
        EXPECT_EQ(worker.session.stats().held, 33U) << wrong.name;
        EXPECT_EQ(worker.session.stats().streams, 1U);
    }
}

TEST(MuxHostile, TooManyStreamsCountHandlersNotWire) {
    auto config = config_with_epoch(2);
    config.max_streams = 2;
    Acceptor worker{config};
    worker.feed(open(1, CallShape::unary, "q") + open(3, CallShape::unary, "q"));
    worker.feed(frame(kill_frame, 0, 1, u8(1)) + frame(kill_frame, 0, 3, u8(1)));
    for (StreamId id = 5; id < 25; id += 2) {
        EXPECT_EQ(
            worker.feed(open(id, CallShape::unary, "q") + frame(kill_frame, 0, id, u8(1))),
            Events{fmt::format("violation {} mux.too_many_streams", id)}
        );
    }
    const auto frames = take_frames(worker.session);
    ASSERT_EQ(frames.size(), 10U);
    const auto error = mux::decode_error(bytes_of(frames[0].payload));
    ASSERT_TRUE(error && *error);
    EXPECT_EQ((*error)->code(), ErrorCode::overloaded);
    EXPECT_TRUE((*error)->retryable());
    worker.session.release(1);
    EXPECT_EQ(worker.feed(open(25, CallShape::unary, "q")), Events{"open 25 a/b/c message end"});
}

struct Violation {
    std::string name;
    CallShape shape;
    std::string before;  ///< fine
    std::string bytes;   ///< wrong
    std::string detail;
};

TEST(MuxHostile, FramesThatEndOneCallAtTheWorker) {
    auto config = config_with_epoch(2);
    config.max_message = 20'000;
    config.request_credit = 8192;
    using enum CallShape;
    const auto end = frame(end_frame, 0, 1, "");
    const auto begun = first_fragment(1, 10, "abc");
    const Violation cases[] = {
        {"second request", unary, data(1, "a"), data(1, "b"), "mux.too_many_messages"},
        {"second fragment",
         server_streaming,
         data(1, "a"),
         first_fragment(1, 9, "b"),
         "mux.too_many_messages"},
        {"no request", unary, "", end, "mux.missing_message"},
        {"end twice", bidirectional, end, end, "mux.data_after_end"},
        {"data after end", bidirectional, end, data(1, "x"), "mux.data_after_end"},
        {"data after data with end",
         bidirectional,
         data(1, "x", message_flag | end_flag),
         data(1, "x"),
         "mux.data_after_end"},
        {"continues nothing", bidirectional, "", data(1, "x", 0), "mux.bad_fragment"},
        {"goes on with nothing", bidirectional, "", data(1, "x", more_flag), "mux.bad_fragment"},
        {"message in a message", bidirectional, begun, data(1, "x"), "mux.bad_fragment"},
        {"fragment in a message",
         bidirectional,
         begun,
         first_fragment(1, 9, "x"),
         "mux.bad_fragment"},
        {"end in a message", bidirectional, begun, end, "mux.bad_fragment"},
        {"empty fragment", bidirectional, begun, data(1, "", more_flag), "mux.bad_fragment"},
        {"too short", bidirectional, begun, data(1, "xxxxxx", 0), "mux.bad_fragment"},
        {"too long", bidirectional, begun, data(1, "xxxxxxxx", 0), "mux.bad_fragment"},
        {"goes on too long", bidirectional, begun, data(1, "xxxxxxx", more_flag), "mux.bad_fragment"
        },
        {"empty first fragment", bidirectional, "", first_fragment(1, 9, ""), "mux.bad_fragment"},
        {"all in the first", bidirectional, "", first_fragment(1, 3, "abc"), "mux.bad_fragment"},
        {"too large", bidirectional, "", data(1, std::string(20'001, 'x')), "mux.message_too_large"
        },
        {"announced too large",
         bidirectional,
         "",
         first_fragment(1, 20'001, "x"),
         "mux.message_too_large"},
        {"above the credit",
         bidirectional,
         "",
         data(1, std::string(8161, 'x')),
         "mux.credit_violation"},
        {"above what is left",
         bidirectional,
         data(1, std::string(8000, 'x')),
         data(1, std::string(129, 'x')),
         "mux.credit_violation"},
        {"credit",
         bidirectional,
         "",
         [] {
             std::string all;
             for (int i = 0; i < 257; ++i) all += frame(credit_frame, 0, 1, u32(0xFFFFFFFFU));
             return all;
         }(),
         "mux.credit_overflow"},
    };
    for (const auto& wrong : cases) {
        Acceptor worker{config};
        worker.feed(open(1, wrong.shape, "", 0) + open(3, bidirectional, "", 0) + wrong.before);
        ASSERT_FALSE(worker.session.closed()) << wrong.name;
        const auto code =
            wrong.detail == "mux.message_too_large" ? "payload_too_large" : "protocol";
        EXPECT_EQ(
            worker.feed(wrong.bytes),
            (Events{"violation 1 " + wrong.detail, fmt::format("reset 1 {} {}", code, wrong.detail)}
            )
        ) << wrong.name;
        const auto frames = take_frames(worker.session);
        ASSERT_EQ(frames.size(), 1U) << wrong.name;
        EXPECT_EQ(frames[0].type, reset_frame) << wrong.name;
        EXPECT_EQ(frames[0].detail(), wrong.detail) << wrong.name;
        EXPECT_EQ(worker.feed(wrong.bytes), Events{}) << wrong.name;
        EXPECT_EQ(worker.feed(data(3, "fine")), Events{"message 3 4"}) << wrong.name;
        worker.session.release(1);
        EXPECT_EQ(worker.session.stats().held, 36U) << wrong.name;
    }
}

TEST(MuxHostile, FramesThatEndOneCallAtTheCaller) {
    auto config = config_with_epoch(1);
    config.max_message = 20'000;
    config.least_window = config.most_window = 16384;
    using enum CallShape;
    const auto end = frame(end_frame, 0, 1, "");
    const auto begun = first_fragment(1, 10, "abc");
    const auto accepted = frame(accept_frame, 0, 1, "");
    const Violation cases[] = {
        {"second answer", unary, data(1, "a"), data(1, "b"), "mux.too_many_messages"},
        {"no answer", client_streaming, "", end, "mux.missing_message"},
        {"accept twice", unary, accepted, accepted, "mux.unexpected_accept"},
        {"accept after data", server_streaming, data(1, "x"), accepted, "mux.unexpected_accept"},
        {"continues nothing", server_streaming, "", data(1, "x", 0), "mux.bad_fragment"},
        {"message in a message", server_streaming, begun, data(1, "x"), "mux.bad_fragment"},
        {"end in a message", server_streaming, begun, end, "mux.bad_fragment"},
        {"too large",
         server_streaming,
         "",
         data(1, std::string(20'001, 'x')),
         "mux.message_too_large"},
        {"above the credit",
         server_streaming,
         "",
         data(1, std::string(16'353, 'x')),
         "mux.credit_violation"},
    };
    for (const auto& wrong : cases) {
        Dialler caller{config};
        caller.open(wrong.shape);
        caller.open(server_streaming);
        caller.feed(wrong.before);
        take_output(caller.session);
        const auto code =
            wrong.detail == "mux.message_too_large" ? "payload_too_large" : "protocol";
        const bool seen = !wrong.before.empty() || wrong.bytes == end;
        const auto fate = seen && wrong.name != "no answer" ? "accepted" : "not_accepted";
        EXPECT_EQ(
            caller.feed(wrong.bytes),
            (Events{
                "violation 1 " + wrong.detail,
                fmt::format("error 1 {} {} {}", code, wrong.detail, fate)
            })
        ) << wrong.name;
        const auto frames = take_frames(caller.session);
        ASSERT_EQ(frames.size(), 1U) << wrong.name;
        EXPECT_EQ(frames[0].type, reset_frame) << wrong.name;
        EXPECT_EQ(frames[0].detail(), wrong.detail) << wrong.name;
        EXPECT_EQ(caller.feed(data(3, "fine")), Events{"message 3 4"}) << wrong.name;
    }
}

TEST(MuxHostile, DefectiveErrors) {
    const auto refused_late = frame(error_frame, refused_flag, 1, error_block(7, "x.y", "full"));
    const std::pair<std::string, std::string> cases[] = {
        {frame(error_frame, 0, 1, "short"), "mux.bad_error"},
        {frame(error_frame, 0, 1, error_block(0, "", "")), "mux.bad_error"},
        {frame(accept_frame, 0, 1, "") + refused_late, "mux.late_refusal"},
        {data(1, "x") + refused_late, "mux.late_refusal"},
    };
    for (const auto& [bytes, detail] : cases) {
        Dialler caller;
        caller.open(CallShape::server_streaming);
        take_output(caller.session);
        const auto events = caller.feed(bytes);
        ASSERT_GE(events.size(), 2U);
        EXPECT_EQ(events[events.size() - 2], "violation 1 " + detail);
        EXPECT_EQ(events.back(), fmt::format("error 1 protocol {} accepted", detail));
        EXPECT_FALSE(caller.session.has_output());
        EXPECT_FALSE(caller.session.closed());
    }
    Acceptor worker;
    worker.feed(open(1, CallShape::unary, "q") + open(3, CallShape::unary, "q"));
    EXPECT_EQ(
        worker.feed(frame(reset_frame, 0, 1, "short")),
        (Events{"violation 1 mux.bad_error", "reset 1 protocol mux.bad_error"})
    );
    EXPECT_EQ(
        worker.feed(frame(reset_frame, 0, 3, error_block(0, "", ""))),
        (Events{"violation 3 mux.bad_error", "reset 3 protocol mux.bad_error"})
    );
    EXPECT_EQ(
        worker.feed(frame(goodbye_frame, 0, 0, std::string(9, 'x'))),
        Events{"closed protocol mux.bad_error"}
    );
}

TEST(MuxHostile, ConnectionCredit) {
    auto config = config_with_epoch(2);
    config.window = 256 << 10;
    config.least_window = config.most_window = 16384;
    config.request_credit = 128 << 10;
    Acceptor worker{config};
    const std::string body(100 << 10, 'x');
    worker.feed(
        open(1, CallShape::bidirectional, "", 0) + open(3, CallShape::bidirectional, "", 0)
    );
    EXPECT_EQ(worker.feed(data(1, body) + data(3, body)).size(), 2U);
    const auto events = worker.feed(open(5, CallShape::unary, body));
    EXPECT_EQ(events.back(), "closed protocol mux.credit_violation");

    Acceptor other{config};
    std::string flood;
    for (int i = 0; i < 257; ++i) flood += frame(credit_frame, 0, 0, u32(0xFFFFFFFFU));
    EXPECT_EQ(other.feed(flood), Events{"closed protocol mux.credit_overflow"});
}

TEST(MuxHostile, PingFloodsWaitAsOneAnswer) {
    Acceptor worker;
    std::string flood;
    for (std::uint64_t i = 0; i < 10'000; ++i) flood += frame(ping_frame, 0, 0, u64(i));
    worker.feed(flood);
    const auto frames = take_frames(worker.session);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].type, pong_frame);
    EXPECT_EQ(frames[0].payload, u64(9'999));
}

TEST(MuxHostile, AnswersThatAreNeverReadEndTheConnection) {
    auto config = config_with_epoch(2);
    config.max_streams = 10;
    Acceptor worker{config};
    worker.handler.opened = [&](StreamId id, const CallHead&, const Bytes*, bool) {
        worker.session.refuse(id, Error{ErrorCode::overloaded, "gate.full", std::string(200, 'm')});
        worker.session.release(id);
    };
    std::size_t most = 0;
    for (StreamId id = 1; !worker.session.closed() && id < 100'000; id += 2) {
        worker.feed(open(id, CallShape::unary, "q"));
        most = std::max(most, worker.session.stats().unwritten);
    }
    EXPECT_EQ(worker.handler.last_error().detail(), "mux.answers_unread");
    EXPECT_LT(most, 2U << 20U);
}

TEST(MuxHostile, OpenAndKillWhileOutputIsBlockedHoldsLittle) {
    Acceptor worker;
    worker.handler.opened = [&](StreamId id, const CallHead&, const Bytes*, bool) {
        worker.session.accept(id);
        worker.session.consumed(id, 1);
    };
    for (StreamId id = 1; id < 400'000; id += 2) {
        worker.feed(open(id, CallShape::unary, "q") + frame(kill_frame, 0, id, u8(1)));
        worker.session.release(id);
    }
    EXPECT_EQ(worker.session.stats().streams, 0U);
    EXPECT_EQ(worker.session.stats().unwritten, 0U);
}

TEST(MuxHostile, LateFramesGiveTheirCreditBack) {
    auto config = config_with_epoch(1);
    config.window = 256 << 10;
    config.least_window = config.most_window = 32768;
    Dialler caller{config};
    std::int64_t balance = 256 << 10;  // what a careful peer thinks that it may send
    for (int round = 0; round < 200; ++round) {
        const auto id = caller.open(CallShape::server_streaming);
        caller.session.kill(id, CancelReason::requested);
        if (round % 2 == 0) caller.session.release(id);
        const std::string body(round % 3 == 0 ? 20'000 : 1'000, 'x');
        balance -= static_cast<std::int64_t>(body.size()) + 32;
        ASSERT_GE(balance, 0) << round;
        // The last one in two fragments, the second of which does not begin a message.
        caller.feed(data(id, body));
        balance -= 7 + 3 + 32;
        caller.feed(first_fragment(id, 10, "1234567") + data(id, "890", 0));
        for (const auto& sent : take_frames(caller.session)) {
            if (sent.type == credit_frame && sent.stream == 0) {
                balance += mux::load<std::uint32_t>(bytes_of(sent.payload).data());
            }
        }
        caller.session.release(id);
    }
    EXPECT_EQ(caller.session.stats().credit_in, balance);
    EXPECT_EQ(caller.session.stats().held, 0U);
    EXPECT_FALSE(caller.session.closed());
}

TEST(MuxHostile, EveryPrefixOfASessionIsHarmless) {
    const auto bytes =
        preface() + hello() + open(1, CallShape::bidirectional, "first", message_flag) +
        first_fragment(1, 6, "abc") + data(1, "def", 0) + frame(credit_frame, 0, 1, u32(5)) +
        frame(ping_frame, 0, 0, u64(1)) + frame(stop_frame, 0, 1, u8(1)) +
        frame(end_frame, 0, 1, "") + frame(drain_frame, 0, 0, u64(0) + "x") +
        frame(reset_frame, 0, 1, error_block(13, "a.b", "c")) +
        frame(goodbye_frame, 0, 0, error_block(0, "", ""));
    Events whole;
    for (std::size_t cut = bytes.size() + 1; cut-- > 0;) {
        Recorder handler;
        MuxSession session{MuxRole::acceptor, config_with_epoch(2), handler, TimePoint{}};
        for (const char byte : bytes.substr(0, cut)) {
            session.feed(bytes_of({&byte, 1}), TimePoint{});
        }
        auto events = handler.events();
        if (whole.empty()) whole = events;
        ASSERT_LE(events.size(), whole.size());
        EXPECT_TRUE(std::equal(events.begin(), events.end(), whole.begin())) << cut;
        take_output(session);
    }
    EXPECT_EQ(whole.size(), 8U);
}

}  // namespace
}  // namespace stator::transport::test
