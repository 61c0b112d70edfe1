#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/diagnostic_endpoint.hpp"
#include "cli/frame.hpp"
#include "cli/openai_model.hpp"
#include "stator/llm/serve_model.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/offload.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/token_wait.hpp"

namespace stator::cli {

namespace {

void say_ready(const EndpointId& endpoint, InstanceId instance) {
    const auto line = fmt::format("ready {} {}\n", endpoint.to_string(), instance.to_string());
    std::fwrite(line.data(), 1, line.size(), stderr);
}

/// Starts one instance of what the arguments say.
Task<ServedEndpoint> start_one(
    Endpoint endpoint,
    ServeArguments arguments,
    std::shared_ptr<const llm::NgramModel> model,
    InstanceId id
) {
    ServeOptions options{
        .max_inflight = arguments.max_inflight,
        .queue = arguments.queue,
        .instance_id = id,
        .stats =
            [id, most = arguments.max_inflight] {
                return Document{{"worker", id.to_string()}, {"max_inflight", most}};
            },
    };
    if (!model) {
        co_return co_await endpoint.start_raw(
            diagnostic_handler(id, arguments.shape), std::move(options)
        );
    }
    co_return co_await llm::register_model(
        std::move(endpoint),
        {.name = arguments.openai_model},
        openai_handler(std::move(model)),
        {.serve = std::move(options)}
    );
}

/// The model that is to be served; none for the diagnostic endpoint.
Task<std::shared_ptr<const llm::NgramModel>> model_of(Runtime runtime, ServeArguments arguments) {
    if (arguments.openai_model.empty()) co_return nullptr;
    auto model = co_await offload(runtime.blocking(), train_model);
    if (!model) throw model.error();
    co_return std::move(*model);
}

/// Leaves what has been started in `served`, also when it throws.
Task<> start_all(
    DistributedRuntime cluster, ServeArguments arguments, std::vector<ServedEndpoint>* served
) {
    const auto endpoint = cluster.endpoint(arguments.endpoint);
    const auto model = co_await model_of(cluster.runtime(), arguments);
    for (std::uint32_t i = 0; i < arguments.instances; ++i) {
        const auto id = i == 0 ? cluster.instance_id() : InstanceId::random();
        served->push_back(co_await start_one(endpoint, arguments, model, id));
        say_ready(arguments.endpoint, id);
    }
}

Task<> leave_all(DistributedRuntime cluster, std::vector<ServedEndpoint> served) {
    const auto& runtime = cluster.runtime();
    auto deadline = runtime.shutdown_deadline();
    if (deadline.is_never()) deadline = Deadline::in(runtime.graceful_timeout());
    std::vector<Task<>> leaving;
    leaving.reserve(served.size());
    for (const auto& one : served) leaving.push_back(one.shutdown(deadline));
    co_await when_all(std::move(leaving));
}

Task<std::optional<Failure>> serve_until_asked(
    DistributedRuntime cluster, ServeArguments arguments
) {
    std::vector<ServedEndpoint> served;
    const auto started = co_await as_result(start_all(cluster, arguments, &served));
    if (started) {
        const auto token = co_await current_token();
        co_await token.wait();
    }
    co_await shielded(leave_all(cluster, std::move(served)));
    if (started) co_return std::nullopt;
    throw started.error();
}

}  // namespace

int serve(const ServeArguments& arguments) {
    return run_in_cluster(
        {.quiet = false, .ends_by_signal = true},
        [&](DistributedRuntime cluster) { return serve_until_asked(std::move(cluster), arguments); }
    );
}

}  // namespace stator::cli
