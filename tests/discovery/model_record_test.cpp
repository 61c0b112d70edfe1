// Model records as the original writes them, and as strangers may.
#include "stator/discovery/model_record.hpp"

#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace stator::discovery {
namespace {

nlohmann::ordered_json capture(const std::string& name) {
    std::ifstream file{std::string{STATOR_CAPTURES} + "/" + name};
    return nlohmann::ordered_json::parse(file);
}

/// The smallest record that frontends accept, with one field of it or of its card changed; null
/// removes the field.
std::string record_with(
    std::string_view field = {}, const nlohmann::ordered_json& value = {}, bool in_card = false
) {
    auto record = nlohmann::ordered_json::parse(
        R"({"type":"Model","namespace":"dyn","component":"backend","endpoint":"generate",)"
        R"("instance_id":1,"card_json":{"display_name":"m","slug":"m","kv_cache_block_size":0,)"
        R"("migration_limit":0,"model_type":"Chat | Completions","model_input":"Text"}})"
    );
    auto& target = in_card ? record["card_json"] : record;
    if (!field.empty()) target[std::string{field}] = value;
    if (!field.empty() && value.is_null()) target.erase(std::string{field});
    return record.dump();
}

TEST(ModelRecord, ReadsAndWritesWhatRealWorkersWrite) {
    const auto records = capture("openai-records.json");
    std::size_t models = 0;
    for (const auto& captured : records["file"]) {
        const auto text = captured["value_text"].get<std::string>();
        const auto model = model_from_record(text);
        if (captured["value"]["type"] != "Model") {
            ASSERT_FALSE(model);
            EXPECT_EQ(model.error().detail(), "model.type");
            continue;
        }
        ++models;
        ASSERT_TRUE(model) << model.error().what();
        EXPECT_EQ(to_record(*model).value(), text);
        EXPECT_EQ(model->endpoint.to_string(), "dyn.backend.generate");
        const auto summary = summary_of(*model);
        ASSERT_TRUE(summary);
        EXPECT_EQ(summary->name, "My-Model");
        EXPECT_EQ(
            summary->model_type, captured["value"]["card_json"]["model_type"].get<std::string>()
        );
        EXPECT_EQ(summary->model_input, "Text");
    }
    EXPECT_GE(models, 4U);
}

TEST(ModelRecord, HasTheKeyOfTheOriginal) {
    const ModelRecord model{{"dyn", "backend", "generate"}, InstanceId{0x3432a200ef3cf108}, "{}"};
    EXPECT_EQ(model.key(), "v1/mdc/dyn/backend/generate/3432a200ef3cf108");
    EXPECT_EQ(models_prefix(model.endpoint), "v1/mdc/dyn/backend/generate/");
}

TEST(ModelRecord, ReadsTheSmallestRecordAndUnknownFields) {
    const auto smallest = model_from_record(record_with());
    ASSERT_TRUE(smallest) << smallest.error().what();
    EXPECT_EQ(smallest->id, InstanceId{1});
    EXPECT_EQ(summary_of(*smallest)->model_type, "Chat | Completions");
    EXPECT_TRUE(model_from_record(record_with("x_other", {{"deep", {1, 2}}})));
    EXPECT_TRUE(model_from_record(record_with("model_suffix", "lora")));
    const auto more = model_from_record(record_with("new_field", 5, true));
    ASSERT_TRUE(more);
    EXPECT_NE(more->card.find("new_field"), std::string::npos) << "kept";
}

TEST(ModelRecord, NamesWhatIsWrong) {
    const auto detail = [](const std::string& record) {
        const auto model = model_from_record(record);
        return model ? std::string{"accepted"} : model.error().detail();
    };
    for (const auto* field :
         {"type", "namespace", "component", "endpoint", "instance_id", "card_json"}) {
        EXPECT_EQ(detail(record_with(field)), "model.missing") << field;
    }
    EXPECT_EQ(detail(record_with("type", "Endpoint")), "model.type");
    EXPECT_EQ(detail(record_with("instance_id", -1)), "model.missing");
    EXPECT_EQ(detail(record_with("instance_id", "1")), "model.missing");
    EXPECT_EQ(detail(record_with("card_json", "text")), "model.card");
    EXPECT_EQ(detail("[]"), "model.json");
    EXPECT_EQ(detail("{"), "model.json");
    EXPECT_EQ(detail(std::string(200'000, '[')), "model.json");
}

TEST(ModelRecord, ACardWithoutItsTextsHasNoSummary) {
    for (const auto* field : {"display_name", "model_type", "model_input"}) {
        const auto missing = model_from_record(record_with(field, {}, true));
        ASSERT_TRUE(missing);
        EXPECT_EQ(summary_of(*missing).error().detail(), "model.card") << field;
        const auto number = model_from_record(record_with(field, 3, true));
        EXPECT_EQ(summary_of(*number).error().detail(), "model.card") << field;
    }
}

TEST(ModelRecord, WritesNoCardThatIsNoObject) {
    for (const auto* card : {"", "[]", "3", "{", "{\"a\":1} x"}) {
        const ModelRecord model{{"dyn", "backend", "generate"}, InstanceId{1}, card};
        const auto record = to_record(model);
        ASSERT_FALSE(record) << card;
        EXPECT_EQ(record.error().detail(), "model.card") << card;
    }
}

TEST(ModelRecord, IsListed) {
    const auto model = model_from_record(record_with());
    EXPECT_EQ(
        to_listing(*model, summary_of(*model).value()),
        R"({"name":"m","namespace":"dyn","component":"backend","endpoint":"generate",)"
        R"("instance_id":"1","model_type":"Chat | Completions","model_input":"Text"})"
    );
}

}  // namespace
}  // namespace stator::discovery
