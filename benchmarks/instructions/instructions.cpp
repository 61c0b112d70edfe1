// How many instructions codec, one unary call, one stream item and an operator of a pipeline take,
// both sides in one process.
// Runs under callgrind; check.py beside it starts it and holds the counts against
// docs/perf/baselines.json.
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <boost/version.hpp>
#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <nlohmann/json.hpp>
#include <valgrind/callgrind.h>

#include "benchmarks/micro/joined_sessions.hpp"
#include "stator/codec/payload_json.hpp"
#include "stator/component/distributed_runtime.hpp"
#include "stator/component/router.hpp"
#include "stator/pipeline/link.hpp"
#include "stator/transport/mux_frame.hpp"
#include "stator/transport/mux_head.hpp"

namespace {

using namespace bench;
using namespace std::chrono_literals;

/// Ends the process: a count of something that went wrong is worse than none.
void require(bool good, const char* what) {
    if (good) return;
    fmt::print(stderr, "error: {}\n", what);
    std::_Exit(1);
}

/// Keeps the optimiser from leaving out what made `value`.
template <class T>
void keep(const T& value) {
    asm volatile("" : : "r"(&value) : "memory");
}

/// Counts what is executed from here to its end, in all threads, under the name of the case.
class Count {
public:
    Count(const char* name, std::uint64_t operations) : name_{name}, operations_{operations} {
        CALLGRIND_START_INSTRUMENTATION;
        CALLGRIND_ZERO_STATS;
    }
    Count(const Count&) = delete;
    Count& operator=(const Count&) = delete;
    ~Count() {
        CALLGRIND_DUMP_STATS_AT(name_);
        CALLGRIND_STOP_INSTRUMENTATION;
        fmt::print("{{\"case\":\"{}\",\"operations\":{}}}\n", name_, operations_);
    }

private:
    const char* name_;
    std::uint64_t operations_;
};

/// Runs `once` so often that caches, pools and tables are filled, then counts.
template <class F>
void count(const char* name, std::uint64_t operations, F once) {
    for (std::uint64_t i = 0; i < operations / 4 + 1; ++i) once();
    const Count counted{name, operations};
    for (std::uint64_t i = 0; i < operations; ++i) once();
}

// --- codec

CallHead typical_head() {
    CallHead head;
    head.path = "demo/backend/generate";
    head.request = RequestId{1, 2};
    head.remaining = 5s;
    head.codec = 1;
    head.response_credit = 1U << 18U;
    return head;
}

void count_frames() {
    std::array<std::byte, 512> frame{};
    const auto head = typical_head();
    std::size_t size = 0;
    count("frame_encode", 10'000, [&] {
        size = mux::head_size(head, mux::max_head_size).value();
        mux::FrameHeader{
            static_cast<std::uint32_t>(size),
            static_cast<std::uint8_t>(mux::FrameType::open),
            0,
            0,
            1
        }
            .encode(frame.data());
        mux::encode_head(head, size, frame.data() + mux::frame_header_size);
        keep(frame);
    });
    count("frame_decode", 10'000, [&] {
        const auto header = mux::FrameHeader::decode(frame.data());
        require(mux::check_frame_header(header).empty(), "the frame is not valid");
        CallHead decoded;
        mux::HeaderScratch scratch;
        const auto bytes = std::span{frame}.subspan(mux::frame_header_size, header.length);
        require(mux::decode_head(bytes, decoded, scratch).empty(), "the head is not valid");
        keep(decoded);
    });
}

Document typical_message() {
    return {
        {"request_id", "7f9c24e8-3b1a-4e0d-9d2c-51d3a4b6c7d8"},
        {"token_ids", {128000, 9906, 1917, 0, 358, 1097, 264, 4221}},
        {"text", "Hello world! I am a language"},
        {"log_probs", {-0.25, -1.5}},
        {"finish_reason", nullptr},
        {"usage", {{"prompt_tokens", 17}, {"completion_tokens", 8}}},
    };
}

