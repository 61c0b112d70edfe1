// Chunks as the frontend reads them, field by field as the original's workers write them.
#include <string_view>

#include "stator/llm/chat.hpp"
#include "stator/llm/completion.hpp"
#include "stator/llm/sampling.hpp"

namespace stator::llm {

std::string_view to_string(FinishReason reason) noexcept {
    switch (reason) {
        case FinishReason::stop:
            return "stop";
        case FinishReason::length:
            return "length";
        case FinishReason::tool_calls:
            return "tool_calls";
    }
    return "stop";
}

namespace {

void write_text(ValueWriter& out, std::string_view name, std::string_view value) {
    out.key(name);
    out.string(value);
}

void write_count(ValueWriter& out, std::string_view name, std::uint64_t value) {
    out.key(name);
    out.unsigned_integer(value);
}

void write_finish(ValueWriter& out, std::optional<FinishReason> reason) {
    out.key("finish_reason");
    if (reason) {
        out.string(to_string(*reason));
    } else {
        out.null();
    }
}

void write_logprobs(ValueWriter& out, const JsonText& logprobs) {
    if (logprobs.empty()) return;
    out.key("logprobs");
    PayloadValue<JsonText>::write(out, logprobs);
}

void write_usage(ValueWriter& out, const std::optional<Usage>& usage) {
    if (!usage) return;
    out.key("usage");
    out.begin_map(3);
    write_count(out, "prompt_tokens", usage->prompt_tokens);
    write_count(out, "completion_tokens", usage->completion_tokens);
    write_count(out, "total_tokens", usage->prompt_tokens + usage->completion_tokens);
    out.end_map();
}

void write_tool_call(ValueWriter& out, const ToolCallDelta& call) {
    const bool first = !call.id.empty();
    out.begin_map(first ? 4 : 2);
    write_count(out, "index", call.index);
    if (first) {
        write_text(out, "id", call.id);
        write_text(out, "type", "function");
    }
    out.key("function");
    out.begin_map(call.name.empty() ? 1 : 2);
    if (!call.name.empty()) write_text(out, "name", call.name);
    write_text(out, "arguments", call.arguments);
    out.end_map();
    out.end_map();
}

void write_delta(ValueWriter& out, const ChatDelta& delta) {
    out.begin_map(
        (delta.role.empty() ? 0U : 1U) + (delta.content ? 1U : 0U) +
        (delta.reasoning_content ? 1U : 0U) + (delta.tool_calls.empty() ? 0U : 1U)
    );
    if (!delta.role.empty()) write_text(out, "role", delta.role);
    if (delta.content) write_text(out, "content", *delta.content);
    if (delta.reasoning_content) write_text(out, "reasoning_content", *delta.reasoning_content);
    if (!delta.tool_calls.empty()) {
        out.key("tool_calls");
        out.begin_array(delta.tool_calls.size());
        for (const auto& call : delta.tool_calls) write_tool_call(out, call);
        out.end_array();
    }
    out.end_map();
}

void write_choice(ValueWriter& out, const ChatChoice& choice) {
    out.begin_map(choice.logprobs.empty() ? 3 : 4);
    write_count(out, "index", choice.index);
    out.key("delta");
    write_delta(out, choice.delta);
    write_finish(out, choice.finish_reason);
    write_logprobs(out, choice.logprobs);
    out.end_map();
}

void write_choice(ValueWriter& out, const CompletionChoice& choice) {
    out.begin_map(choice.logprobs.empty() ? 3 : 4);
    write_count(out, "index", choice.index);
    write_text(out, "text", choice.text);
    write_finish(out, choice.finish_reason);
    write_logprobs(out, choice.logprobs);
    out.end_map();
}

template <class Chunk>
void write_chunk(ValueWriter& out, std::string_view object, const Chunk& chunk) {
    out.begin_map(chunk.usage ? 6 : 5);
    write_text(out, "id", chunk.id);
    write_text(out, "object", object);
    out.key("created");
    out.integer(chunk.created);
    write_text(out, "model", chunk.model);
    out.key("choices");
    out.begin_array(chunk.choices.size());
    for (const auto& choice : chunk.choices) write_choice(out, choice);
    out.end_array();
    write_usage(out, chunk.usage);
    out.end_map();
}

}  // namespace

}  // namespace stator::llm

void stator::PayloadValue<stator::llm::ChatChunk>::write(
    ValueWriter& writer, const llm::ChatChunk& chunk
) {
    llm::write_chunk(writer, "chat.completion.chunk", chunk);
}

void stator::PayloadValue<stator::llm::CompletionChunk>::write(
    ValueWriter& writer, const llm::CompletionChunk& chunk
) {
    llm::write_chunk(writer, "text_completion", chunk);
}
