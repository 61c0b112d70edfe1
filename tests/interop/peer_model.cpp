#include "tests/interop/peer_model.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "stator/codec/payload_json.hpp"
#include "stator/component/distributed_runtime.hpp"
#include "stator/llm/embedding.hpp"
#include "stator/llm/realtime.hpp"
#include "stator/llm/serve_model.hpp"
#include "stator/llm/text_model.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "tests/interop/peer_report.hpp"
#include "tests/interop/stop_report.hpp"

namespace stator::interop {

namespace {

/// What a prompt asks for.
struct Plan {
    std::vector<std::string> words;
    std::chrono::milliseconds delay{};  ///< before each
    std::optional<std::size_t> fail_after{};
    ErrorCode fail = ErrorCode::invalid_request;
};

Plan plan_of(std::string_view prompt) {
    Plan plan;
    if (!prompt.starts_with('!')) {
        while (!prompt.empty()) {
            const auto end = std::min(prompt.find(' '), prompt.size());
            if (end > 0) plan.words.emplace_back(prompt.substr(0, end));
            prompt.remove_prefix(std::min(end + 1, prompt.size()));
        }
        return plan;
    }
    const auto asked = decode_json(prompt.substr(1));
    if (!asked) throw asked.error();
    for (std::uint64_t i = 0; i < asked->value("words", std::uint64_t{3}); ++i)
        plan.words.push_back(fmt::format("w{}", i));
    plan.delay = std::chrono::milliseconds{asked->value("delay_ms", 0)};
    if (asked->contains("fail_after")) plan.fail_after = (*asked)["fail_after"].get<std::size_t>();
    const auto code = error_code_from_name(asked->value("fail", "invalid_request"));
    plan.fail = code.value_or(ErrorCode::internal);
    return plan;
}

Task<> serve_model(Endpoint endpoint, llm::ModelCard card, Handler handler, ServeOptions options) {
    const auto served = co_await llm::register_model(
        std::move(endpoint), std::move(card), std::move(handler), {.serve = std::move(options)}
    );
    co_await served.run();
}

/// Says of a request that it came, and which model it is for.
void say_request(const Context& context, const std::string& model) {
    say("request", {{"id", context.id().to_string()}, {"model", model}});
}

Stream<llm::TextChunk> answer(Context context, llm::TextRequest request, std::string model) {
    say_request(context, model);
    const auto plan = plan_of(request.text());
    const llm::Answer chunks{context, request};
    const auto words = plan.words.size();
    {
        StopReport stop{context};
        for (std::size_t i = 0; i < words; ++i) {
            if (plan.fail_after == i) throw Error{plan.fail, "as the request asked"};
            if (plan.delay.count() > 0) (void)co_await sleep_for(plan.delay, context.stop_token());
            if (stop.look()) co_return;
            co_yield chunks.text(plan.words[i] + " ");
        }
        co_yield chunks.finish(llm::FinishReason::stop);
        co_yield chunks.usage({.prompt_tokens = words, .completion_tokens = words});
    }
    say("done", {{"id", context.id().to_string()}, {"words", words}});
}

Task<llm::EmbeddingResponse> embed(
    Context context, llm::EmbeddingRequest request, std::string model
) {
    say_request(context, model);
    llm::EmbeddingResponse response{.model = model, .encoding = request.encoding};
    response.embeddings.assign(request.inputs.size(), {0.5F, -1.0F, 0.25F});
    response.prompt_tokens = request.inputs.size();
    co_return response;
}

llm::RealtimeEvent echo_of(const std::string& type, std::uint64_t number) {
    const Document event{
        {"type", "response.output_text.delta"},
        {"event_id", fmt::format("event-{}", number)},
        {"response_id", "response-1"},
        {"item_id", "item-1"},
        {"output_index", 0},
        {"content_index", number},
        {"delta", type},
    };
    return {"response.output_text.delta", {event.dump()}};
}

Stream<llm::RealtimeEvent> converse(
    Context context, Stream<llm::RealtimeEvent> events, std::string model
) {
    say_request(context, model);
    std::uint64_t sent = 0;
    {
        const StopReport stop{context};
        while (const auto event = co_await events.next()) {
            co_yield echo_of(event->type, sent);
            ++sent;
            if (event->type == "response.create") break;
        }
    }
    say("done", {{"id", context.id().to_string()}, {"words", sent}});
}

Task<> serve_all(DistributedRuntime cluster, ModelOptions options) {
    std::vector<Task<>> serving;
    const auto add = [&](const std::string& model, llm::ModelType type, Handler handler) {
        const bool text = llm::has(type, llm::ModelType::chat);
        serving.push_back(serve_model(
            cluster.endpoint(fmt::format("dyn.{}.generate", model)),
            {.name = model, .type = type, .context_length = options.context_length},
            std::move(handler),
            {.max_inflight = text ? options.max_inflight : 0}
        ));
    };
    for (const auto& model : options.chat) {
        add(model,
            llm::ModelType::chat | llm::ModelType::completions,
            make_handler([model](Context context, llm::TextRequest request) {
                return answer(std::move(context), std::move(request), model);
            }));
    }
    for (const auto& model : options.embeddings) {
        add(model,
            llm::ModelType::embedding,
            make_handler([model](Context context, llm::EmbeddingRequest request) {
                return embed(std::move(context), std::move(request), model);
            }));
    }
    for (const auto& model : options.realtime) {
        add(model,
            llm::ModelType::realtime,
            make_handler([model](Context context, Stream<llm::RealtimeEvent> events) {
                return converse(std::move(context), std::move(events), model);
            }));
    }
    co_await when_all(std::move(serving));
}

}  // namespace

Task<> run_models(Runtime runtime, ModelOptions options) {
    const auto cluster = co_await DistributedRuntime::connect(runtime);
    say("ready", {{"pid", ::getpid()}});
    co_await serve_all(cluster, std::move(options));
    say("served", Document::object());
}

}  // namespace stator::interop
