#include "stator/llm/chat.hpp"

#include <utility>

#include "llm/requests.hpp"

namespace stator::llm {

namespace {

/// The text of content in parts.
std::string text_of_parts(const Document& parts) {
    std::string text;
    for (const auto& part : parts) {
        if (!part.is_object()) continue;
        const auto found = part.find("text");
        if (found != part.end() && found->is_string()) text += found->get<std::string>();
    }
    return text;
}

Result<ChatMessage> message_of(Document object) {
    if (!object.is_object()) return refuse_field("messages", "has an item that is no object");
    RequestFields fields{std::move(object)};
    ChatMessage message;
    message.role = fields.text("role");
    const auto content = fields.take("content");
    if (content.is_string()) {
        message.content = content.get<std::string>();
    } else if (content.is_array()) {
        message.content = text_of_parts(content);
        auto parts = encode_json(content);
        if (!parts) return std::unexpected<Error>{parts.error()};
        message.parts = JsonText{std::move(*parts)};
    } else if (!content.is_null()) {
        return refuse_field("content", "is neither a string nor a list of parts");
    }
    message.others = fields.others();
    if (auto good = fields.good(); !good) return std::unexpected<Error>{good.error()};
    return message;
}

}  // namespace

std::string_view ChatRequest::last_text() const noexcept {
    return messages.empty() ? std::string_view{} : std::string_view{messages.back().content};
}

Result<ChatRequest> chat_request_of(Document object) {
    RequestFields fields{std::move(object)};
    ChatRequest request;
    auto messages = fields.take("messages");
    if (!messages.is_array()) return refuse_field("messages", "is missing, or no list");
    for (auto& one : messages) {
        auto message = message_of(std::move(one));
        if (!message) return std::unexpected<Error>{message.error()};
        request.messages.push_back(std::move(*message));
    }
    request.model = fields.text("model");
    request.sampling = fields.sampling();
    request.streaming = fields.streaming();
    request.tools = fields.json("tools");
    request.tool_choice = fields.json("tool_choice");
    request.response_format = fields.json("response_format");
    request.others = fields.others();
    if (auto good = fields.good(); !good) return std::unexpected<Error>{good.error()};
    return request;
}

}  // namespace stator::llm

stator::Result<stator::llm::ChatRequest> stator::PayloadValue<stator::llm::ChatRequest>::read(
    ValueReader& reader
) {
    auto document = llm::read_request(reader);
    if (!document) return std::unexpected<Error>{document.error()};
    return llm::chat_request_of(std::move(*document));
}
