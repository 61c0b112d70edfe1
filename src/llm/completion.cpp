#include "stator/llm/completion.hpp"

#include <utility>

#include "llm/requests.hpp"

namespace stator::llm {

Result<CompletionRequest> completion_request_of(Document object) {
    RequestFields fields{std::move(object)};
    CompletionRequest request;
    const auto prompt = fields.take("prompt");
    if (prompt.is_string()) {
        request.prompt = prompt.get<std::string>();
    } else if (auto tokens = tokens_of(prompt)) {
        request.prompt_tokens = std::move(*tokens);
    } else {
        return refuse_field("prompt", "is missing, or neither a string nor a list of tokens");
    }
    request.model = fields.text("model");
    request.echo = fields.boolean("echo").value_or(false);
    request.suffix = fields.text("suffix");
    request.sampling = fields.sampling();
    request.streaming = fields.streaming();
    request.others = fields.others();
    if (auto good = fields.good(); !good) return std::unexpected<Error>{good.error()};
    return request;
}

}  // namespace stator::llm

stator::Result<stator::llm::CompletionRequest>
stator::PayloadValue<stator::llm::CompletionRequest>::read(ValueReader& reader) {
    auto document = llm::read_request(reader);
    if (!document) return std::unexpected<Error>{document.error()};
    return llm::completion_request_of(std::move(*document));
}
