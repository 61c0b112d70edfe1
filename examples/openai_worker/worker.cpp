// A small language model behind Dynamo's OpenAI frontend: chat and completions, word by word.
#include <stator/component/distributed_runtime.hpp>
#include <stator/llm/corpus.hpp>
#include <stator/llm/ngram_model.hpp>
#include <stator/llm/serve_model.hpp>
#include <stator/llm/text_model.hpp>
#include <stator/worker/worker.hpp>

using namespace stator;

const llm::NgramModel& model() {  // learns from the licence texts that every Debian has
    static const auto trained = llm::NgramModel::train(llm::read_licences().value().text).value();
    return trained;
}

Stream<llm::TextChunk> talk(Context context, llm::TextRequest request) {
    if (request.text().empty())  // the HTTP client gets status 400
        throw Error{ErrorCode::invalid_request, "there is nothing to continue"};
    const llm::Answer answer{context, request};
    const auto words = request.sampling().max_tokens.value_or(40);
    auto text = model().continue_from(request.text(), 0);
    for (std::uint32_t i = 0; i < words; ++i) {
        if (context.stopped()) co_return;   // the HTTP client is gone
        co_yield answer.text(text.next());  // waits while the client is slower
    }
    co_yield answer.finish(llm::FinishReason::length);
}

Task<> app(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    auto endpoint = cluster.endpoint("demo.backend.generate");
    co_await llm::serve_model(endpoint, {.name = "licences"}, talk);
}

int main() { return Worker::from_settings().execute(app); }
