// The endpoint of the demo: a prompt in, its continuation out, word by word.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "stator/codec/payload.hpp"
#include "stator/llm/ngram_model.hpp"
#include "stator/pipeline/context.hpp"
#include "stator/runtime/stream.hpp"

namespace stator::demo {

using llm::NgramModel;

inline constexpr const char* completion_path = "demo.text.complete";

struct CompletionRequest {
    static constexpr std::uint32_t most_words = 10'000;
    static constexpr std::uint32_t longest_interval_ms = 1'000;

    std::string prompt;
    std::uint64_t seed = 0;
    std::uint32_t words = 20;  ///< words and marks of punctuation
    std::uint32_t interval_ms =
        50;  ///< between one word and the next, like a model that has to think

    /// Fails with invalid_request, detail "demo.words" or "demo.interval".
    Result<void> check() const;

    friend bool operator==(const CompletionRequest&, const CompletionRequest&) = default;
};

/// The handler. Copies share the model; called on any loop.
class Completer {
public:
    explicit Completer(std::shared_ptr<const NgramModel> model) noexcept
        : model_{std::move(model)} {}

    /// The pieces of the continuation; the text is the prompt and all of them. The k-th comes k
    /// intervals after the first, also when some came late. Ends early when the request is asked to
    /// stop. Errors: those of CompletionRequest::check.
    Stream<std::string> operator()(Context context, CompletionRequest request) const;

private:
    std::shared_ptr<const NgramModel> model_;
};

}  // namespace stator::demo

/// A map with "prompt" and, if they are to differ from the defaults, "seed", "words",
/// "interval_ms".
template <>
struct stator::PayloadValue<stator::demo::CompletionRequest> {
    static void write(ValueWriter& writer, const demo::CompletionRequest& request);
    static Result<demo::CompletionRequest> read(ValueReader& reader);
};
