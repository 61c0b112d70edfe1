#include "tests/interop/peer_worker.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "stator/codec/payload_json.hpp"
#include "stator/component/distributed_runtime.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "tests/interop/canonical.hpp"
#include "tests/interop/peer_report.hpp"
#include "tests/interop/stop_report.hpp"

namespace stator::interop {

namespace {

/// The field "fail".
ErrorCode error_of(std::string_view name) {
    static const std::map<std::string_view, ErrorCode> codes{
        {"invalid", ErrorCode::invalid_request},
        {"internal", ErrorCode::internal},
        {"deadline", ErrorCode::deadline_exceeded},
        {"disconnected", ErrorCode::disconnected},
    };
    return codes.at(name);
}

/// Of the same shape as an item of `stator serve`, without the name of the worker.
Document item_of(const Document& request, std::uint64_t number) {
    if (request.contains("values")) return request["values"][number];
    Document item{{"i", number}};
    if (request.contains("text")) item["text"] = request["text"];
    const auto size = request.value("size", std::size_t{0});
    if (size > 0) item["pad"] = std::string(size, '.');
    return item;
}

Stream<Document> generate(Context context, Document request) {
    const auto id = context.id().to_string();
    say("request", {{"id", id}, {"digest", digest(request)}});
    const auto items = request.contains("values") ? request["values"].size()
                                                  : request.value("items", std::uint64_t{3});
    const std::chrono::milliseconds delay{request.value("delay_ms", 0)};
    StopReport stop{context};
    std::uint64_t sent = 0;
    for (;; ++sent) {
        if (request.contains("fail_after") && request["fail_after"] == sent) {
            throw Error{error_of(request.value("fail", "internal")), "as the request asked"};
        }
        if (sent == items || stop.look()) break;
        if (delay.count() > 0) (void)co_await sleep_for(delay, context.stop_token());
        if (stop.look()) break;
        co_yield item_of(request, sent);
    }
    say("done", {{"id", id}, {"items", sent}});
}

Stream<Document> converse(Context context, Stream<Document> requests) {
    const auto id = context.id().to_string();
    say("request", {{"id", id}, {"digest", nullptr}});
    StopReport stop{context};
    std::uint64_t sent = 0;
    while (auto request = co_await requests.next()) {
        co_yield Document{{"i", sent}, {"item", std::move(*request)}};
        ++sent;
    }
    if (!stop.look()) co_yield Document{{"end", sent}};
    say("done", {{"id", id}, {"items", sent}});
}

Task<> leave(Runtime runtime, std::vector<ServedEndpoint> served) {
    auto deadline = runtime.shutdown_deadline();
    if (deadline.is_never()) deadline = Deadline::in(runtime.graceful_timeout());
    std::vector<Task<>> leaving;
    leaving.reserve(served.size());
    for (const auto& one : served) leaving.push_back(one.shutdown(deadline));
    co_await when_all(std::move(leaving));
}

}  // namespace

Task<> run_worker(Runtime runtime, WorkerOptions options) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    const ServeOptions serving{.codec = options.codec};
    std::vector<ServedEndpoint> served;
    const auto one_way = cluster.endpoint(options.component + ".generate");
    const auto both_ways = cluster.endpoint(options.component + ".converse");
    served.push_back(co_await one_way.start(generate, serving));
    served.push_back(co_await both_ways.start(converse, serving));
    say("ready", {{"instance", cluster.instance_id().to_string()}});
    const auto token = co_await current_token();
    co_await token.wait();
    co_await shielded(leave(runtime, std::move(served)));
    say("served", Document::object());
}

}  // namespace stator::interop
