#include "stator/llm/model_card.hpp"

#include <array>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stator/base/names.hpp"
#include "stator/base/text.hpp"
#include "stator/codec/json.hpp"

namespace stator::llm {

namespace {

std::unexpected<Error> refuse(std::string_view field, std::string message) {
    return fail(ErrorCode::invalid_request, fmt::format("model.{}", field), std::move(message));
}

template <class T>
Document optional_value(const std::optional<T>& value) {
    return value ? Document{*value} : Document{nullptr};
}

/// Adds a field that is JSON already; an empty one as null, or not at all.
class Fields {
public:
    explicit Fields(Document& document) : document_{document} {}

    void add(std::string_view name, const JsonText& value, bool null_if_empty) {
        if (value.empty() && !null_if_empty) return;
        auto& field = document_[std::string{name}];
        if (value.empty()) return;
        auto decoded = decode_json(value.text);
        if (decoded) {
            field = std::move(*decoded);
        } else if (!failure_) {
            failure_ = decoded.error()
                           .with_detail("model.json")
                           .with_context(fmt::format("reading {} of the card", name));
        }
    }
    Result<void> good() const {
        if (failure_) return std::unexpected<Error>{*failure_};
        return {};
    }

private:
    Document& document_;
    std::optional<Error> failure_;
};

Document to_document(const ModelRuntimeConfig& config) {
    return Document{
        {"total_kv_blocks", optional_value(config.total_kv_blocks)},
        {"max_num_seqs", optional_value(config.max_num_seqs)},
        {"max_num_batched_tokens", optional_value(config.max_num_batched_tokens)},
        {"tool_call_parser", optional_value(config.tool_call_parser)},
        {"reasoning_parser", optional_value(config.reasoning_parser)},
        {"tool_call_arguments_format", config.tool_call_arguments_format},
        {"structural_tag_mode", config.structural_tag_mode},
        {"structural_tag_scope", config.structural_tag_scope},
        {"structural_tag_schema", config.structural_tag_schema},
        {"exclude_tools_when_tool_choice_none", config.exclude_tools_when_tool_choice_none},
        {"data_parallel_start_rank", config.data_parallel_start_rank},
        {"data_parallel_size", config.data_parallel_size},
        {"enable_local_indexer", config.enable_local_indexer},
        {"enable_eagle", config.enable_eagle},
    };
}

/// The field of the card, null if it has none.
const Document& field_of(const Document& card, const char* name) {
    static const Document none;
    const auto found = card.find(name);
    return found == card.end() ? none : *found;
}

/// A card without the field means the value that real workers write for it.
bool same(const Document& a, const Document& b) {
    const auto is_zero = [](const Document& value) { return value.is_number() && value == 0; };
    return a == b || (a.is_null() && is_zero(b)) || (is_zero(a) && b.is_null());
}

Result<void> check_tokens(const ModelCard& card) {
    if (card.files.tokenizer.empty() || card.files.model_info.empty())
        return refuse("tokenizer", "a model of tokens needs tokenizer and model_info");
    if (card.context_length == 0 || card.kv_cache_block_size == 0)
        return refuse(
            "context_length", "a model of tokens needs context_length and kv_cache_block_size"
        );
    return {};
}

}  // namespace

std::string to_string(ModelType type) {
    constexpr std::array names{
        std::pair{ModelType::chat, "Chat"},
        std::pair{ModelType::completions, "Completions"},
        std::pair{ModelType::embedding, "Embedding"},
        std::pair{ModelType::realtime, "Realtime"},
    };
    std::string text;
    for (const auto& [flag, name] : names) {
        if (has(type, flag)) text += fmt::format("{}{}", text.empty() ? "" : " | ", name);
    }
    return text;
}

std::string_view to_string(ModelInput input) noexcept {
    return input == ModelInput::text ? "Text" : "Tokens";
}

std::string_view to_string(WorkerType type) noexcept {
    switch (type) {
        case WorkerType::aggregated:
            return "aggregated";
        case WorkerType::decode:
            return "decode";
        case WorkerType::prefill:
            return "prefill";
        case WorkerType::encode:
            return "encode";
    }
    return "aggregated";
}

std::string slug_of(std::string_view name) { return Slug::from_text(name).text(); }

Result<void> ModelCard::check() const {
    if (name.empty()) return refuse("name", "a model needs a name");
    if (to_string(type).empty()) return refuse("type", "a model without a type serves nothing");
    if (!slug.empty() && !is_valid_name(slug))
        return refuse(
            "slug", fmt::format("{} has other letters than a-z 0-9 - _", quoted_text(slug))
        );
    for (const auto& alias : aliases) {
        if (alias.empty()) return refuse("aliases", "an alias is empty");
    }
    if (input == ModelInput::tokens) return check_tokens(*this);
    if (worker_type == WorkerType::prefill)
        return refuse("worker_type", "a prefill worker needs tokens as its input");
    return {};
}

Result<std::string> ModelCard::to_json() const {
    if (auto good = check(); !good) return std::unexpected<Error>{good.error()};
    Document card{
        {"display_name", name},
        {"slug", slug.empty() ? slug_of(name) : slug},
        {"source_path", source_path.empty() ? name : source_path},
    };
    Fields fields{card};
    fields.add("model_info", files.model_info, true);
    fields.add("tokenizer", files.tokenizer, true);
    fields.add("prompt_formatter", files.prompt_formatter, false);
    fields.add("gen_config", files.generation_config, false);
    card["context_length"] = context_length;
    card["kv_cache_block_size"] = kv_cache_block_size;
    card["migration_limit"] = migration_limit;
    card["model_type"] = to_string(type);
    card["model_input"] = to_string(input);
    card["worker_type"] = to_string(worker_type);
    card["needs"] = Document::array();
    card["runtime_config"] = to_document(runtime);
    card["media_decoder"] = nullptr;
    card["media_fetcher"] = nullptr;
    if (!aliases.empty()) card["model_aliases"] = aliases;
    fields.add("user_data", user_data, false);
    if (auto good = fields.good(); !good) return std::unexpected<Error>{good.error()};
    return encode_json(card);
}

std::optional<std::string> conflict_of(std::string_view one, std::string_view other) {
    const auto a = decode_json(one);
    const auto b = decode_json(other);
    if (!a || !b || !a->is_object() || !b->is_object()) return std::nullopt;
    for (const auto* field : {"display_name", "model_type", "worker_type"}) {
        if (field_of(*a, field) != field_of(*b, field)) return std::nullopt;
    }
    for (const auto* field :
         {"source_path",
          "context_length",
          "kv_cache_block_size",
          "model_input",
          "model_info",
          "tokenizer",
          "prompt_formatter",
          "gen_config"}) {
        if (!same(field_of(*a, field), field_of(*b, field))) return field;
    }
    return std::nullopt;
}

}  // namespace stator::llm