void count_payloads() {
    const auto message = typical_message();
    for (const auto codec : {PayloadCodec::msgpack, PayloadCodec::json}) {
        const bool msgpack = codec == PayloadCodec::msgpack;
        const auto bytes = Payload<Document>::encode(message, codec).value();
        count(msgpack ? "msgpack_encode" : "json_encode", 2'000, [&] {
            keep(Payload<Document>::encode(message, codec).value());
        });
        count(msgpack ? "msgpack_decode" : "json_decode", 2'000, [&] {
            keep(Payload<Document>::decode(bytes, codec).value());
        });
        const auto text = Payload<std::string>::encode(std::string(64, 'x'), codec).value();
        count(msgpack ? "msgpack_string" : "json_string", 10'000, [&] {
            const auto decoded = Payload<std::string>::decode(text, codec).value();
            keep(Payload<std::string>::encode(decoded, codec).value());
        });
    }
}

// --- sessions, without sockets

void count_sessions() {
    constexpr std::size_t per_turn = 64;
    constexpr std::size_t turns = 100;
    const auto body = Bytes::copy_of(std::string(64, 'x'));
    Joined calls{true};
    const auto call = [&] {
        for (std::size_t i = 0; i < per_turn; ++i) calls.open(CallShape::unary, body);
        calls.exchange();
    };
    for (std::size_t i = 0; i < turns; ++i) call();
    {
        const Count counted{"session_unary", per_turn * turns};
        for (std::size_t i = 0; i < turns; ++i) call();
    }
    require(calls.caller.messages == 2 * per_turn * turns, "answers were lost");

    Joined items{false};
    const auto stream = items.open(CallShape::server_streaming, body);
    items.exchange();
    const auto send = [&] {
        for (std::size_t i = 0; i < per_turn; ++i)
            items.acceptor->send_copy(stream, body.span(), false);
        items.exchange();
    };
    for (std::size_t i = 0; i < turns; ++i) send();
    {
        const Count counted{"session_item", per_turn * turns};
        for (std::size_t i = 0; i < turns; ++i) send();
    }
    require(items.caller.messages == 2 * per_turn * turns, "items were lost");
}

// --- the public API, over loopback, both sides on one loop
//
// One call at a time: with several, how many share a turn of the loop depends on the time.

// Repeated, and the least counts: a timer that falls due meanwhile is not part of a call.
constexpr int repetitions = 7;
constexpr std::uint32_t items_per_answer = 100;

Task<std::string> echo(Context, std::string body) { co_return body; }

Stream<std::string> items_of(Context, std::uint32_t count) {
    const std::string item(64, 'x');
    for (std::uint32_t i = 0; i < count; ++i) co_yield item;
}

Task<> keep_asking(const Router<std::string, std::string>* router, std::uint32_t times) {
    const std::string body(64, 'x');
    for (std::uint32_t i = 0; i < times; ++i) {
        const auto reply = co_await router->ask(body, CallOptions{.deadline = Deadline::in(60s)});
        require(reply.size() == body.size(), "an answer of a wrong size");
    }
}

Task<> keep_streaming(const Router<std::uint32_t, std::string>* router, std::uint32_t times) {
    for (std::uint32_t i = 0; i < times; ++i) {
        auto reply = router->generate(items_per_answer, CallOptions{.deadline = Deadline::in(60s)});
        std::uint32_t received = 0;
        while (co_await reply.next()) ++received;
        require(received == items_per_answer, "items were lost");
    }
}

