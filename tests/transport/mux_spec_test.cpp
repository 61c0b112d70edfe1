// The hexadecimal examples of docs/protocol/mux.md are what the implementation sends and reads.
#include <fstream>
#include <sstream>

#include "tests/transport/mux_support.hpp"

namespace stator::transport::test {
namespace {

std::string bytes_of_hex_line(std::string line) {
    line = line.substr(0, line.find('#'));
    std::istringstream in{line};
    std::string out;
    for (std::string pair; in >> pair;) {
        EXPECT_EQ(pair.size(), 2U) << line;
        out.push_back(static_cast<char>(std::stoi(pair, nullptr, 16)));
    }
    return out;
}

/// Name -> bytes of every block that begins with "```hex name".
std::map<std::string, std::string> examples() {
    std::ifstream in{STATOR_SOURCE_DIR "/docs/protocol/mux.md"};
    EXPECT_TRUE(in) << "docs/protocol/mux.md cannot be read";
    std::map<std::string, std::string> found;
    std::string name;
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("```hex ")) {
            name = line.substr(7);
            EXPECT_FALSE(found.contains(name)) << name;
            found[name];
        } else if (line.starts_with("```")) {
            name.clear();
        } else if (!name.empty()) {
            found[name] += bytes_of_hex_line(line);
        }
    }
    return found;
}

class MuxSpec : public ::testing::Test {
protected:
    std::string example(const std::string& name) {
        const auto found = all_.find(name);
        EXPECT_NE(found, all_.end()) << name;
        return found == all_.end() ? std::string{} : found->second;
    }
    std::map<std::string, std::string> all_ = examples();
};

MuxConfig dialler_config() { return config_with_epoch(0x1111111111111111); }
MuxConfig acceptor_config() { return config_with_epoch(0x2222222222222222); }

RequestId example_request() { return RequestId{0xA0A1A2A3A4A5A6A7, 0xA8A9AAABACADAEAF}; }

/// The example head of the unary call.
CallHead unary_head() {
    CallHead head;
    head.path = "demo/backend/generate";
    head.request = example_request();
    head.remaining = 5s;
    head.codec = 1;
    return head;
}

TEST_F(MuxSpec, EverySentFrame) {
    Recorder handler;
    auto config = dialler_config();
    config.least_window = config.most_window = 65536;  // the response credit of the examples
    MuxSession dialler{MuxRole::dialler, config, handler, TimePoint{}};
    EXPECT_EQ(take_output(dialler), example("preface") + example("hello_dialler"));
    MuxSession acceptor{MuxRole::acceptor, acceptor_config(), handler, TimePoint{}};
    acceptor.feed(bytes_of(example("preface") + example("hello_dialler")), TimePoint{});
    const auto greeting = take_output(acceptor);
    EXPECT_EQ(greeting, example("hello_acceptor"));
    dialler.feed(bytes_of(greeting), TimePoint{});
    ASSERT_TRUE(dialler.ready());

    const auto request = Bytes::copy_of("\xA2hi");
    ASSERT_EQ(dialler.open(unary_head(), &request, true, nullptr, TimePoint{}), 1U);
    auto sent = take_output(dialler);
    EXPECT_EQ(sent, example("open_unary"));
    acceptor.feed(bytes_of(sent), TimePoint{});
    acceptor.accept(1);
    EXPECT_EQ(acceptor.send(1, Bytes::copy_of("\xA3you"), true), SendStatus::more);
    EXPECT_EQ(take_output(acceptor), example("data_reply"));

    auto head = unary_head();
    head.instance = InstanceId{0xDD2443044320D6D2};
    head.shape = CallShape::bidirectional;
    head.remaining = 0s;
    head.codec = 2;
    auto& trace = head.trace.emplace();
    for (unsigned i = 0; i < 16; ++i) trace.trace_id[i] = std::byte(i);
    for (unsigned i = 0; i < 8; ++i) trace.span_id[i] = std::byte(0x10 + i);
    trace.flags = 1;
    trace.state = "a=1";
    const std::vector<HeaderField> fields = {{"tenant", "blue"}};
    head.headers = fields;
    ASSERT_EQ(dialler.open(head, nullptr, false, nullptr, TimePoint{}), 3U);
    sent = take_output(dialler);
    EXPECT_EQ(sent, example("open_bidirectional"));
    acceptor.feed(bytes_of(sent), TimePoint{});
    acceptor.accept(3);
    EXPECT_EQ(take_output(acceptor), example("accept"));
    dialler.send(3, Bytes{}, false);
    EXPECT_EQ(take_output(dialler), example("data_empty"));
    dialler.end(3);
    EXPECT_EQ(take_output(dialler), example("end"));

    head = unary_head();
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(dialler.open(head, &request, true, nullptr, TimePoint{}));
    }
    acceptor.feed(bytes_of(take_output(dialler)), TimePoint{});
    acceptor.refuse(5, Error{ErrorCode::overloaded, "worker is full"});
    EXPECT_EQ(take_output(acceptor), example("error_refused"));
    acceptor.fail(
        7,
        Error{ErrorCode::invalid_request, "codec.bad_utf8", "no text"}.with_context(
            "reading the request"
        )
    );
    EXPECT_EQ(take_output(acceptor), example("error"));
    dialler.stop(7, CancelReason::deadline);
    dialler.kill(7, CancelReason::peer_gone);
    EXPECT_EQ(take_output(dialler), example("stop") + example("kill"));
    acceptor.reset(9, Error{ErrorCode::protocol, "mux.bad_fragment", ""});
    EXPECT_EQ(take_output(acceptor), example("reset"));
    acceptor.feed(bytes_of(example("ping")), TimePoint{});
    EXPECT_EQ(take_output(acceptor), example("pong"));
    acceptor.drain(InstanceId{0xDD2443044320D6D2}, "SIGTERM");
    EXPECT_EQ(take_output(acceptor), example("drain"));
    acceptor.goodbye(std::nullopt);
    EXPECT_EQ(take_output(acceptor), example("goodbye"));
}

