// ModelCard: what a worker says about the model that it serves.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/error.hpp"
#include "stator/llm/json_text.hpp"

namespace stator::llm {

/// What a model is asked for; flags that may be combined. Chat and completions of one model come to
/// one endpoint: see TextRequest.
enum class ModelType : std::uint8_t {
    chat = 1,
    completions = 2,
    embedding = 4,
    realtime = 8,
};
constexpr ModelType operator|(ModelType a, ModelType b) noexcept {
    return static_cast<ModelType>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(ModelType all, ModelType one) noexcept {
    return (static_cast<unsigned>(all) & static_cast<unsigned>(one)) != 0;
}
/// "Chat | Completions".
std::string to_string(ModelType type);

/// What the worker is sent: the request as the HTTP client made it, or tokens (then the frontend
/// needs the tokenizer's files).
enum class ModelInput : std::uint8_t { text, tokens };
std::string_view to_string(ModelInput input) noexcept;

enum class WorkerType : std::uint8_t { aggregated, decode, prefill, encode };
std::string_view to_string(WorkerType type) noexcept;

/// What engines tell routers and parsers of the original. The defaults are its.
struct ModelRuntimeConfig {
    std::optional<std::uint64_t> total_kv_blocks{};
    std::optional<std::uint64_t> max_num_seqs{};
    std::optional<std::uint64_t> max_num_batched_tokens{};
    std::optional<std::string> tool_call_parser{};
    std::optional<std::string> reasoning_parser{};
    std::string tool_call_arguments_format = "json_string";
    std::string structural_tag_mode = "off";
    std::string structural_tag_scope = "auto";
    std::string structural_tag_schema = "auto";
    bool exclude_tools_when_tool_choice_none = true;
    std::uint32_t data_parallel_start_rank = 0;
    std::uint32_t data_parallel_size = 1;
    bool enable_local_indexer = true;
    bool enable_eagle = false;
};

/// The files of a model whose input is tokens, each as the original describes them:
/// {"hf_tokenizer_json":{"path":..,"checksum":"blake3:..","size":..}} and the like.
struct ModelFiles {
    JsonText model_info{};
    JsonText tokenizer{};
    JsonText prompt_formatter{};
    JsonText generation_config{};
};

/// A value. Only the name is needed. All workers of one endpoint must say the same.
struct ModelCard {
    std::string name;  ///< as HTTP clients ask for it: any text
    ModelType type = ModelType::chat | ModelType::completions;
    ModelInput input = ModelInput::text;
    WorkerType worker_type = WorkerType::aggregated;
    std::string slug{};         ///< empty: made of the name
    std::string source_path{};  ///< where the model comes from; empty: the name
    /// Tokens; 0: not said. Shown to HTTP clients; enforced by frontends with input tokens only.
    std::uint32_t context_length = 0;
    std::uint32_t kv_cache_block_size = 0;  ///< tokens
    std::uint32_t migration_limit = 0;
    ModelRuntimeConfig runtime{};
    ModelFiles files{};
    std::vector<std::string> aliases{};
    JsonText user_data{};

    /// Whether frontends accept it. Fails with invalid_request, detail "model.<field>".
    Result<void> check() const;
    /// Compact JSON, keys in the original's order. Errors: those of check, "model.json" for a part
    /// that is no JSON, those of encode_json.
    Result<std::string> to_json() const;
};

/// The original's: the name in lower case, every character but a-z 0-9 - _ replaced by "_", without
/// leading ones. May be empty.
std::string slug_of(std::string_view name);

/// The field in which two cards of one endpoint contradict each other, so that a frontend gives the
/// later worker no request; nothing if they go together. Cards of different names, types or worker
/// types are different models; both are JSON objects.
std::optional<std::string> conflict_of(std::string_view one, std::string_view other);

}  // namespace stator::llm
