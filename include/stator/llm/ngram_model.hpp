// A small language model: counts of word sequences, with back-off to shorter ones.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "stator/base/error.hpp"
#include "stator/base/random.hpp"

namespace stator::llm {

/// The pieces of a text: words, and the marks . , ; : ? ! ( ) between them. Everything else, links
/// and mail addresses included, is left out.
std::vector<std::string> split_pieces(std::string_view text);

/// Immutable once trained; shared by any number of threads. Words are predicted as they are
/// written, and looked up without regard to upper and lower case.
class NgramModel {
public:
    /// A prediction looks back at up to this many pieces.
    static constexpr std::size_t context_size = 3;
    /// Fewer pieces are no text to learn from.
    static constexpr std::size_t fewest_pieces = 100;

    /// Fails with invalid_request: "model.too_short", "model.too_large" (more than a million
    /// different words).
    static Result<NgramModel> train(std::string_view text);

    /// How many pieces it was trained on, and how many different ones there are.
    std::size_t trained_pieces() const noexcept { return trained_pieces_; }
    std::size_t vocabulary() const noexcept { return pieces_.size(); }

    /// How likely `piece` comes after `context` (its last `context_size` pieces count): absolute
    /// discounting, the mass taken from what was seen goes to the next shorter context. Sums to 1
    /// over the vocabulary.
    double probability(std::span<const std::string> context, std::string_view piece) const;
    const std::string& piece(std::size_t index) const { return pieces_.at(index); }

    class Continuation;
    /// Continues `prompt`. Equal prompts and seeds give equal texts. The model must outlive the
    /// continuation.
    Continuation continue_from(std::string_view prompt, std::uint64_t seed) const;

private:
    using Piece = std::uint32_t;   // an index into pieces_
    using Folded = std::uint64_t;  // the number of a piece without regard to case; 0: none
    using Context = std::array<Folded, context_size>;  // the latest comes last

    /// What followed one context: a slice of followers_.
    struct Followers {
        std::uint64_t context;
        std::size_t begin;
        std::size_t end;
        double total;
    };
    struct Follower {
        Piece piece;
        double up_to;  // occurrences of this piece and of those before it in the slice
    };

    Piece intern(const std::string& piece);
    Folded fold(std::string_view piece) const;
    void count(std::span<const Piece> text);
    const Followers* find(const Context& context, std::size_t length) const noexcept;
    /// One of them, by its share of `mass` in [0, total); nothing when that falls to the shorter
    /// contexts.
    std::optional<Piece> pick(const Followers& followers, double mass, double discount)
        const noexcept;
    Piece sample(const Context& context, Random& random) const noexcept;

    std::vector<std::string> pieces_;
    std::vector<Folded> folded_;  // by piece
    std::unordered_map<std::string, Piece> index_;
    std::unordered_map<std::string, Folded> folded_index_;
    std::vector<Followers> contexts_;  // sorted by context
    std::vector<Follower> followers_;
    std::size_t trained_pieces_ = 0;
};

/// One text as it grows. A value; one thread at a time.
class NgramModel::Continuation {
public:
    /// The next piece, with the blank before it where one belongs: prompt and pieces joined are the
    /// text.
    std::string next();

private:
    friend class NgramModel;
    Continuation(const NgramModel& model, std::string_view prompt, std::uint64_t seed);
    void push(Folded folded) noexcept;

    const NgramModel* model_;
    Context context_{};
    Random random_;
    bool blank_;  // whether a word would need one before it
};

}  // namespace stator::llm
