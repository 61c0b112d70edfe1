// Chunks and answers against those that the real frontend took.
#include <gtest/gtest.h>

#include "stator/llm/embedding.hpp"
#include "stator/llm/text_model.hpp"
#include "tests/llm/captures.hpp"

namespace stator::llm {
namespace {

using test::golden_item;
using test::golden_request;
using test::Json;
using test::written;

TEST(ChatChunk, IsWrittenAsRealWorkersDo) {
    ChatChunk chunk{.id = "cmpl-1", .created = 1, .model = "echo-model"};
    chunk.choices.push_back({.delta = {.role = "assistant", .content = "one "}});
    EXPECT_EQ(written(chunk).dump(), golden_item("chat-item-real-worker").dump());
}

TEST(ChatChunk, Forms) {
    ChatChunk chunk{.id = "chatcmpl-x", .created = 1, .model = "m"};
    auto usage = chunk;
    usage.usage = Usage{.prompt_tokens = 7, .completion_tokens = 2};
    EXPECT_EQ(written(usage), golden_item("chat-item-usage"));
    auto last = chunk;
    last.choices.push_back(
        {.delta = {.role = "assistant", .content = "w2 "}, .finish_reason = FinishReason::stop}
    );
    EXPECT_EQ(written(last), golden_item("chat-item-last"));
    auto tool = chunk;
    tool.id = "x";
    tool.choices.push_back(
        {.delta = {.role = "assistant", .tool_calls = {{.id = "t1", .name = "f"}}}}
    );
    auto expected = golden_item("chat-item-tool-call");
    expected["choices"][0]["finish_reason"] = nullptr;
    EXPECT_EQ(written(tool), expected);
    auto more = chunk;
    more.choices.push_back({
        .index = 1,
        .delta = {.reasoning_content = "hm", .tool_calls = {{.index = 2, .arguments = "{}"}}},
        .finish_reason = FinishReason::tool_calls,
        .logprobs = {R"({"content":[]})"},
    });
    EXPECT_EQ(
        written(more)["choices"][0],
        Json::parse(
            R"({"index":1,"delta":{"reasoning_content":"hm","tool_calls":[{"index":2,"function":)"
            R"({"arguments":"{}"}}]},"finish_reason":"tool_calls","logprobs":{"content":[]}})"
        )
    );
}

TEST(ChatChunk, FailsWhereItsTextIsNoText) {
    ChatChunk chunk{.id = "x"};
    chunk.choices.push_back({.delta = {.content = "\xff"}});
    const auto bad = Payload<ChatChunk>::encode(chunk, PayloadCodec::msgpack);
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().detail(), "payload.utf8");
    chunk.choices[0] = {.logprobs = {"{"}};
    EXPECT_FALSE(Payload<ChatChunk>::encode(chunk, PayloadCodec::msgpack));
}

TEST(CompletionChunk, IsWrittenAsRealWorkersDo) {
    CompletionChunk chunk{.id = "cmpl-x", .created = 1, .model = "m"};
    chunk.choices.push_back({.text = "w2 ", .finish_reason = FinishReason::stop});
    EXPECT_EQ(written(chunk).dump(), golden_item("completions-item").dump());
}

TEST(EmbeddingResponse, AsNumbersAndAsBase64) {
    EmbeddingResponse response{
        .model = "emb", .embeddings = {{0.5F, -1.0F, 0.0F}, {0.5F, -1.0F, 1.0F}}, .prompt_tokens = 2
    };
    EXPECT_EQ(written(response).dump(), golden_item("embeddings-item").dump());
    response.encoding = EmbeddingEncoding::base64;
    // python3 -c 'import base64,struct;print(base64.b64encode(struct.pack("<3f",.5,-1,0)))'
    EXPECT_EQ(written(response)["data"][0]["embedding"], "AAAAPwAAgL8AAAAA");
    response.embeddings = {{1.0F}, {0.5F, 2.0F}, {}};
    const auto data = written(response)["data"];
    EXPECT_EQ(data[0]["embedding"], "AACAPw==");
    EXPECT_EQ(data[1]["embedding"], "AAAAPwAAAEA=");
    EXPECT_EQ(data[2]["embedding"], "");
}

TEST(Answer, SpeaksAsItWasAsked) {
    const Context context;
    const auto chat = test::read<TextRequest>(golden_request("chat-request-stream")).value();
    const Answer answer{context, chat};
    const auto first = written(answer.text("hi "));
    EXPECT_EQ(first["id"], "chatcmpl-" + context.id().to_string());
    EXPECT_EQ(first["object"], "chat.completion.chunk");
    EXPECT_EQ(first["model"], "m");
    EXPECT_GT(first["created"].get<std::int64_t>(), 1'600'000'000);
    EXPECT_EQ(first["choices"][0]["delta"], Json::parse(R"({"role":"assistant","content":"hi "})"));
    EXPECT_EQ(first["choices"][0]["finish_reason"], nullptr);
    EXPECT_EQ(
        written(answer.finish(FinishReason::length, 1))["choices"][0]["finish_reason"], "length"
    );
    EXPECT_EQ(written(answer.finish(FinishReason::length, 1))["choices"][0]["index"], 1);
    EXPECT_EQ(written(answer.usage({3, 4}))["usage"]["total_tokens"], 7);

    const auto completion = test::read<TextRequest>(golden_request("completions-request")).value();
    const Answer words{context, completion};
    EXPECT_EQ(written(words.text("hi "))["object"], "text_completion");
    EXPECT_EQ(written(words.text("hi "))["choices"][0]["text"], "hi ");
    EXPECT_EQ(written(words.finish(FinishReason::stop))["choices"][0]["text"], "");
    EXPECT_EQ(written(words.usage({3, 4}))["choices"], Json::array());
}

}  // namespace
}  // namespace stator::llm