TEST_F(MuxSpec, EveryReadFrame) {
    Recorder handler;
    MuxSession acceptor{MuxRole::acceptor, acceptor_config(), handler, TimePoint{}};
    const auto feed = [&](MuxSession& session, const std::string& name) {
        session.feed(bytes_of(example(name)), TimePoint{});
        return handler.events();
    };
    feed(acceptor, "preface");
    EXPECT_EQ(feed(acceptor, "hello_dialler"), Events{"ready epoch 1229782938247303441"});
    EXPECT_EQ(acceptor.peer().max_message, 64U << 20U);
    EXPECT_EQ(feed(acceptor, "open_unary"), Events{"open 1 demo/backend/generate message end"});
    EXPECT_EQ(handler.messages[1].front(), "\xA2hi");
    EXPECT_EQ(feed(acceptor, "open_bidirectional"), Events{"open 3 demo/backend/generate"});
    EXPECT_EQ(feed(acceptor, "data_first_fragment"), Events{});
    EXPECT_EQ(feed(acceptor, "data_last_fragment"), Events{"message 3 10 end"});
    EXPECT_EQ(handler.messages[3].front(), "0123456789");
    EXPECT_EQ(feed(acceptor, "credit_connection"), Events{});
    EXPECT_EQ(feed(acceptor, "extension"), Events{});
    for (const StreamId id : {5U, 7U}) {
        acceptor.feed(bytes_of(open(id, CallShape::unary, "x")), TimePoint{});
    }
    handler.events();
    EXPECT_EQ(feed(acceptor, "credit_stream"), Events{});
    EXPECT_EQ(feed(acceptor, "stop"), Events{"stop 7 2"});
    EXPECT_EQ(feed(acceptor, "kill"), Events{"kill 7 5"});

    Dialler dialler;
    for (int i = 0; i < 5; ++i) dialler.open(CallShape::bidirectional);
    const auto read = [&](const std::string& name) { return dialler.feed(example(name)); };
    EXPECT_EQ(read("data_empty"), Events{"message 3 0"});
    EXPECT_EQ(
        read("accept"),
        (Events{
            "violation 3 mux.unexpected_accept", "error 3 protocol mux.unexpected_accept accepted"
        })
    );
    EXPECT_EQ(read("data_reply"), Events{"message 1 4 end"});
    EXPECT_EQ(read("error_refused"), Events{"error 5 overloaded  refused"});
    EXPECT_TRUE(dialler.handler.last_error().retryable());
    EXPECT_EQ(read("error"), Events{"error 7 invalid_request codec.bad_utf8 accepted"});
    EXPECT_EQ(
        dialler.handler.last_error().context(), std::vector<std::string>{"reading the request"}
    );
    EXPECT_EQ(read("reset"), Events{"error 9 protocol mux.bad_fragment not_accepted"});
    EXPECT_EQ(read("pong"), Events{});
    EXPECT_EQ(read("drain"), Events{"drain dd2443044320d6d2 SIGTERM"});
    EXPECT_EQ(read("goodbye"), Events{"closed disconnected mux.goodbye"});

    Recorder refused;
    MuxSession newer{MuxRole::dialler, dialler_config(), refused, TimePoint{}};
    newer.feed(bytes_of(example("goodbye_no_common_version")), TimePoint{});
    EXPECT_EQ(refused.events(), Events{"closed unimplemented mux.no_common_version"});
    MuxSession old{MuxRole::acceptor, acceptor_config(), refused, TimePoint{}};
    old.feed(bytes_of(preface(2, 3)), TimePoint{});
    EXPECT_EQ(take_output(old), example("goodbye_no_common_version"));
    EXPECT_EQ(refused.events(), Events{"closed unimplemented mux.no_common_version"});
}

TEST_F(MuxSpec, NoExampleIsLeftUnchecked) {
    const std::vector<std::string> checked = {
        "accept",
        "credit_connection",
        "credit_stream",
        "data_empty",
        "data_first_fragment",
        "data_last_fragment",
        "data_reply",
        "drain",
        "end",
        "error",
        "error_refused",
        "extension",
        "goodbye",
        "goodbye_no_common_version",
        "hello_acceptor",
        "hello_dialler",
        "kill",
        "open_bidirectional",
        "open_unary",
        "ping",
        "pong",
        "preface",
        "reset",
        "stop"
    };
    std::vector<std::string> written;
    for (const auto& [name, bytes] : all_) written.push_back(name);
    EXPECT_EQ(written, checked);
}

}  // namespace
}  // namespace stator::transport::test
