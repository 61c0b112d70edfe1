// Serving a model: an endpoint with a handler, and the card by which frontends find it.
#pragma once

#include <cstdint>
#include <utility>

#include "stator/component/endpoint.hpp"
#include "stator/llm/model_card.hpp"

namespace stator::llm {

/// What becomes of a worker whose card contradicts that of another worker of the endpoint.
/// Frontends keep to the card that they saw first and give the other worker no request, without
/// telling it.
enum class OnConflict : std::uint8_t {
    refuse,  ///< it does not serve
    warn,    ///< it serves, and logs a warning: it takes over when the others are gone
};

struct ModelOptions {
    ServeOptions serve{};
    OnConflict on_conflict = OnConflict::refuse;
};

/// Serves `handler` at `endpoint` as the model of `card`; returns as soon as it can be called and
/// found. The records of the model and the instance share id and lease: the model's comes first and
/// goes last. Other workers' cards are looked at before and after, so that of two that contradict
/// each other and start together at most one stays. Errors (thrown, nothing is served then):
/// those of Endpoint::start; already_exists "model.conflict", naming the field and the other
/// instance; invalid_request "model.<field>" of ModelCard::check.
/// Cancel safety: throws `cancelled`; what was published is taken back.
Task<ServedEndpoint> register_model(
    Endpoint endpoint, ModelCard card, Handler handler, ModelOptions options = {}
);

/// The same until the task is cancelled; then drains and returns, as Endpoint::serve. For the
/// handler see make_handler:
///
///     Stream<ChatChunk> chat(Context, ChatRequest);
///     co_await llm::serve_model(endpoint, {.name = "my-model"}, chat);
template <class F>
Task<> serve_model(Endpoint endpoint, ModelCard card, F handler, ModelOptions options = {}) {
    const auto served = co_await register_model(
        std::move(endpoint), std::move(card), make_handler(std::move(handler)), std::move(options)
    );
    co_await served.run();
}

}  // namespace stator::llm
