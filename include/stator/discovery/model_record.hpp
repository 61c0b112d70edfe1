// The record that says which model an instance serves.
#pragma once

#include <string>
#include <string_view>

#include "stator/base/error.hpp"
#include "stator/base/instance_id.hpp"
#include "stator/base/names.hpp"

namespace stator::discovery {

/// A value. It belongs to the Instance of the same endpoint and id, beside which it is published;
/// OpenAI frontends find models by it. See docs/protocol/dynamo-models.md.
struct ModelRecord {
    EndpointId endpoint;
    InstanceId id;
    std::string card;  ///< a JSON object, as text

    /// "v1/mdc/{ns}/{component}/{endpoint}/{id, hex}".
    std::string key() const;

    friend bool operator==(const ModelRecord&, const ModelRecord&) = default;
};

inline constexpr std::string_view models_bucket = "v1/mdc";

/// "v1/mdc/{ns}/{component}/{endpoint}/": what the models of all instances of an endpoint begin
/// with.
std::string models_prefix(const EndpointId& endpoint);

/// Compact JSON with the original's key order, the card as it is. Fails with invalid_request
/// "model.card" if that is no JSON object.
Result<std::string> to_record(const ModelRecord& model);

/// Reads a record; what it says counts, whatever its key is, as for the original. Unknown keys are
/// ignored, order and white space are free. Fails with invalid_request: "model.json" (no such
/// document), ".missing", ".type" (not a model's), ".card" (no object).
Result<ModelRecord> model_from_record(std::string_view record);

/// What a card says about itself. Texts are as written there.
struct ModelSummary {
    std::string name;         ///< "display_name"
    std::string model_type;   ///< "Chat | Completions"
    std::string model_input;  ///< "Text"
    friend bool operator==(const ModelSummary&, const ModelSummary&) = default;
};

/// Fails with invalid_request "model.card" if one of them is missing or no string: frontends refuse
/// such a card.
Result<ModelSummary> summary_of(const ModelRecord& model);

/// One object for `stator ls --models --json`: name, namespace, component, endpoint, instance_id
/// (hex), model_type, model_input.
std::string to_listing(const ModelRecord& model, const ModelSummary& summary);

}  // namespace stator::discovery
