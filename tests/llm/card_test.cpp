// Model cards against those of real workers; what is refused; which go together.
#include <gtest/gtest.h>

#include "stator/llm/model_card.hpp"
#include "tests/llm/captures.hpp"

namespace stator::llm {
namespace {

using test::Json;

Json card_json(const ModelCard& card) { return Json::parse(card.to_json().value()); }

std::string refusal(const ModelCard& card) {
    const auto checked = card.check();
    EXPECT_EQ(checked.has_value(), card.to_json().has_value());
    return checked ? std::string{} : checked.error().detail();
}

TEST(ModelCard, IsWrittenByteForByteAsRealWorkersDo) {
    const std::pair<const char*, ModelType> kinds[] = {
        {"model-record-chat", ModelType::chat},
        {"model-record-completions", ModelType::completions},
        {"model-record-chat-completions", ModelType::chat | ModelType::completions},
        {"model-record-embedding", ModelType::embedding},
    };
    for (const auto& [name, type] : kinds) {
        const ModelCard card{.name = "My-Model", .type = type, .source_path = "Org/My-Model"};
        EXPECT_EQ(card.to_json().value(), test::golden(name)["value"]["card_json"].dump()) << name;
    }
}

TEST(ModelCard, FilesAndExtrasHaveTheirPlaces) {
    ModelCard card{
        .name = "tok",
        .input = ModelInput::tokens,
        .context_length = 512,
        .kv_cache_block_size = 16,
        .files =
            {
                .model_info = {R"({"hf_config_json":{"path":"a"}})"},
                .tokenizer = {R"({"hf_tokenizer_json":{"path":"b"}})"},
                .prompt_formatter = {R"({"p":1})"},
                .generation_config = {R"({"g":1})"},
            },
        .aliases = {"other"},
        .user_data = {R"({"u":true})"},
    };
    const auto json = card_json(card);
    std::string keys;
    for (const auto& [key, value] : json.items()) keys += key + " ";
    EXPECT_EQ(
        keys,
        "display_name slug source_path model_info tokenizer prompt_formatter gen_config "
        "context_length kv_cache_block_size migration_limit model_type model_input worker_type "
        "needs runtime_config media_decoder media_fetcher model_aliases user_data "
    );
    EXPECT_EQ(json["tokenizer"]["hf_tokenizer_json"]["path"], "b");
    EXPECT_EQ(json["model_aliases"], Json::array({"other"}));
    card.user_data = {"{"};
    EXPECT_EQ(card.to_json().error().detail(), "model.json");
}

TEST(ModelCard, Slugs) {
    EXPECT_EQ(slug_of("My-Model"), "my-model");
    EXPECT_EQ(slug_of("Org/My.Model 1.5"), "org_my_model_1_5");
    EXPECT_EQ(slug_of("a_B-c"), "a_b-c");
    EXPECT_EQ(slug_of("\u6a21\u578bx"), "x") << "one for each character, none at the beginning";
    EXPECT_EQ(slug_of("x\u6a21y"), "x_y");
    EXPECT_EQ(slug_of(""), "");
    EXPECT_EQ(card_json({.name = "Org/M"})["slug"], "org_m");
    EXPECT_EQ(card_json({.name = "Org/M", .slug = "mine"})["slug"], "mine");
    EXPECT_EQ(card_json({.name = "Org/M"})["source_path"], "Org/M");
}

TEST(ModelCard, NamesWhatFrontendsWouldRefuse) {
    EXPECT_EQ(refusal({.name = "m"}), "");
    EXPECT_EQ(refusal({.name = "Any text / \u00fc"}), "");
    EXPECT_EQ(refusal({.name = ""}), "model.name");
    EXPECT_EQ(refusal({.name = "m", .type = ModelType{}}), "model.type");
    EXPECT_EQ(refusal({.name = "m", .slug = "a.b"}), "model.slug");
    EXPECT_EQ(refusal({.name = "m", .slug = "A"}), "model.slug");
    EXPECT_EQ(refusal({.name = "m", .aliases = {""}}), "model.aliases");
    EXPECT_EQ(refusal({.name = "m", .input = ModelInput::tokens}), "model.tokenizer");
    EXPECT_EQ(
        refusal(
            {.name = "m",
             .input = ModelInput::tokens,
             .files = {.model_info = {"{}"}, .tokenizer = {"{}"}}}
        ),
        "model.context_length"
    );
    EXPECT_EQ(refusal({.name = "m", .worker_type = WorkerType::prefill}), "model.worker_type");
    for (const auto type : {WorkerType::aggregated, WorkerType::decode, WorkerType::encode})
        EXPECT_EQ(refusal({.name = "m", .worker_type = type}), "");
    EXPECT_FALSE(ModelCard{.name = "\xff"}.to_json()) << "no UTF-8";
}

TEST(ModelCard, Conflicts) {
    const auto conflict = [](const ModelCard& one, const ModelCard& other) {
        return conflict_of(one.to_json().value(), other.to_json().value()).value_or("");
    };
    const ModelCard card{.name = "m"};
    EXPECT_EQ(conflict(card, card), "");
    EXPECT_EQ(conflict(card, {.name = "m", .context_length = 5}), "context_length");
    EXPECT_EQ(conflict(card, {.name = "m", .kv_cache_block_size = 5}), "kv_cache_block_size");
    EXPECT_EQ(conflict(card, {.name = "m", .source_path = "p"}), "source_path");
    // These do not count,
    EXPECT_EQ(conflict(card, {.name = "m", .slug = "other", .migration_limit = 3}), "");
    EXPECT_EQ(conflict(card, {.name = "m", .user_data = {"[1]"}}), "");
    EXPECT_EQ(conflict(card, {.name = "m", .runtime = {.enable_eagle = true}}), "");
    // and these are models of their own.
    EXPECT_EQ(conflict(card, {.name = "n", .context_length = 5}), "");
    EXPECT_EQ(conflict(card, {.name = "m", .type = ModelType::chat, .context_length = 5}), "");
    EXPECT_EQ(
        conflict(card, {.name = "m", .worker_type = WorkerType::decode, .context_length = 5}), ""
    );
}

TEST(ModelCard, ForeignCardsAreComparedByWhatTheySay) {
    const auto ours = ModelCard{.name = "m", .source_path = "p"}.to_json().value();
    const auto smallest = [](const std::string& more) {
        return R"({"display_name":"m","slug":"m","kv_cache_block_size":0,"migration_limit":0,)"
               R"("model_type":"Chat | Completions","model_input":"Text",)"
               R"("worker_type":"aggregated")" +
               more + "}";
    };
    EXPECT_EQ(conflict_of(ours, smallest(R"(,"source_path":"p")")), std::nullopt)
        << "no length is 0";
    EXPECT_EQ(conflict_of(ours, smallest("")), "source_path");
    EXPECT_EQ(
        conflict_of(ours, smallest(R"(,"source_path":"p","context_length":8)")), "context_length"
    );
    EXPECT_EQ(conflict_of(ours, "[]"), std::nullopt);
    EXPECT_EQ(conflict_of(ours, "{"), std::nullopt);
}

}  // namespace
}  // namespace stator::llm
