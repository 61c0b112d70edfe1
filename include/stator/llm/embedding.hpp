// Embeddings: requests as a frontend sends them, and their answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "stator/llm/json_text.hpp"

namespace stator::llm {

enum class EmbeddingEncoding : std::uint8_t { floats, base64 };

/// A text or its tokens.
using EmbeddingInput = std::variant<std::string, std::vector<std::uint32_t>>;

/// Decoding fails with invalid_request "openai.<field>", as for ChatRequest.
struct EmbeddingRequest {
    std::string model{};
    std::vector<EmbeddingInput> inputs{};  ///< one vector is asked for each
    EmbeddingEncoding encoding = EmbeddingEncoding::floats;
    std::optional<std::uint32_t> dimensions{};
    OtherFields others{};
};

/// The whole answer: the only item of the response.
struct EmbeddingResponse {
    std::string model{};
    std::vector<std::vector<float>> embeddings{};            ///< in the order of the inputs
    EmbeddingEncoding encoding = EmbeddingEncoding::floats;  ///< as the request asked
    std::uint64_t prompt_tokens = 0;
};

}  // namespace stator::llm

template <>
struct stator::PayloadValue<stator::llm::EmbeddingRequest> {
    static Result<llm::EmbeddingRequest> read(ValueReader& reader);
};
/// Base64 is that of the numbers as little-endian float32.
template <>
struct stator::PayloadValue<stator::llm::EmbeddingResponse> {
    static void write(ValueWriter& writer, const llm::EmbeddingResponse& response);
};
