#include "stator/llm/realtime.hpp"

#include <utility>

#include "llm/request_fields.hpp"

stator::Result<stator::llm::RealtimeEvent> stator::PayloadValue<stator::llm::RealtimeEvent>::read(
    ValueReader& reader
) {
    const auto document = llm::read_request(reader);
    if (!document) return std::unexpected<Error>{document.error()};
    const auto type = document->find("type");
    if (type == document->end() || !type->is_string())
        return llm::refuse_field("type", "is missing, or no string");
    auto text = encode_json(*document);
    if (!text) return std::unexpected<Error>{text.error()};
    return llm::RealtimeEvent{type->get<std::string>(), llm::JsonText{std::move(*text)}};
}
