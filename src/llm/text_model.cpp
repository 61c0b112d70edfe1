#include "stator/llm/text_model.hpp"

#include <chrono>
#include <utility>

#include "llm/requests.hpp"

namespace stator::llm {

const std::string& TextRequest::model() const noexcept {
    return std::visit([](const auto& one) -> const std::string& { return one.model; }, request);
}

const Sampling& TextRequest::sampling() const noexcept {
    return std::visit([](const auto& one) -> const Sampling& { return one.sampling; }, request);
}

const Streaming& TextRequest::streaming() const noexcept {
    return std::visit([](const auto& one) -> const Streaming& { return one.streaming; }, request);
}

std::string_view TextRequest::text() const noexcept {
    const auto* chat = std::get_if<ChatRequest>(&request);
    return chat != nullptr ? chat->last_text() : std::get<CompletionRequest>(request).prompt;
}

Answer::Answer(const Context& context, const TextRequest& request)
    : is_chat_{request.is_chat()},
      id_{(is_chat_ ? "chatcmpl-" : "cmpl-") + context.id().to_string()},
      model_{request.model()},
      created_{std::chrono::duration_cast<std::chrono::seconds>(
                   std::chrono::system_clock::now().time_since_epoch()
      )
                   .count()} {}

ChatChunk Answer::chat() const { return {.id = id_, .created = created_, .model = model_}; }

CompletionChunk Answer::completion() const {
    return {.id = id_, .created = created_, .model = model_};
}

TextChunk Answer::text(std::string_view piece, std::uint32_t index) const {
    if (is_chat_) {
        auto chunk = chat();
        chunk.choices.push_back({
            .index = index,
            .delta = {.role = "assistant", .content = std::string{piece}},
        });
        return {std::move(chunk)};
    }
    auto chunk = completion();
    chunk.choices.push_back({.index = index, .text = std::string{piece}});
    return {std::move(chunk)};
}

TextChunk Answer::finish(FinishReason reason, std::uint32_t index) const {
    if (is_chat_) {
        auto chunk = chat();
        chunk.choices.push_back({.index = index, .finish_reason = reason});
        return {std::move(chunk)};
    }
    auto chunk = completion();
    chunk.choices.push_back({.index = index, .finish_reason = reason});
    return {std::move(chunk)};
}

TextChunk Answer::usage(Usage usage) const {
    if (is_chat_) {
        auto chunk = chat();
        chunk.usage = usage;
        return {std::move(chunk)};
    }
    auto chunk = completion();
    chunk.usage = usage;
    return {std::move(chunk)};
}

}  // namespace stator::llm

stator::Result<stator::llm::TextRequest> stator::PayloadValue<stator::llm::TextRequest>::read(
    ValueReader& reader
) {
    auto document = llm::read_request(reader);
    if (!document) return std::unexpected<Error>{document.error()};
    if (document->contains("messages")) {
        auto chat = llm::chat_request_of(std::move(*document));
        if (!chat) return std::unexpected<Error>{chat.error()};
        return llm::TextRequest{std::move(*chat)};
    }
    if (!document->contains("prompt"))
        return llm::refuse_field("messages", "and prompt are missing: neither chat nor completion");
    auto completion = llm::completion_request_of(std::move(*document));
    if (!completion) return std::unexpected<Error>{completion.error()};
    return llm::TextRequest{std::move(*completion)};
}

void stator::PayloadValue<stator::llm::TextChunk>::write(
    ValueWriter& writer, const llm::TextChunk& chunk
) {
    std::visit(
        [&]<class One>(const One& one) { PayloadValue<One>::write(writer, one); }, chunk.chunk
    );
}
