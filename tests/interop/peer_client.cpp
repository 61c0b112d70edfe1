#include "tests/interop/peer_client.hpp"

#include <chrono>
#include <cstdint>
#include <iostream>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stator/codec/payload_json.hpp"
#include "stator/component/distributed_runtime.hpp"
#include "stator/runtime/task_scope.hpp"
#include "tests/interop/canonical.hpp"
#include "tests/interop/peer_report.hpp"

namespace stator::interop {

namespace {

using Documents = Router<Document, Document>;
constexpr std::uint64_t shown_items = 10;  // of a call are reported one by one

/// A command of stdin.
struct Command {
    std::string id;
    std::string path;
    Document request;
    std::optional<std::vector<Document>> inputs;  // of a bidirectional call
    std::uint64_t count;
    std::uint64_t stop_after;  // never: 0
    std::uint64_t drop_after;
    std::chrono::seconds timeout;
    bool wait;
};

Command command_of(const Document& line) {
    Command command{
        .id = line.at("id"),
        .path = line.at("path"),
        .request = line.at("request"),
        .inputs = std::nullopt,
        .count = line.value("count", std::uint64_t{1}),
        .stop_after = line.value("stop_after", std::uint64_t{0}),
        .drop_after = line.value("drop_after", std::uint64_t{0}),
        .timeout = std::chrono::seconds{line.value("timeout", 30)},
        .wait = line.value("wait", true)
    };
    if (line.contains("inputs"))
        command.inputs.emplace(line["inputs"].begin(), line["inputs"].end());
    return command;
}

/// What came of one request.
struct Answer {
    std::uint64_t items = 0;
    ItemDigest digest{};
    std::optional<Error> error{};

    Document result() {
        Document failure;
        if (error) failure = {{"code", to_string(error->code())}, {"text", error->what()}};
        return {
            {"outcome", error ? "error" : "ok"},
            {"items", items},
            {"digest", digest.hex()},
            {"error", std::move(failure)}
        };
    }
};

Stream<Document> all_of(std::vector<Document> items) {
    for (auto& item : items) co_yield std::move(item);
}

Document numbered(const Command& command, std::uint64_t number) {
    if (command.count == 1) return command.request;
    auto request = command.request;
    request["text"] = fmt::format("{}{}", request.value("text", ""), number);
    return request;
}

Task<> receive(
    const Documents* router,
    const Command* command,
    CallOptions options,
    std::uint64_t number,
    Answer* answer
) {
    Context context;
    auto items = command->inputs
                     ? router->generate(context, all_of(*command->inputs), std::move(options))
                     : router->generate(context, numbered(*command, number), std::move(options));
    while (auto item = co_await items.next()) {
        answer->digest.add(*item);
        ++answer->items;
        if (command->count == 1 && answer->items <= shown_items) {
            say("item", {{"id", command->id}, {"number", answer->items}});
        }
        if (answer->items == command->stop_after) {
            say("stop", {{"id", command->id}});
            context.stop();
        }
        if (answer->items == command->drop_after) {
            say("drop", {{"id", command->id}});
            co_return;
        }
    }
}

Task<> receive_to_the_end(
    const Documents* router,
    const Command* command,
    CallOptions options,
    std::uint64_t number,
    Answer* answer
) {
    auto ended = co_await as_result(receive(router, command, std::move(options), number, answer));
    if (!ended) answer->error = std::move(ended).error();
}

Task<> call(DistributedRuntime cluster, CallOptions options, Command command) {
    const auto client = co_await cluster.endpoint(command.path).client();
    const auto deadline = Deadline::in(command.timeout);
    if (command.wait) {
        const auto found = co_await as_result(client.wait_for_instances(deadline));
        if (!found) {
            const Document nobody{{"outcome", "no instances"}, {"items", 0}, {"error", nullptr}};
            say("end", {{"id", command.id}, {"results", Document::array({nobody})}});
            co_return;
        }
    }
    options.deadline = deadline;
    const Documents router{client};
    std::vector<Answer> answers(command.count);
    TaskScope calls{co_await current_token()};
    const auto primary = cluster.runtime().primary();
    for (std::uint64_t i = 0; i < command.count; ++i) {
        calls.spawn_on(
            primary.loop(i % primary.size()),
            receive_to_the_end(&router, &command, options, i, &answers[i])
        );
    }
    co_await shielded(calls.join());
    auto results = Document::array();
    for (auto& answer : answers) results.push_back(answer.result());
    say("end", {{"id", command.id}, {"results", std::move(results)}});
}

std::optional<std::string> next_line() {
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
}

}  // namespace

Task<> run_client(Runtime runtime, ClientOptions options) {
    const auto cluster = co_await DistributedRuntime::connect(runtime);
    TaskScope calls{co_await current_token()};
    say("ready", Document::object());
    while (auto line = co_await offload(runtime.blocking(), next_line)) {
        const auto command = decode_json(*line);
        if (!command) throw command.error().with_context("reading a command");
        calls.spawn(call(cluster, options.call, command_of(*command)));
    }
    co_await shielded(calls.join());
}

}  // namespace stator::interop
