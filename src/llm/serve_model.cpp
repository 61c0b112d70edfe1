#include "stator/llm/serve_model.hpp"

#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/base/text.hpp"
#include "stator/discovery/discovery.hpp"
#include "stator/runtime/combinators.hpp"

namespace stator::llm {

namespace {

using namespace std::chrono_literals;

/// What contradicts `card` at its endpoint, but for the records of `own`.
Task<std::optional<Error>> find_conflict(Endpoint endpoint, std::string card, InstanceId own) {
    for (const auto& other : co_await endpoint.discovery().list_models(endpoint.id())) {
        if (other.id == own) continue;
        const auto field = conflict_of(card, other.card);
        if (!field) continue;
        co_return Error{
            ErrorCode::already_exists,
            "model.conflict",
            fmt::format(
                "the model's {} differs from that of instance {} of {}: frontends give requests to "
                "only one of them",
                *field,
                other.id.to_string(),
                endpoint.id().to_string()
            )
        };
    }
    co_return std::nullopt;
}

void warn(const Error& conflict) {
    sink().report(Severity::warn, "stator::llm", conflict.message());
}

}  // namespace

Task<ServedEndpoint> register_model(
    Endpoint endpoint, ModelCard card, Handler handler, ModelOptions options
) {
    auto json = card.to_json();
    if (!json)
        throw json.error().with_context(fmt::format("the card of {}", quoted_text(card.name)));
    const bool refuse = options.on_conflict == OnConflict::refuse;
    const auto before = co_await find_conflict(endpoint, *json, options.serve.instance_id);
    if (before && refuse) throw Error{*before};
    options.serve.model_card = *json;
    auto served = co_await endpoint.start_raw(std::move(handler), std::move(options.serve));
    // One that came in between may not have seen our record: whoever looks last sees both.
    const auto after =
        co_await as_result(find_conflict(endpoint, std::move(*json), served.instance_id()));
    if (after && (!*after || !refuse)) {
        if (*after) warn(**after);
        co_return served;
    }
    co_await shielded(served.shutdown(Deadline::in(2s)));
    throw after ? **after : after.error();
}

}  // namespace stator::llm
