// What chat and completion requests have in common, and what their answers do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stator::llm {

/// How text is to be made; absent fields leave it to the model.
struct Sampling {
    std::optional<std::uint32_t> max_tokens{};  ///< of chat: max_completion_tokens if given
    std::optional<std::uint32_t> min_tokens{};
    std::optional<double> temperature{};
    std::optional<double> top_p{};
    std::optional<std::int64_t> top_k{};
    std::optional<double> min_p{};
    std::optional<double> frequency_penalty{};
    std::optional<double> presence_penalty{};
    std::optional<double> repetition_penalty{};
    std::optional<std::int64_t> seed{};
    std::optional<std::uint32_t> n{};  ///< how many answers
    std::vector<std::string> stop{};
    bool ignore_eos = false;

    friend bool operator==(const Sampling&, const Sampling&) = default;
};

/// `stream` says what the HTTP client gets; a worker answers with chunks in any case.
struct Streaming {
    std::optional<bool> stream{};
    bool include_usage = false;
    bool continuous_usage_stats = false;

    friend bool operator==(const Streaming&, const Streaming&) = default;
};

struct Usage {
    std::uint64_t prompt_tokens = 0;
    std::uint64_t completion_tokens = 0;

    friend bool operator==(const Usage&, const Usage&) = default;
};

enum class FinishReason : std::uint8_t { stop, length, tool_calls };
std::string_view to_string(FinishReason reason) noexcept;

}  // namespace stator::llm
