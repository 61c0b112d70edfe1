// Requests as the real frontend sends them, and as nobody should.
#include <gtest/gtest.h>

#include "stator/codec/json.hpp"
#include "stator/llm/embedding.hpp"
#include "stator/llm/realtime.hpp"
#include "stator/llm/text_model.hpp"
#include "tests/llm/captures.hpp"

namespace stator::llm {
namespace {

using test::golden_request;
using test::Json;
using test::read;

template <class T>
std::string refusal(const std::string& text) {
    const auto request = Payload<T>::decode(Bytes::copy_of(text), PayloadCodec::json);
    if (request) return "accepted";
    EXPECT_EQ(request.error().code(), ErrorCode::invalid_request) << text;
    return request.error().detail();
}

TEST(ChatRequest, AsFrontendsSendIt) {
    const auto stream = read<ChatRequest>(golden_request("chat-request-stream"));
    ASSERT_TRUE(stream) << stream.error().what();
    EXPECT_EQ(stream->model, "m");
    EXPECT_EQ(stream->last_text(), "hi there");
    EXPECT_EQ(stream->messages.at(0).role, "user");
    EXPECT_EQ(stream->streaming.stream, true);
    const auto single = read<ChatRequest>(golden_request("chat-request-single"));
    EXPECT_EQ(single->streaming.stream, std::nullopt);
    EXPECT_EQ(single->sampling, Sampling{});
    EXPECT_TRUE(single->others.empty());
}

TEST(ChatRequest, WithEveryField) {
    const auto request = read<ChatRequest>(golden_request("chat-request-all-fields"));
    ASSERT_TRUE(request) << request.error().what();
    ASSERT_EQ(request->messages.size(), 2U);
    EXPECT_EQ(request->messages[0].content, "s");
    EXPECT_EQ(request->messages[1].content, "hi") << "of its parts";
    EXPECT_EQ(Json::parse(request->messages[1].parts.text).size(), 2U);
    EXPECT_EQ(request->sampling.max_tokens, 6) << "max_completion_tokens counts";
    EXPECT_EQ(request->sampling.min_tokens, 3);
    EXPECT_EQ(request->sampling.n, 1);
    EXPECT_EQ(request->sampling.seed, 3);
    EXPECT_EQ(request->sampling.temperature, 0.5);
    EXPECT_FLOAT_EQ(static_cast<float>(request->sampling.top_p.value_or(0)), 0.9F);
    EXPECT_EQ(request->sampling.top_k, 5);
    EXPECT_EQ(request->sampling.stop, std::vector<std::string>{"x"});
    EXPECT_TRUE(request->sampling.ignore_eos);
    EXPECT_TRUE(request->streaming.include_usage);
    EXPECT_FALSE(request->streaming.continuous_usage_stats);
    EXPECT_EQ(Json::parse(request->tools.text)[0]["function"]["name"], "f");
    EXPECT_EQ(request->tool_choice.text, R"("auto")");
    EXPECT_EQ(request->response_format.text, R"({"type":"json_object"})");
    EXPECT_EQ(request->others.at("user").text, R"("u")");
    EXPECT_EQ(request->others.at("nvext").text, R"({"annotations":["request_id"]})");
    EXPECT_EQ(request->others.at("chat_template_args").text, R"({"a":1})");
    EXPECT_EQ(request->others.at("logprobs").text, "true");
    EXPECT_EQ(request->others.size(), 5U);
}

TEST(ChatRequest, MessagesKeepWhatTheyHave) {
    const auto request = read<ChatRequest>(Json::parse(
        R"({"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"t"}]},)"
        R"({"role":"tool","content":"5","tool_call_id":"t"}]})"
    ));
    ASSERT_TRUE(request);
    EXPECT_EQ(request->messages[0].content, "");
    EXPECT_EQ(request->messages[0].others.at("tool_calls").text, R"([{"id":"t"}])");
    EXPECT_EQ(request->messages[1].others.at("tool_call_id").text, R"("t")");
}

TEST(ChatRequest, AlsoInMessagePack) {
    const auto bytes = encode_msgpack(golden_request("chat-request-all-fields")).value();
    const auto packed = Payload<ChatRequest>::decode(bytes, PayloadCodec::msgpack);
    const auto json = read<ChatRequest>(golden_request("chat-request-all-fields"));
    ASSERT_TRUE(packed && json);
    EXPECT_EQ(*packed, *json);
}

