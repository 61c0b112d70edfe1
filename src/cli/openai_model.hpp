// stator serve --openai-model: a small language model for OpenAI frontends.
#pragma once

#include <memory>
#include <string>

#include "stator/component/handler.hpp"
#include "stator/llm/ngram_model.hpp"

namespace stator::cli {

/// Trained from the licence texts that every Debian has. Blocks for a moment. Fails with not_found
/// "corpus.not_found" where there are none.
Result<std::shared_ptr<const llm::NgramModel>> train_model();

/// Continues prompts and last messages of chats, up to max_tokens words (default 64, at most 4096).
/// The same seed gives the same text.
Handler openai_handler(std::shared_ptr<const llm::NgramModel> model);

}  // namespace stator::cli
