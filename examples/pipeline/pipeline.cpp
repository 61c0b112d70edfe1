// A pipeline of three stages, the middle one in whatever process serves it:
//
//     pipeline generate          serves demo.model.generate: numbers in, numbers out, one by one
//     pipeline front             serves demo.front.ask: words in, words out
//     pipeline ask <words...>    asks it
#include <map>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <stator/component/distributed_runtime.hpp>
#include <stator/component/router.hpp>
#include <stator/pipeline/link.hpp>
#include <stator/pipeline/operators.hpp>
#include <stator/worker/worker.hpp>

using namespace stator;
using namespace std::chrono_literals;

using Tokens = std::vector<std::int64_t>;

/// The model: says its tokens backwards.
Stream<std::int64_t> generate(Context request, Tokens tokens) {
    for (auto token = tokens.rbegin(); token != tokens.rend(); ++token) {
        if (request.stopped()) co_return;
        co_yield std::int64_t{*token};
    }
}

/// Words to tokens on the way there, tokens to words on the way back: it sees both directions, so
/// what it learns on the one it knows on the other.
struct Tokenizer final : Operator<std::string, std::string, Tokens, std::int64_t> {
    Stream<std::string> generate(
        Context context, std::string text, Engine<Tokens, std::int64_t> next
    ) override {
        std::vector<std::string> words;
        std::map<std::string, std::int64_t, std::less<>> numbers;
        Tokens tokens;
        for (std::size_t at = 0; at < text.size();) {
            const auto end = std::min(text.find(' ', at), text.size());
            auto word = text.substr(at, end - at);
            const auto [place, added] =
                numbers.try_emplace(word, static_cast<std::int64_t>(words.size()));
            if (added) words.push_back(std::move(word));
            tokens.push_back(place->second);
            at = end + 1;
        }
        auto answer = next.generate(std::move(context), std::move(tokens));
        while (auto token = co_await answer.next()) {
            co_yield std::string{words.at(static_cast<std::size_t>(*token))};
        }
    }
};

Task<> serve_model(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    co_await cluster.endpoint("demo.model.generate").serve(generate);
}

Task<> serve_front(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    const Router<Tokens, std::int64_t> model{
        co_await cluster.endpoint("demo.model.generate").client(), RouterMode::least_loaded
    };
    auto service = frontend<std::string, std::string>()
                       .link(map([](const std::string& word) { return word + " "; }))
                       .link(Tokenizer{})
                       .link(timeout({.first = 5s, .between = 1s}))
                       .link(retry({.attempts = 3}))
                       .link(route_to(model));
    co_await cluster.endpoint("demo.front.ask").serve(handler_of(service));
}

Task<> ask(Runtime runtime, std::string words) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    auto client = co_await cluster.endpoint("demo.front.ask").client();
    co_await client.wait_for_instances(Deadline::in(5s));
    auto answer = Router<std::string, std::string>{client}.generate(std::move(words));
    while (auto word = co_await answer.next()) fmt::print("{}", *word);
    fmt::print("\n");
}

int main(int count, char** arguments) {
    const std::string_view what{count > 1 ? arguments[1] : ""};
    if (what == "generate") return Worker::from_settings().execute(serve_model);
    if (what == "front") return Worker::from_settings().execute(serve_front);
    if (what != "ask") {
        fmt::print(stderr, "usage: pipeline generate | front | ask <words...>\n");
        return 2;
    }
    std::string words;
    for (int i = 2; i < count; ++i) words += fmt::format("{}{}", i > 2 ? " " : "", arguments[i]);
    return Worker::from_settings().execute([words](Runtime runtime) { return ask(runtime, words); }
    );
}
