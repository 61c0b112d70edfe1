#include "stator/llm/ngram_model.hpp"

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stator/base/text.hpp"

namespace stator::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view story =
    "The cat sat on the mat. The cat saw the dog. The dog sat on the cat! A dog, a cat (and a mat) "
    "sat there. ";

NgramModel trained(int repetitions = 5) {
    std::string text;
    for (int i = 0; i < repetitions; ++i) text += story;
    auto model = NgramModel::train(text);
    EXPECT_TRUE(model) << model.error().what();
    return std::move(*model);
}

std::string continued(
    const NgramModel& model, std::string prompt, std::uint64_t seed, int pieces = 30
) {
    auto text = model.continue_from(prompt, seed);
    for (int i = 0; i < pieces; ++i) prompt += text.next();
    return prompt;
}

TEST(SplitPieces, words_and_marks) {
    EXPECT_THAT(
        split_pieces("You may copy, (or not)."),
        ElementsAre("You", "may", "copy", ",", "(", "or", "not", ")", ".")
    );
    EXPECT_THAT(split_pieces("  \n\t "), IsEmpty());
    EXPECT_THAT(split_pieces(""), IsEmpty());
}

TEST(SplitPieces, joints_belong_to_the_word_only_between_letters) {
    EXPECT_THAT(
        split_pieces("and/or work-based user's 1.1. -x- 'y' end."),
        ElementsAre("and/or", "work-based", "user's", "1.1", ".", "x", "y", "end", ".")
    );
}

TEST(SplitPieces, links_and_addresses_and_foreign_letters_are_left_out) {
    EXPECT_THAT(
        split_pieces("see <https://example.org/> or a@b.org \"now\" \xc3\xa9t\xc3\xa9 \xff"),
        ElementsAre("see", "or", "now", "t")
    );
}

TEST(NgramModel, refuses_a_text_that_is_too_short) {
    const auto model = NgramModel::train("only a few words");
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code(), ErrorCode::invalid_request);
    EXPECT_EQ(model.error().detail(), "model.too_short");
    EXPECT_THAT(model.error().what(), HasSubstr("4 words"));
    EXPECT_FALSE(NgramModel::train(""));
}

TEST(NgramModel, knows_what_it_was_trained_on) {
    const auto model = trained();
    EXPECT_EQ(model.trained_pieces(), split_pieces(story).size() * 5);
    const auto pieces = split_pieces(story);
    EXPECT_EQ(model.vocabulary(), std::set(pieces.begin(), pieces.end()).size());
}

TEST(NgramModel, probabilities_sum_to_one_after_every_context) {
    const auto model = trained();
    const std::vector<std::vector<std::string>> contexts{
        {},
        {"the"},
        {"THE", "Cat"},
        {"on", "the", "mat"},
        {"zebra"},
        {"the", "zebra", "cat"},
        {".", "the", "cat", "sat"}
    };
    for (const auto& context : contexts) {
        double sum = 0.0;
        for (std::size_t i = 0; i < model.vocabulary(); ++i) {
            const double probability = model.probability(context, model.piece(i));
            EXPECT_GT(probability, 0.0);
            sum += probability;
        }
        EXPECT_NEAR(sum, 1.0, 1e-9);
    }
    EXPECT_EQ(model.probability({}, "zebra"), 0.0);
}

TEST(NgramModel, a_probability_by_hand) {
    // After "on the" comes "mat" five times and "cat" five times. Before it: the discounts of the
    // shorter contexts.
    const auto model = trained();
    const std::vector<std::string> on{"on"};
    const std::vector<std::string> on_the{"on", "the"};
    // "on" was followed by "the" only, ten times; 0.4 of one occurrence goes to the unigrams.
    const double shorter = model.probability({}, "the");
    EXPECT_NEAR(shorter, 15.0 / static_cast<double>(model.trained_pieces()), 1e-12);
    EXPECT_NEAR(model.probability(on, "the"), (10.0 - 0.4 + 0.4 * shorter) / 10.0, 1e-12);
    const std::vector<std::string> the{"the"};
    EXPECT_NEAR(
        model.probability(on_the, "cat"),
        (5.0 - 0.4 + 0.8 * model.probability(the, "cat")) / 10.0,
        1e-12
    );
}

TEST(NgramModel, samples_as_often_as_it_says) {
    const auto model = trained();
    constexpr int draws = 40'000;
    for (const std::string prompt : {"the cat", "on the", "A dog,", "a zebra"}) {
        std::map<std::string, int> seen;
        for (int seed = 0; seed < draws; ++seed) {
            auto piece = model.continue_from(prompt, static_cast<std::uint64_t>(seed)).next();
            if (piece.starts_with(' ')) piece.erase(0, 1);
            ++seen[piece];
        }
        auto context = split_pieces(prompt);
        for (std::size_t i = 0; i < model.vocabulary(); ++i) {
            // The whole context: a sentence end, then the prompt.
            std::vector<std::string> whole{"."};
            whole.insert(whole.end(), context.begin(), context.end());
            const double expected = model.probability(whole, model.piece(i));
            const double measured = static_cast<double>(seen[model.piece(i)]) / draws;
            const double deviation = std::sqrt(expected * (1 - expected) / draws);
            EXPECT_NEAR(measured, expected, 5 * deviation + 1e-9)
                << prompt << " -> " << model.piece(i);
        }
    }
}

TEST(NgramModel, equal_prompts_and_seeds_give_equal_texts) {
    const auto model = trained();
    const auto again = trained();
    EXPECT_EQ(continued(model, "The cat", 7), continued(model, "The cat", 7));
    EXPECT_EQ(continued(model, "The cat", 7), continued(again, "The cat", 7));
}

TEST(NgramModel, other_prompts_and_other_seeds_give_other_texts) {
    const auto model = trained();
    std::set<std::string> texts;
    for (std::uint64_t seed = 0; seed < 20; ++seed)
        texts.insert(continued(model, "The cat", seed, 100));
    EXPECT_EQ(texts.size(), 20U);
    EXPECT_NE(continued(model, "The dog", 7).substr(7), continued(model, "The cat", 7).substr(7));
}

TEST(NgramModel, a_continuation_follows_from_the_prompt) {
    const auto model = trained();
    // Only "on" ever follows "sat", and "there".
    std::set<std::string> after;
    int seen_in_text = 0;
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
        const auto piece = model.continue_from("The cat SAT", seed).next();
        seen_in_text += piece == " on" || piece == " there" ? 1 : 0;
    }
    EXPECT_GT(seen_in_text, 450);
}

TEST(NgramModel, words_it_does_not_know_and_an_empty_prompt_are_no_obstacle) {
    const auto model = trained();
    EXPECT_FALSE(continued(model, "zebra quagga", 1, 1).empty());
    const auto first = model.continue_from("", 3).next();
    EXPECT_FALSE(first.empty());
    EXPECT_FALSE(first.starts_with(' '));
    EXPECT_FALSE(model.continue_from("in a (", 3).next().starts_with(' '));
    EXPECT_FALSE(model.continue_from("a cat ", 3).next().starts_with(' '));
}

TEST(NgramModel, blanks_stand_before_words_and_not_before_marks) {
    const auto model = trained();
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const auto text = continued(model, "A dog", seed, 100);
        for (const char* wrong : {" .", " ,", " )", " !", "( ", "  "})
            EXPECT_FALSE(text.contains(wrong)) << text;
        const auto pieces = split_pieces(text);
        EXPECT_EQ(pieces.size(), 102U) << text;
    }
}

}  // namespace
}  // namespace stator::llm
