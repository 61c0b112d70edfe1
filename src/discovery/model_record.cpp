#include "stator/discovery/model_record.hpp"

#include <cstdint>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stator/base/text.hpp"
#include "stator/codec/json.hpp"
#include "stator/codec/value_writer.hpp"

namespace stator::discovery {

namespace {

std::unexpected<Error> refuse(std::string_view what, std::string message) {
    return fail(ErrorCode::invalid_request, fmt::format("model.{}", what), std::move(message));
}

// As large as a value in a store may be.
constexpr DecodeLimits record_limits{.max_size = 1U << 20U};

Result<Document> read_object(std::string_view text, std::string_view what) {
    auto document = decode_json(text, record_limits);
    if (!document) return std::unexpected<Error>{document.error().with_detail("model.json")};
    if (!document->is_object()) return refuse(what, fmt::format("the {} is no object", what));
    return document;
}

Result<std::string> text_of(
    const Document& document, std::string_view field, std::string_view detail
) {
    const auto found = document.find(field);
    if (found == document.end() || !found->is_string())
        return refuse(detail, fmt::format("{} is missing, or no string", field));
    return found->get<std::string>();
}

}  // namespace

std::string models_prefix(const EndpointId& endpoint) {
    return fmt::format("{}/{}/", models_bucket, endpoint.to_path());
}

std::string ModelRecord::key() const { return models_prefix(endpoint) + id.to_string(); }

Result<std::string> to_record(const ModelRecord& model) {
    auto card = read_object(model.card, "card");
    if (!card) return std::unexpected<Error>{card.error().with_detail("model.card")};
    Document record{
        {"type", "Model"},
        {"namespace", model.endpoint.namespace_},
        {"component", model.endpoint.component},
        {"endpoint", model.endpoint.endpoint},
        {"instance_id", model.id.value()},
    };
    record["card_json"] = std::move(*card);
    return encode_json(record);
}

Result<ModelRecord> model_from_record(std::string_view record) {
    const auto document = read_object(record, "json");
    if (!document) return std::unexpected<Error>{document.error()};
    const auto type = text_of(*document, "type", "missing");
    if (!type) return std::unexpected<Error>{type.error()};
    if (*type != "Model")
        return refuse("type", fmt::format("the record is a {}", quoted_text(*type)));
    auto ns = text_of(*document, "namespace", "missing");
    if (!ns) return std::unexpected<Error>{ns.error()};
    auto component = text_of(*document, "component", "missing");
    if (!component) return std::unexpected<Error>{component.error()};
    auto endpoint = text_of(*document, "endpoint", "missing");
    if (!endpoint) return std::unexpected<Error>{endpoint.error()};
    const auto id = document->find("instance_id");
    if (id == document->end() || !id->is_number_unsigned())
        return refuse("missing", "instance_id is missing, or no unsigned number");
    const auto card = document->find("card_json");
    if (card == document->end()) return refuse("missing", "card_json is missing");
    if (!card->is_object()) return refuse("card", "the card is no object");
    auto text = encode_json(*card);
    if (!text) return std::unexpected<Error>{text.error().with_detail("model.card")};
    return ModelRecord{
        .endpoint = EndpointId{std::move(*ns), std::move(*component), std::move(*endpoint)},
        .id = InstanceId{id->get<std::uint64_t>()},
        .card = std::move(*text),
    };
}

Result<ModelSummary> summary_of(const ModelRecord& model) {
    const auto card = read_object(model.card, "card");
    if (!card) return std::unexpected<Error>{card.error().with_detail("model.card")};
    auto name = text_of(*card, "display_name", "card");
    if (!name) return std::unexpected<Error>{name.error()};
    auto type = text_of(*card, "model_type", "card");
    if (!type) return std::unexpected<Error>{type.error()};
    auto input = text_of(*card, "model_input", "card");
    if (!input) return std::unexpected<Error>{input.error()};
    return ModelSummary{std::move(*name), std::move(*type), std::move(*input)};
}

std::string to_listing(const ModelRecord& model, const ModelSummary& summary) {
    const std::pair<std::string_view, std::string> fields[] = {
        {"name", summary.name},
        {"namespace", model.endpoint.namespace_},
        {"component", model.endpoint.component},
        {"endpoint", model.endpoint.endpoint},
        {"instance_id", model.id.to_string()},
        {"model_type", summary.model_type},
        {"model_input", summary.model_input},
    };
    ValueWriter out{PayloadCodec::json, 256};
    out.begin_map(std::size(fields));
    for (const auto& [name, value] : fields) {
        out.key(name);
        out.string(value);
    }
    out.end_map();
    return out.finish().value_or(Bytes{}).to_string();
}

}  // namespace stator::discovery