TEST(ChatRequest, NamesTheFieldThatIsWrong) {
    EXPECT_EQ(refusal<ChatRequest>("[]"), "openai.request");
    EXPECT_EQ(refusal<ChatRequest>("{}"), "openai.messages");
    EXPECT_EQ(refusal<ChatRequest>(R"({"messages":{}})"), "openai.messages");
    EXPECT_EQ(refusal<ChatRequest>(R"({"messages":[3]})"), "openai.messages");
    EXPECT_EQ(refusal<ChatRequest>(R"({"messages":[{"role":"u","content":3}]})"), "openai.content");
    const auto with = [](const std::string& field) {
        return refusal<ChatRequest>(R"({"messages":[],)" + field + "}");
    };
    EXPECT_EQ(with(R"("model":3)"), "openai.model");
    EXPECT_EQ(with(R"("max_tokens":-1)"), "openai.max_tokens");
    EXPECT_EQ(with(R"("max_tokens":4294967296)"), "openai.max_tokens");
    EXPECT_EQ(with(R"("temperature":"hot")"), "openai.temperature");
    EXPECT_EQ(with(R"("top_k":1.5)"), "openai.top_k");
    EXPECT_EQ(with(R"("top_k":-1)"), "accepted");
    EXPECT_EQ(with(R"("seed":9223372036854775808)"), "openai.seed");
    EXPECT_EQ(with(R"("stop":[1])"), "openai.stop");
    EXPECT_EQ(with(R"("stop":{"a":"b"})"), "openai.stop");
    EXPECT_EQ(with(R"("stop":"x")"), "accepted");
    EXPECT_EQ(with(R"("stream":"yes")"), "openai.stream");
    EXPECT_EQ(with(R"("stream_options":true)"), "openai.stream_options");
    EXPECT_EQ(with(R"("stream_options":{"include_usage":1})"), "openai.include_usage");
    EXPECT_EQ(with(R"("stream":null,"n":null,"stop":null)"), "accepted");
}

TEST(CompletionRequest, AsFrontendsSendIt) {
    const auto request = read<CompletionRequest>(golden_request("completions-request"));
    ASSERT_TRUE(request) << request.error().what();
    EXPECT_EQ(request->prompt, "hello");
    EXPECT_EQ(request->sampling.max_tokens, 5);
    EXPECT_EQ(request->streaming.stream, true);
    const auto tokens = read<CompletionRequest>(Json::parse(R"({"model":"m","prompt":[1,2]})"));
    ASSERT_TRUE(tokens);
    EXPECT_EQ(tokens->prompt_tokens, (std::vector<std::uint32_t>{1, 2}));
    EXPECT_EQ(refusal<CompletionRequest>("{}"), "openai.prompt");
    EXPECT_EQ(refusal<CompletionRequest>(R"({"prompt":["a","b"]})"), "openai.prompt");
    EXPECT_EQ(refusal<CompletionRequest>(R"({"prompt":[-1]})"), "openai.prompt");
}

TEST(TextRequest, IsAChatOrACompletion) {
    const auto chat = read<TextRequest>(golden_request("chat-request-all-fields"));
    ASSERT_TRUE(chat);
    EXPECT_TRUE(chat->is_chat());
    EXPECT_EQ(chat->text(), "hi");
    EXPECT_EQ(chat->model(), "m");
    const auto completion = read<TextRequest>(golden_request("completions-request"));
    ASSERT_TRUE(completion);
    EXPECT_FALSE(completion->is_chat());
    EXPECT_EQ(completion->text(), "hello");
    EXPECT_EQ(completion->sampling().max_tokens, 5);
    EXPECT_EQ(refusal<TextRequest>(R"({"model":"m"})"), "openai.messages");
    EXPECT_EQ(refusal<TextRequest>(R"({"prompt":{}})"), "openai.prompt");
}

TEST(EmbeddingRequest, AsFrontendsSendIt) {
    const auto request = read<EmbeddingRequest>(golden_request("embeddings-request"));
    ASSERT_TRUE(request) << request.error().what();
    EXPECT_EQ(request->inputs, (std::vector<EmbeddingInput>{"a", "b"}));
    EXPECT_EQ(request->encoding, EmbeddingEncoding::floats);
    const auto inputs = [](const std::string& input) {
        return read<EmbeddingRequest>(Json::parse(R"({"model":"m","input":)" + input + "}"))
            ->inputs;
    };
    using Tokens = std::vector<std::uint32_t>;
    EXPECT_EQ(inputs(R"("a")"), std::vector<EmbeddingInput>{"a"});
    EXPECT_EQ(inputs("[1,2]"), (std::vector<EmbeddingInput>{Tokens{1, 2}}));
    EXPECT_EQ(inputs("[[1],[2]]"), (std::vector<EmbeddingInput>{Tokens{1}, Tokens{2}}));
    const auto base64 = read<EmbeddingRequest>(
        Json::parse(R"({"model":"m","input":"a","encoding_format":"base64","dimensions":3})")
    );
    EXPECT_EQ(base64->encoding, EmbeddingEncoding::base64);
    EXPECT_EQ(base64->dimensions, 3);
    EXPECT_EQ(refusal<EmbeddingRequest>("{}"), "openai.input");
    EXPECT_EQ(refusal<EmbeddingRequest>(R"({"input":[1.5]})"), "openai.input");
    EXPECT_EQ(
        refusal<EmbeddingRequest>(R"({"input":"a","encoding_format":"hex"})"),
        "openai.encoding_format"
    );
}

TEST(RealtimeEvent, AsFrontendsSendIt) {
    Json sent;
    for (const auto& message : test::capture("openai-realtime.json")["messages"]) {
        if (message["name"] == "data") sent = message["decoded"]["body"]["value"];
        if (!sent.is_null()) break;
    }
    const auto event = read<RealtimeEvent>(sent);
    ASSERT_TRUE(event) << event.error().what();
    EXPECT_EQ(event->type, "session.update");
    EXPECT_EQ(test::written(*event), sent) << "handed on as it is";
    EXPECT_EQ(refusal<RealtimeEvent>(R"({"session":{}})"), "openai.type");
    EXPECT_EQ(refusal<RealtimeEvent>("[]"), "openai.request");
}

}  // namespace
}  // namespace stator::llm
