// Completions: requests as a frontend sends them, and the chunks that answer them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "stator/llm/json_text.hpp"
#include "stator/llm/sampling.hpp"

namespace stator::llm {

/// One prompt: a frontend makes a request of each of several. Decoding fails with invalid_request
/// "openai.<field>", as for ChatRequest.
struct CompletionRequest {
    std::string model{};
    std::string prompt{};  ///< empty if it came as tokens
    std::vector<std::uint32_t> prompt_tokens{};
    bool echo = false;  ///< the answer begins with the prompt
    std::string suffix{};
    Sampling sampling{};
    Streaming streaming{};
    OtherFields others{};

    friend bool operator==(const CompletionRequest&, const CompletionRequest&) = default;
};

struct CompletionChoice {
    std::uint32_t index = 0;  ///< which of the `n` answers
    std::string text{};
    std::optional<FinishReason> finish_reason{};
    JsonText logprobs{};
};

struct CompletionChunk {
    std::string id{};
    std::int64_t created = 0;  ///< seconds since 1970
    std::string model{};
    std::vector<CompletionChoice> choices{};
    std::optional<Usage> usage{};
};

}  // namespace stator::llm

template <>
struct stator::PayloadValue<stator::llm::CompletionRequest> {
    static Result<llm::CompletionRequest> read(ValueReader& reader);
};
template <>
struct stator::PayloadValue<stator::llm::CompletionChunk> {
    static void write(ValueWriter& writer, const llm::CompletionChunk& chunk);
};
