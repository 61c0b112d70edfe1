// Chat: requests as a frontend sends them, and the chunks that answer them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "stator/llm/json_text.hpp"
#include "stator/llm/sampling.hpp"

namespace stator::llm {

struct ChatMessage {
    std::string role{};
    std::string content{};  ///< the text; of content in parts, that of its text parts joined
    JsonText parts{};       ///< content that came in parts, images and all
    OtherFields others{};   ///< "name", "tool_calls", "tool_call_id", ...

    friend bool operator==(const ChatMessage&, const ChatMessage&) = default;
};

/// Decoding fails with invalid_request "openai.<field>" for a field of the wrong kind and for
/// missing messages; a frontend makes that HTTP status 400.
struct ChatRequest {
    std::string model{};
    std::vector<ChatMessage> messages{};
    Sampling sampling{};
    Streaming streaming{};
    JsonText tools{};
    JsonText tool_choice{};
    JsonText response_format{};
    OtherFields others{};

    /// The text of the last message; empty if there is none.
    std::string_view last_text() const noexcept;
    friend bool operator==(const ChatRequest&, const ChatRequest&) = default;
};

/// A piece of a tool call. The first piece of a call has id and name, the others only arguments.
struct ToolCallDelta {
    std::uint32_t index = 0;
    std::string id{};
    std::string name{};
    std::string arguments{};
};

struct ChatDelta {
    std::string role{};  ///< "assistant" in a first chunk; empty: not said
    std::optional<std::string> content{};
    std::optional<std::string> reasoning_content{};
    std::vector<ToolCallDelta> tool_calls{};
};

struct ChatChoice {
    std::uint32_t index = 0;  ///< which of the `n` answers
    ChatDelta delta{};
    std::optional<FinishReason> finish_reason{};
    JsonText logprobs{};
};

struct ChatChunk {
    std::string id{};
    std::int64_t created = 0;  ///< seconds since 1970
    std::string model{};
    std::vector<ChatChoice> choices{};
    std::optional<Usage> usage{};
};

}  // namespace stator::llm

template <>
struct stator::PayloadValue<stator::llm::ChatRequest> {
    static Result<llm::ChatRequest> read(ValueReader& reader);
};
template <>
struct stator::PayloadValue<stator::llm::ChatChunk> {
    static void write(ValueWriter& writer, const llm::ChatChunk& chunk);
};
