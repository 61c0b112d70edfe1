#include "cli/openai_model.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "stator/llm/corpus.hpp"
#include "stator/llm/text_model.hpp"

namespace stator::cli {

namespace {

constexpr std::uint32_t usual_words = 64;
constexpr std::uint32_t most_words = 4096;

Stream<llm::TextChunk> continue_text(
    std::shared_ptr<const llm::NgramModel> model, Context context, llm::TextRequest request
) {
    const llm::Answer answer{context, request};
    const auto& sampling = request.sampling();
    const auto seed = static_cast<std::uint64_t>(sampling.seed.value_or(0));
    const auto words = std::min(sampling.max_tokens.value_or(usual_words), most_words);
    auto text = model->continue_from(request.text(), seed);
    for (std::uint32_t i = 0; i < words; ++i) {
        if (context.stopped()) co_return;
        co_yield answer.text(text.next());
    }
    co_yield answer.finish(llm::FinishReason::length);
    const auto prompt = llm::split_pieces(request.text()).size();
    co_yield answer.usage({.prompt_tokens = prompt, .completion_tokens = words});
}

}  // namespace

Result<std::shared_ptr<const llm::NgramModel>> train_model() {
    const auto corpus = llm::read_licences();
    if (!corpus) return std::unexpected<Error>{corpus.error()};
    auto model = llm::NgramModel::train(corpus->text);
    if (!model) return std::unexpected<Error>{model.error()};
    return std::make_shared<const llm::NgramModel>(std::move(*model));
}

Handler openai_handler(std::shared_ptr<const llm::NgramModel> model) {
    return make_handler([model = std::move(model)](Context context, llm::TextRequest request) {
        return continue_text(model, std::move(context), std::move(request));
    });
}

}  // namespace stator::cli
