// One handler for chat and completions, which a frontend sends to the same endpoint.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "stator/llm/chat.hpp"
#include "stator/llm/completion.hpp"
#include "stator/pipeline/context.hpp"

namespace stator::llm {

/// Decoding tells them apart: a chat has messages, a completion a prompt. Fails with
/// invalid_request "openai.messages" for neither.
struct TextRequest {
    std::variant<ChatRequest, CompletionRequest> request;

    bool is_chat() const noexcept { return std::holds_alternative<ChatRequest>(request); }
    const std::string& model() const noexcept;
    const Sampling& sampling() const noexcept;
    const Streaming& streaming() const noexcept;
    /// The prompt, or the text of the last message.
    std::string_view text() const noexcept;
};

struct TextChunk {
    std::variant<ChatChunk, CompletionChunk> chunk;
};

/// Makes the chunks that answer one request, of its kind: all have the same id, time and model.
///
///     Stream<TextChunk> talk(Context context, TextRequest request) {
///         Answer answer{context, request};
///         for (const auto& word : think(request.text())) co_yield answer.text(word);
///         co_yield answer.finish(FinishReason::stop);
///     }
///
/// A value; one thread at a time.
class Answer {
public:
    Answer(const Context& context, const TextRequest& request);

    /// The next piece of answer `index`.
    TextChunk text(std::string_view piece, std::uint32_t index = 0) const;
    TextChunk finish(FinishReason reason, std::uint32_t index = 0) const;
    /// What the answer cost; after everything else, whether asked for or not.
    TextChunk usage(Usage usage) const;

private:
    ChatChunk chat() const;
    CompletionChunk completion() const;

    bool is_chat_;
    std::string id_;
    std::string model_;
    std::int64_t created_;
};

}  // namespace stator::llm

template <>
struct stator::PayloadValue<stator::llm::TextRequest> {
    static Result<llm::TextRequest> read(ValueReader& reader);
};
template <>
struct stator::PayloadValue<stator::llm::TextChunk> {
    static void write(ValueWriter& writer, const llm::TextChunk& chunk);
};
