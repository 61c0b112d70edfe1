// Requests from documents that have been read.
#pragma once

#include "llm/request_fields.hpp"
#include "stator/llm/chat.hpp"
#include "stator/llm/completion.hpp"

namespace stator::llm {

Result<ChatRequest> chat_request_of(Document object);
Result<CompletionRequest> completion_request_of(Document object);

}  // namespace stator::llm