Task<> count_calls(Runtime runtime) {
    DistributedConfig config;
    config.discovery = DiscoveryBackend::memory;
    config.settle = 0s;
    // Two of them, so that there is a connection between.
    const auto worker = co_await DistributedRuntime::connect(runtime, config);
    const auto caller = co_await DistributedRuntime::connect(runtime, config);
    const auto echoing = co_await worker.endpoint("bench.peer.echo").start(echo);
    const auto streaming = co_await worker.endpoint("bench.peer.stream").start(items_of);
    const auto echo_client = co_await caller.endpoint("bench.peer.echo").client();
    const auto stream_client = co_await caller.endpoint("bench.peer.stream").client();
    co_await echo_client.wait_for_instances(Deadline::in(10s));
    co_await stream_client.wait_for_instances(Deadline::in(10s));
    const Router<std::string, std::string> unary{echo_client};
    const Router<std::uint32_t, std::string> streams{stream_client};
    constexpr std::uint32_t calls = 500;
    constexpr std::uint32_t answers = 20;
    co_await keep_asking(&unary, calls);
    co_await keep_streaming(&streams, answers);
    for (int i = 0; i < repetitions; ++i) {
        const Count counted{"call_unary", calls};
        co_await keep_asking(&unary, calls);
    }
    for (int i = 0; i < repetitions; ++i) {
        const Count counted{"call_item", answers * items_per_answer};
        co_await keep_streaming(&streams, answers);
    }
    co_await caller.close(Deadline::in(10s));
    co_await worker.close(Deadline::in(10s));
}

// --- pipelines: 16 operators of a user's kind

using Numbers = Engine<std::uint32_t, std::uint32_t>;

Stream<std::uint32_t> count_to(Context, std::uint32_t last) {
    for (std::uint32_t i = 1; i <= last; ++i) co_yield std::uint32_t{i};
}

struct Passing final : Operator<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t> {
    Stream<std::uint32_t> generate(Context context, std::uint32_t last, Numbers next) override {
        auto numbers = next.generate(std::move(context), last);
        while (auto number = co_await numbers.next()) co_yield std::move(*number);
    }
};

Task<> keep_counting(Numbers service, std::uint32_t times, std::uint32_t last) {
    for (std::uint32_t i = 0; i < times; ++i) {
        auto numbers = service.generate({}, last);
        std::uint32_t received = 0;
        while (co_await numbers.next()) ++received;
        require(received == last, "numbers were lost");
    }
}

Task<> count_pipelines() {
    constexpr std::uint32_t operators = 16;
    constexpr std::uint32_t requests = 200;
    constexpr std::uint32_t items = 2000;
    Numbers service{count_to};
    for (std::uint32_t i = 0; i < operators; ++i)
        service = frontend<std::uint32_t, std::uint32_t>().link(Passing{}).link(service);
    co_await keep_counting(service, requests, 1);
    {
        const Count counted{"operator_request", operators * requests};
        co_await keep_counting(service, requests, 1);
    }
    {
        const Count counted{"operator_item", operators * items};
        co_await keep_counting(service, 1, items);
    }
}

/// What the counts depend on besides the code.
void print_made_with() {
    const nlohmann::ordered_json made_with{
        {"compiler", __VERSION__},
        {"libstdc++", std::to_string(__GLIBCXX__)},
        {"glibc", gnu_get_libc_version()},
        {"boost", BOOST_LIB_VERSION},
        {"fmt", std::to_string(FMT_VERSION)},
        {"nlohmann_json",
         fmt::format(
             "{}.{}.{}",
             NLOHMANN_JSON_VERSION_MAJOR,
             NLOHMANN_JSON_VERSION_MINOR,
             NLOHMANN_JSON_VERSION_PATCH
         )},
    };
    fmt::print("{}\n", made_with.dump());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2 && std::strcmp(argv[1], "--made-with") == 0) {
        print_made_with();
        return 0;
    }
    if (argc != 1) {
        fmt::print(stderr, "usage: stator_instructions [--made-with]\n");
        return 2;
    }
    count_frames();
    count_payloads();
    count_sessions();
    auto runtime = Runtime::single_threaded();
    runtime.block_on(count_calls(runtime));
    runtime.block_on(count_pipelines());
    runtime.stop();
    return 0;
}
