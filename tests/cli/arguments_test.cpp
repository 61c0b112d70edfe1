#include "cli/arguments.hpp"

#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stator::cli {
namespace {

using namespace std::chrono_literals;

Result<Arguments> parse(std::vector<std::string> words) {
    std::vector<const char*> argv{"stator"};
    for (const auto& word : words) argv.push_back(word.c_str());
    return parse_arguments(static_cast<int>(argv.size()), argv.data());
}

template <class T>
T parsed(std::vector<std::string> words) {
    auto arguments = parse(std::move(words));
    if (!arguments) throw std::move(arguments).error();
    return std::get<T>(*arguments);
}

Error refused(std::vector<std::string> words) {
    auto arguments = parse(std::move(words));
    return arguments ? Error{ErrorCode::internal, "was accepted"} : arguments.error();
}

TEST(Arguments, ServeHasDefaults) {
    const auto serve = parsed<ServeArguments>({"serve", "demo.backend.generate"});
    EXPECT_EQ(serve.endpoint, (EndpointId{"demo", "backend", "generate"}));
    EXPECT_EQ(serve.instances, 1U);
    EXPECT_EQ(serve.max_inflight, 0U);
}

TEST(Arguments, ServeTakesItsOptions) {
    const auto serve =
        parsed<ServeArguments>({"serve", "a.b.c.d", "--instances", "3", "--max-inflight=7"});
    EXPECT_EQ(serve.endpoint, (EndpointId{"a.b", "c", "d"}));
    EXPECT_EQ(serve.instances, 3U);
    EXPECT_EQ(serve.max_inflight, 7U);
    EXPECT_EQ(serve.queue.length, 0U);
    const auto queue =
        parsed<ServeArguments>(
            {"serve", "a.b.c", "--max-inflight", "7", "--queue", "9", "--max-wait-ms", "30"}
        )
            .queue;
    EXPECT_EQ(queue.length, 9U);
    EXPECT_EQ(queue.max_wait, std::chrono::milliseconds{30});
}

TEST(Arguments, ServeTakesAShape) {
    using enum transport::CallShape;
    EXPECT_EQ(parsed<ServeArguments>({"serve", "a.b.c"}).shape, server_streaming);
    const std::vector<std::pair<std::string, transport::CallShape>> shapes{
        {"unary", unary},
        {"server", server_streaming},
        {"client", client_streaming},
        {"bidirectional", bidirectional}
    };
    for (const auto& [name, shape] : shapes)
        EXPECT_EQ(parsed<ServeArguments>({"serve", "a.b.c", "--shape", name}).shape, shape) << name;
    const auto error = refused({"serve", "a.b.c", "--shape", "both"});
    EXPECT_EQ(error.detail(), "cli.usage");
    EXPECT_NE(error.message().find("server, client and bidirectional"), std::string::npos);
}

TEST(Arguments, CallTakesARequestOrAnInput) {
    const auto call = parsed<CallArguments>({"call", "a.b.c", "--input", "lines.jsonl"});
    EXPECT_EQ(call.input, "lines.jsonl");
    EXPECT_EQ(call.request, "");
    EXPECT_EQ(parsed<CallArguments>({"call", "a.b.c", "--input", "-"}).input, "-");
    EXPECT_EQ(parsed<CallArguments>({"call", "a.b.c", "--input=f", "--count=9"}).count, 9U);
    const std::vector<std::vector<std::string>> bad{
        {"call", "a.b.c"},
        {"call", "a.b.c", "{}", "--input", "f"},
        {"call", "a.b.c", "--input", "-", "--count", "2"}
    };
    for (const auto& words : bad) EXPECT_EQ(refused(words).detail(), "cli.usage") << words.back();
}

TEST(Arguments, CallHasDefaults) {
    const auto call = parsed<CallArguments>({"call", "demo.backend.generate", R"({"items":5})"});
    EXPECT_EQ(call.request, R"({"items":5})");
    EXPECT_EQ(call.mode, RouterMode::round_robin);
    EXPECT_FALSE(call.instance);
    EXPECT_EQ(call.timeout, 60s);
    EXPECT_EQ(call.count, 1U);
    EXPECT_EQ(call.concurrency, 1U);
    EXPECT_FALSE(call.summary);
}

TEST(Arguments, CallTakesItsOptions) {
    const auto call = parsed<CallArguments>(
        {"call",
         "a.b.c",
         "{}",
         "--mode=random",
         "--timeout",
         "0.25",
         "--count",
         "1",
         "--concurrency",
         "8",
         "--plane",
         "mux"}
    );
    EXPECT_EQ(call.mode, RouterMode::random);
    EXPECT_EQ(call.timeout, 250ms);
    EXPECT_EQ(call.concurrency, 8U);
    EXPECT_EQ(call.plane, Plane::mux);
    EXPECT_TRUE(call.summary) << "--count 1 asks for a summary, too";
}

TEST(Arguments, AnInstanceMeansDirect) {
    const auto call = parsed<CallArguments>({"call", "a.b.c", "{}", "--instance", "1a2b"});
    EXPECT_EQ(call.mode, RouterMode::direct);
    EXPECT_EQ(call.instance, InstanceId{0x1a2b});
}

TEST(Arguments, ADashIsARequestOnStdin) {
    EXPECT_EQ(parsed<CallArguments>({"call", "a.b.c", "-"}).request, "-");
}

TEST(Arguments, NumbersAndBracketsAreRequests) {
    EXPECT_EQ(parsed<CallArguments>({"call", "a.b.c", "[[]]"}).request, "[[]]");
    EXPECT_EQ(parsed<CallArguments>({"call", "a.b.c", "17"}).request, "17");
}

TEST(Arguments, BenchHasDefaults) {
    const auto bench = parsed<BenchArguments>({"bench", "a.b.c"});
    EXPECT_EQ(bench.load.workload, BenchWorkload::unary);
    EXPECT_EQ(bench.load.concurrency, 16U);
    EXPECT_EQ(bench.load.duration, 5s);
    EXPECT_EQ(bench.load.warmup, 1s);
    EXPECT_FALSE(bench.load.open_loop());
    EXPECT_EQ(bench.load.items, 1U);
    EXPECT_EQ(bench.load.tail_percent, 0);
    EXPECT_FALSE(bench.json);
    const auto of = [](const char* workload) {
        return parsed<BenchArguments>({"bench", "a.b.c", "--workload", workload}).load;
    };
    EXPECT_EQ(of("stream").items, 100U);
    EXPECT_EQ(of("paced").items, 40U);
    EXPECT_EQ(of("paced").pace, 20ms);
    EXPECT_EQ(of("bulk").size, 65536U);
    EXPECT_EQ(of("tail").tail_percent, 1);
    EXPECT_EQ(of("tail").tail_delay, 5ms);
    EXPECT_EQ(parsed<BenchArguments>({"bench", "a.b.c", "--rate=5"}).load.concurrency, 1024U);
}

TEST(Arguments, BenchTakesItsOptions) {
    const auto bench = parsed<BenchArguments>(
        {"bench",
         "a.b.c",
         "--workload",
         "paced",
         "--concurrency=7",
         "--duration=0.5",
         "--warmup=0",
         "--rate",
         "1e3",
         "--items",
         "9",
         "--size=10",
         "--pace-ms=3",
         "--tail-percent=2.5",
         "--tail-hold-ms=4",
         "--instance",
         "1a",
         "--json"}
    );
    EXPECT_EQ(bench.load.concurrency, 7U);
    EXPECT_EQ(bench.load.duration, 500ms);
    EXPECT_EQ(bench.load.warmup, 0s);
    EXPECT_EQ(bench.load.rate, 1000);
    EXPECT_EQ(bench.load.items, 9U);
    EXPECT_EQ(bench.load.size, 10U);
    EXPECT_EQ(bench.load.pace, 3ms);
    EXPECT_EQ(bench.load.tail_percent, 2.5);
    EXPECT_EQ(bench.load.tail_hold, 4ms);
    EXPECT_EQ(bench.mode, RouterMode::direct);
    EXPECT_TRUE(bench.json);
}

TEST(Arguments, TheOthers) {
    EXPECT_FALSE(parsed<ListArguments>({"ls"}).json);
    EXPECT_TRUE(parsed<ListArguments>({"ls", "--json"}).json);
    EXPECT_FALSE(parsed<ListArguments>({"ls"}).models);
    EXPECT_TRUE(parsed<ListArguments>({"ls", "--models"}).models);
    EXPECT_EQ(parsed<ServeArguments>({"serve", "a.b.c"}).openai_model, "");
    EXPECT_EQ(parsed<ServeArguments>({"serve", "a.b.c", "--openai-model", "M"}).openai_model, "M");
    EXPECT_EQ(parsed<WatchArguments>({"watch"}).prefix, "");
    EXPECT_EQ(parsed<WatchArguments>({"watch", "demo.backend"}).prefix, "demo.backend");
    EXPECT_EQ(parsed<WatchArguments>({"watch", "demo."}).prefix, "demo");
    EXPECT_TRUE(parsed<ConfigArguments>({"config", "--json"}).json);
}

TEST(Arguments, VersionAndHelpAreAnswers) {
    EXPECT_EQ(parsed<Text>({"--version"}).text.find("stator "), 0U);
    const auto all = parsed<Text>({"--help"}).text;
    for (const char* word : {"serve", "call", "bench", "ls", "watch", "config", "Exit status"}) {
        EXPECT_NE(all.find(word), std::string::npos) << word;
    }
    const auto call = parsed<Text>({"call", "--help"}).text;
    for (const char* word : {"--mode", "--instance", "--timeout", "--count", "--concurrency"}) {
        EXPECT_NE(call.find(word), std::string::npos) << word;
    }
}

struct Refusal {
    std::vector<std::string> words;
    ErrorCode code;
    const char* detail;
    const char* says;
};

class Refusals : public testing::TestWithParam<Refusal> {};

TEST_P(Refusals, AreNamed) {
    const auto& expected = GetParam();
    const auto error = refused(expected.words);
    EXPECT_EQ(error.code(), expected.code) << error.what();
    EXPECT_EQ(error.detail(), expected.detail);
    EXPECT_NE(std::string{error.what()}.find(expected.says), std::string::npos) << error.what();
    EXPECT_EQ(error.message().find('\n'), std::string::npos);
}

constexpr auto bad = ErrorCode::invalid_request;
const std::string ep = "a.b.c";

INSTANTIATE_TEST_SUITE_P(
    CommandLine,
    Refusals,
    testing::Values(
        Refusal{{}, bad, "cli.usage", "a command is missing; there are serve"},
        Refusal{{"serv"}, bad, "cli.usage", "did you mean serve?"},
        Refusal{{"bank"}, bad, "cli.usage", "there are serve, call, bench, ls, watch, drain"},
        Refusal{{"--verbose"}, bad, "cli.usage", "--verbose"},
        Refusal{{"serve"}, bad, "cli.usage", "endpoint"},
        Refusal{{"serve", "nodots"}, bad, "name.path", "nodots"},
        Refusal{{"serve", "a.B.c"}, bad, "name.invalid", "B"},
        Refusal{{"serve", "a..c"}, bad, "name.invalid", "component"},
        Refusal{{"serve", ep, "--instances", "0"}, bad, "cli.usage", "from 1 to 1024"},
        Refusal{{"serve", ep, "--instances", "-1"}, bad, "cli.usage", "--instances"},
        Refusal{{"serve", ep, "--instances", "many"}, bad, "cli.usage", "--instances"},
        Refusal{{"serve", ep, "--max-inflight", "4294967296"}, bad, "cli.usage", "4294967295"},
        Refusal{{"serve", ep, "--queue", "1"}, bad, "cli.usage", "--max-inflight"},
        Refusal{
            {"serve", ep, "--max-inflight", "1", "--max-wait-ms", "0"},
            bad,
            "cli.usage",
            "--max-wait"
        },
        Refusal{{"call", ep}, bad, "cli.usage", "request"},
        Refusal{{"call", ep, "{}", "{}"}, bad, "cli.usage", "{}"},
        Refusal{{"call", ep, "{}", "--mode", "best"}, bad, "cli.usage", "there are round_robin"},
        Refusal{{"call", ep, "{}", "--plane", "air"}, bad, "cli.usage", "mux and dynamo"},
        Refusal{{"call", ep, "{}", "--mode", "direct"}, bad, "cli.usage", "--instance"},
        Refusal{{"call", ep, "{}", "--instance", "0x1"}, bad, "instance_id.invalid", "--instance"},
        Refusal{
            {"call", ep, "{}", "--instance", "1a", "--mode", "random"}, bad, "cli.usage", "random"
        },
        Refusal{{"call", ep, "{}", "--timeout", "0"}, bad, "cli.usage", "--timeout"},
        Refusal{{"call", ep, "{}", "--timeout", "-1"}, bad, "cli.usage", "--timeout"},
        Refusal{{"call", ep, "{}", "--timeout", "nan"}, bad, "cli.usage", "--timeout"},
        Refusal{{"call", ep, "{}", "--timeout", "soon"}, bad, "cli.usage", "--timeout"},
        Refusal{{"call", ep, "{}", "--count", "0"}, bad, "cli.usage", "--count"},
        Refusal{{"call", ep, "{}", "--count", "1e9"}, bad, "cli.usage", "--count"},
        Refusal{{"call", ep, "{}", "--concurrency", "0"}, bad, "cli.usage", "--concurrency"},
        Refusal{{"bench"}, bad, "cli.usage", "endpoint"},
        Refusal{{"bench", ep, "--workload", "open"}, bad, "cli.usage", "there are unary, stream"},
        Refusal{{"bench", ep, "--concurrency", "0"}, bad, "cli.usage", "from 1 to 1000000"},
        Refusal{{"bench", ep, "--duration", "0"}, bad, "cli.usage", "--duration must be above 0"},
        Refusal{{"bench", ep, "--duration", "nan"}, bad, "cli.usage", "--duration"},
        Refusal{{"bench", ep, "--warmup", "-1"}, bad, "cli.usage", "--warmup must be at least 0"},
        Refusal{{"bench", ep, "--rate", "0"}, bad, "cli.usage", "--rate must be above 0"},
        Refusal{{"bench", ep, "--rate", "fast"}, bad, "cli.usage", "--rate"},
        Refusal{{"bench", ep, "--items", "2"}, bad, "cli.usage", "--items goes with"},
        Refusal{{"bench", ep, "--workload=stream", "--items=0"}, bad, "cli.usage", "at least 1"},
        Refusal{{"bench", ep, "--size", "-1"}, bad, "cli.usage", "--size must be from 0"},
        Refusal{{"bench", ep, "--pace-ms", "5"}, bad, "cli.usage", "--pace-ms goes with"},
        Refusal{{"bench", ep, "--tail-percent", "1"}, bad, "cli.usage", "needs --tail-ms"},
        Refusal{
            {"bench", ep, "--tail-percent", "101", "--tail-ms", "5"},
            bad,
            "cli.usage",
            "at most 100"
        },
        Refusal{{"bench", ep, "--tail-ms", "0"}, bad, "cli.usage", "--tail-ms must be from 1"},
        Refusal{{"bench", ep, "--tail-hold-ms", "x"}, bad, "cli.usage", "--tail-hold-ms"},
        Refusal{{"bench", ep, "--plane", "any"}, bad, "cli.usage", "mux and dynamo"},
        Refusal{{"bench", ep, "--timeout", "0"}, bad, "cli.usage", "--timeout"},
        Refusal{
            {"serve", "a.b.c", "--openai-model", ""}, bad, "cli.usage", "the name of the model"
        },
        Refusal{
            {"serve", "a.b.c", "--openai-model", "m", "--shape", "unary"},
            bad,
            "cli.usage",
            "of its own"
        },
        Refusal{{"drain"}, bad, "cli.usage", "either"},
        Refusal{{"drain", ep, "--process", "1"}, bad, "cli.usage", "either"},
        Refusal{{"resume", "--process=1", "--instance=2"}, bad, "cli.usage", "--instance goes"},
        Refusal{{"resume", "--process", "0x1"}, bad, "instance_id.invalid", "--process"},
        Refusal{{"drain", ep, "--instance", "x"}, bad, "instance_id.invalid", "--instance"},
        Refusal{{"drain", "a.b"}, bad, "name.path", "endpoint"},
        Refusal{{"ls", "extra"}, bad, "cli.usage", "extra"},
        Refusal{{"watch", "a..b"}, bad, "name.invalid", "prefix"},
        Refusal{{"watch", "."}, bad, "name.invalid", "prefix"},
        Refusal{{"watch", "A"}, bad, "name.invalid", "prefix"}
    )
);

}  // namespace
}  // namespace stator::cli
