#include "stator/llm/serve_model.hpp"

#include <chrono>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/base/text.hpp"
#include "stator/discovery/discovery.hpp"
#include "stator/runtime/combinators.hpp"

namespace stator::llm {

namespace {

using namespace std::chrono_literals;

/// Throws what contradicts `card` at its endpoint, but for the record of `own`.
Task<> refuse_conflict(Endpoint endpoint, std::string card, InstanceId own) {
    for (const auto& other : co_await endpoint.discovery().list_models(endpoint.id())) {
        if (other.id == own) continue;
        const auto field = conflict_of(card, other.card);
        if (!field) continue;
        throw Error{
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
}

bool may_serve(const Result<void>& looked, OnConflict how) {
    if (looked) return true;
    if (how == OnConflict::refuse || looked.error().detail() != "model.conflict") return false;
    sink().report(Severity::warn, "stator::llm", looked.error().message());
    return true;
}

}  // namespace

Task<ServedEndpoint> register_model(
    Endpoint endpoint, ModelCard card, Handler handler, ModelOptions options
) {
    auto json = card.to_json();
    if (!json)
        throw json.error().with_context(fmt::format("the card of {}", quoted_text(card.name)));
    if (options.on_conflict == OnConflict::refuse)
        co_await refuse_conflict(endpoint, *json, options.serve.instance_id);
    options.serve.model_card = *json;
    auto served = co_await endpoint.start_raw(std::move(handler), std::move(options.serve));
    // One that came in between may not have seen our record: whoever looks last sees both.
    const auto looked =
        co_await as_result(refuse_conflict(endpoint, std::move(*json), served.instance_id()));
    if (may_serve(looked, options.on_conflict)) co_return served;
    co_await shielded(served.shutdown(Deadline::in(2s)));
    throw Error{looked.error()};
}

}  // namespace stator::llm
