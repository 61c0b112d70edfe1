#include "tools/demo/completion.hpp"

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/loop_fixture.hpp"

namespace stator::demo {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

std::shared_ptr<const NgramModel> model() {
    std::string text;
    for (int i = 0; i < 30; ++i) text += "one two three four five, one three two. ";
    auto trained = NgramModel::train(text);
    return std::make_shared<const NgramModel>(std::move(trained.value()));
}

Bytes json(std::string_view text) {
    return Payload<std::string_view>::encode(text, PayloadCodec::raw).value();
}

class CompletionPayload : public ::testing::TestWithParam<PayloadCodec> {};

TEST_P(CompletionPayload, comes_back_as_it_was) {
    const CompletionRequest request{
        .prompt = "You may \"copy\"", .seed = ~std::uint64_t{0}, .words = 7, .interval_ms = 3
    };
    const auto bytes = Payload<CompletionRequest>::encode(request, GetParam());
    ASSERT_TRUE(bytes);
    EXPECT_EQ(Payload<CompletionRequest>::decode(*bytes, GetParam()).value(), request);
}

INSTANTIATE_TEST_SUITE_P(
    Codecs, CompletionPayload, ::testing::Values(PayloadCodec::msgpack, PayloadCodec::json)
);

TEST(CompletionJson, only_the_prompt_is_needed) {
    const auto request =
        Payload<CompletionRequest>::decode(json(R"({"prompt":"You may"})"), PayloadCodec::json);
    ASSERT_TRUE(request) << request.error().what();
    EXPECT_EQ(*request, CompletionRequest{.prompt = "You may"});
}

TEST(CompletionJson, wrong_documents_have_named_errors) {
    for (const auto& [text, name] : std::vector<std::pair<std::string, std::string>>{
             {"{}", "json.field"},
             {R"({"prompt":"a","colour":1})", "json.field"},
             {R"({"prompt":1})", "json.type"},
             {R"({"prompt":"a","words":-1})", "json.range"},
             {R"({"prompt":"a","words":4294967296})", "json.range"},
             {R"(["a"])", "json.type"},
             {R"({"prompt":"a")", "json.syntax"},
         }) {
        const auto request = Payload<CompletionRequest>::decode(json(text), PayloadCodec::json);
        ASSERT_FALSE(request) << text;
        EXPECT_EQ(request.error().code(), ErrorCode::invalid_request) << text;
        EXPECT_EQ(request.error().detail(), name) << text;
    }
}

class CompleterTest : public test::OnLoop {
protected:
    struct Seen {
        std::vector<std::string> pieces;
        std::vector<Duration> after;
    };
    Task<> collect(Context context, CompletionRequest request, Seen* seen) {
        const Completer completer{model_};
        const auto begin = Clock::current().now();
        auto items = completer(std::move(context), std::move(request));
        while (auto piece = co_await items.next()) {
            seen->pieces.push_back(*piece);
            seen->after.push_back(Clock::current().now() - begin);
        }
    }
    std::shared_ptr<const NgramModel> model_ = model();
};

TEST_F(CompleterTest, gives_the_model_s_text_at_its_pace) {
    Seen seen;
    auto outcome =
        test.run(collect({}, {.prompt = "one two", .seed = 5, .words = 4, .interval_ms = 50}, &seen)
        );
    for (int i = 0; i < 4; ++i) {
        EXPECT_EQ(seen.pieces.size(), std::min<std::size_t>(static_cast<std::size_t>(i) + 1, 4));
        test.advance(50ms);
    }
    ASSERT_TRUE(outcome.ok()) << outcome.message();
    EXPECT_THAT(seen.after, ::testing::ElementsAre(0ms, 50ms, 100ms, 150ms));
    auto expected = model_->continue_from("one two", 5);
    for (const auto& piece : seen.pieces) EXPECT_EQ(piece, expected.next());
}

TEST_F(CompleterTest, catches_up_when_it_was_late) {
    Seen seen;
    auto outcome = test.run(collect({}, {.prompt = "one", .words = 5, .interval_ms = 50}, &seen));
    test.advance(160ms);
    EXPECT_EQ(seen.pieces.size(), 4U);
    test.advance(40ms);
    EXPECT_TRUE(outcome.ok());
}

TEST_F(CompleterTest, stops_when_asked) {
    Seen seen;
    const Context context;
    auto outcome =
        test.run(collect(context, {.prompt = "one", .words = 5, .interval_ms = 50}, &seen));
    context.stop();
    EXPECT_FALSE(outcome.done());
    test.advance(50ms);
    EXPECT_TRUE(outcome.ok());
    EXPECT_EQ(seen.pieces.size(), 2U);
}

TEST_F(CompleterTest, no_words_are_no_items) {
    Seen seen;
    EXPECT_TRUE(test.run(collect({}, {.prompt = "one", .words = 0}, &seen)).ok());
    EXPECT_TRUE(seen.pieces.empty());
}

TEST_F(CompleterTest, too_much_is_refused_by_name) {
    Seen seen;
    auto words = test.run(collect({}, {.prompt = "one", .words = 10'001}, &seen));
    EXPECT_EQ(words.error(), ErrorCode::invalid_request);
    EXPECT_THAT(words.message(), HasSubstr("10001 words"));
    auto interval = test.run(collect({}, {.prompt = "one", .interval_ms = 1'001}, &seen));
    EXPECT_EQ(interval.error(), ErrorCode::invalid_request);
    EXPECT_THAT(interval.message(), HasSubstr("1001 ms"));
}

}  // namespace
}  // namespace stator::demo
