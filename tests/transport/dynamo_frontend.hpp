// A scripted client of Dynamo's TCP planes on real sockets, and a server for it to call.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "loopback.hpp"
#include "stator/base/sink.hpp"
#include "stator/transport/request_server.hpp"
#include "stator/transport/server_call.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_item.hpp"
#include "transport/dynamo_reader.hpp"
#include "transport/dynamo_stream.hpp"
#include "transport/dynamo_writer.hpp"

namespace stator::transport::test {

inline std::string take_output(mux::Output& out) {
    std::string text;
    while (!out.empty()) {
        std::array<iovec, 8> vectors{};
        const auto count = out.gather(vectors);
        std::size_t size = 0;
        for (std::size_t i = 0; i < count; ++i) {
            text.append(static_cast<const char*>(vectors[i].iov_base), vectors[i].iov_len);
            size += vectors[i].iov_len;
        }
        out.written(size);
    }
    return text;
}

inline std::string message_bytes(std::string_view header, std::string_view body) {
    mux::Output out;
    dynamo::put_message(out, header, Bytes::copy_of(body));
    return take_output(out);
}

inline const std::string stop_word = message_bytes(R"("stop")", "");
inline const std::string kill_word = message_bytes(R"("kill")", "");
inline const std::string sentinel_word = message_bytes(R"("sentinel")", "");

/// Counts what a server counts; keeps what it reports from the log.
class Counts final : public Sink {
public:
    Counts() { set_sink(this); }
    Counts(const Counts&) = delete;
    Counts& operator=(const Counts&) = delete;
    ~Counts() override { set_sink(nullptr); }
    void report(
        Severity, std::string_view, std::string_view message, std::source_location
    ) noexcept override {
        const std::lock_guard guard{lock_};
        reports_.emplace_back(message);
    }
    void count(std::string_view name, std::uint64_t by) noexcept override {
        const std::lock_guard guard{lock_};
        counts_[std::string{name}] += by;
    }
    void gauge(std::string_view, double) noexcept override {}
    std::uint64_t of(const std::string& name) {
        const std::lock_guard guard{lock_};
        return counts_[name];
    }
    bool reported(std::string_view part) {
        const std::lock_guard guard{lock_};
        return std::ranges::any_of(reports_, [&](const auto& line) { return line.contains(part); });
    }

private:
    std::mutex lock_;
    std::map<std::string, std::uint64_t> counts_;
    std::vector<std::string> reports_;
};

using Serve = std::function<Task<>(ServerCall*)>;

/// What a dispatched head said, kept.
struct SeenHead {
    std::string path;
    InstanceId instance;
    RequestId request;
    std::chrono::microseconds remaining{};
    CallShape shape{};
    int codec = 0;
    std::string trace_state;
    int trace_flags = -1;
    std::vector<std::pair<std::string, std::string>> headers;
};

/// Serves every call by `serve`; refuses the paths in `refusals`.
class DynamoDispatcher final : public CallDispatcher {
public:
    Serve serve;
    std::map<std::string, Error, std::less<>> refusals;
    std::vector<SeenHead> seen;
    int running = 0;

    Result<Serving> dispatch(std::unique_ptr<ServerCall>& call, const CallHead& head) override {
        if (const auto found = refusals.find(head.path); found != refusals.end())
            return std::unexpected{found->second};
        auto& one = seen.emplace_back();
        one.path = head.path;
        one.instance = head.instance;
        one.request = head.request;
        one.remaining = head.remaining;
        one.shape = head.shape;
        one.codec = head.codec;
        if (head.trace) {
            one.trace_state = head.trace->state;
            one.trace_flags = head.trace->flags;
        }
        for (const auto& field : head.headers) one.headers.emplace_back(field.key, field.value);
        return Serving{run(this, std::move(call))};
    }

private:
    static Task<> run(DynamoDispatcher* self, std::unique_ptr<ServerCall> call) {
        ++self->running;
        if (auto ended = co_await as_result(self->serve(call.get())); !ended)
            call->fail(ended.error());
        --self->running;
    }
};

/// One call-home connection, seen from the client.
struct Home {
    std::unique_ptr<net::Stream> stream;
    std::unique_ptr<dynamo::MessageReader> reader = std::make_unique<dynamo::MessageReader>();
    std::string subject;
    dynamo::StreamType type = dynamo::StreamType::response;
};

/// Nothing at the end of the connection.
inline Task<std::optional<dynamo::Message>> next_message(Home* home) {
    for (;;) {
        auto read = home->reader->next();
        if (!read) throw read.error();
        auto& message = *read;
        if (message) co_return std::move(*message);
        std::array<iovec, 2> space{};
        const auto parts = home->reader->space(space);
        const auto size = co_await home->stream->read_some({space.data(), parts});
        if (size == 0) co_return std::nullopt;
        home->reader->received(size);
    }
}

/// What came on a response connection, to its end.
struct Answer {
    std::string subject;
    bool prologue = false;
    std::vector<std::string> items;
    std::optional<Error> error;
    bool final = false;
    bool sentinel = false;
    bool lost = false;  ///< reset

    bool clean() const { return prologue && final && sentinel && !error && !lost; }
};

/// Reads until the sentinel, or the end of the connection.
inline Task<Answer> rest_of_answer(Home* home, PayloadCodec codec = PayloadCodec::json) {
    Answer answer;
    answer.subject = home->subject;
    for (;;) {
        const auto read = co_await as_result(next_message(home));
        answer.lost = !read;
        if (!read) co_return answer;
        const auto& message = *read;
        if (!message) co_return answer;
        const auto& header = message->header;
        const auto& body = message->body;
        if (!header.empty() && header.view().starts_with("{")) {
            answer.prologue = header.view() == R"({"error":null})";
        } else if (!header.empty()) {
            EXPECT_EQ(header.view(), R"("sentinel")");
            answer.sentinel = true;
            co_return answer;
        } else {
            const auto item = dynamo::read_item(body, codec);
            EXPECT_TRUE(item.has_value());
            if (!item) co_return answer;
            if (auto error = item->error()) answer.error = *error;
            if (!item->data.empty()) answer.items.push_back(item->data.to_string());
            answer.final = answer.final || item->last;
        }
    }
}

struct RequestOptions {
    std::string id = "11111111-2222-4333-8444-555555555555";
    std::string path = "7b/ns/comp/ep";
    std::string body = R"({"text":"hi"})";
    std::string subject = "subject";
    PayloadCodec codec = PayloadCodec::json;
    bool many_in = false;
    std::vector<std::pair<std::string, std::string>> metadata{};
    std::string headers{};
};

/// Sends requests and is called home. `home_address` may be set to somebody else's.
class Frontend {
public:
    std::unique_ptr<net::Stream> connection;
    std::unique_ptr<net::Listener> listener;
    std::string home_address;
    net::Security security;  // of both planes

    Task<> start(net::Address server) {
        listener = co_await net::Listener::bind({"127.0.0.1", 0});
        home_address = listener->address().to_string();
        connection = security.start_dial(server).value();
    }
    dynamo::ControlHeader control(const RequestOptions& how) const {
        dynamo::ControlHeader header;
        header.id = how.id;
        header.many_in = how.many_in;
        header.codec = how.codec;
        header.metadata = how.metadata;
        header.connection = {.address = home_address, .subject = how.subject, .context = how.id};
        if (how.many_in) {
            header.request_stream = dynamo::ConnectionInfo{
                .address = home_address,
                .subject = how.subject + "-in",
                .context = how.id,
                .stream_type = dynamo::StreamType::request
            };
        }
        return header;
    }
    std::string frame(const RequestOptions& how) const {
        return frame_with(how, dynamo::write_control(control(how)).value().view());
    }
    static std::string frame_with(const RequestOptions& how, std::string_view control) {
        mux::Output out;
        EXPECT_TRUE(dynamo::put_request(
            out, how.path, how.headers, control, how.many_in ? Bytes{} : Bytes::copy_of(how.body)
        ));
        return take_output(out);
    }
    Task<> send(RequestOptions how) { co_await write_all(connection.get(), frame(how)); }
    /// The text of the next acknowledgement; "closed" at the end.
    Task<std::string> ack() {
        const auto head = co_await read_exactly(connection.get(), 4);
        if (head.size() < 4) co_return "closed";
        const auto size =
            dynamo::load<std::uint32_t>(reinterpret_cast<const std::byte*>(head.data()));
        co_return co_await read_exactly(connection.get(), size);
    }
    /// The next worker that calls home, after its handshake.
    Task<Home> home() {
        Home home;
        home.stream = co_await security.accept(must(co_await listener->accept()));
        const auto message = must(co_await next_message(&home));
        const auto handshake = dynamo::read_handshake(message.header).value();
        home.subject = handshake.subject;
        home.type = handshake.stream_type;
        co_return home;
    }
    /// All of one answer, whose connection is closed then.
    Task<Answer> answer(PayloadCodec codec = PayloadCodec::json) {
        auto one = co_await home();
        co_return co_await rest_of_answer(&one, codec);
    }
    /// Sends it, expects it to be accepted, reads its answer.
    Task<Answer> call(RequestOptions how) {
        const auto codec = how.codec;
        co_await send(std::move(how));
        EXPECT_EQ(co_await ack(), "");
        co_return co_await answer(codec);
    }
};

/// A server and one client, on one loop.
class DynamoServing : public testing::Test {
public:
    DynamoConfig config;
    net::Security security;
    DynamoDispatcher dispatcher;
    std::unique_ptr<RequestServer> server;
    Frontend client;
    Home home;  // for a test that needs them in several places
    Home input;
    Counts counts;

protected:
    void run(std::function<Task<>()> body, Duration bound = 20s) {
        on_a_loop(
            [this, body = std::move(body)]() mutable -> Task<> {
                return session(this, std::move(body));
            },
            bound
        );
        EXPECT_EQ(dispatcher.running, 0);
    }

private:
    static Task<> session(DynamoServing* self, std::function<Task<>()> body) {
        RequestServer::Options options;
        options.loops = {Loop::current()};
        options.dynamo = self->config;
        options.security = self->security;
        options.dispatcher = &self->dispatcher;
        self->server = co_await RequestServer::start(std::move(options));
        self->client.security = self->security;
        co_await self->client.start(self->server->address());
        const auto outcome = co_await as_result(body());
        // Sockets do not outlive their loop.
        self->client.connection.reset();
        self->home = {};
        self->input = {};
        if (self->server) co_await shielded(self->server->close());
        self->server.reset();
        self->client.listener.reset();
        if (!outcome) throw outcome.error();
    }
};

}  // namespace stator::transport::test
