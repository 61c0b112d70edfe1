#include "stator/llm/ngram_model.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace stator::llm {

namespace {

// Taken from each count of a context; its share is what shorter contexts get. The shortest gives
// nothing away.
constexpr double discount_of_contexts = 0.4;

// Room for one folded number in a context's key; the highest stands for words that were never seen.
constexpr unsigned folded_bits = 21;
constexpr std::uint64_t unknown = (std::uint64_t{1} << folded_bits) - 1;
constexpr std::size_t most_pieces = 1'000'000;

bool is_blank(char letter) noexcept {
    return letter == ' ' || letter == '\n' || letter == '\t' || letter == '\r' || letter == '\f';
}
bool is_alphanumeric(char letter) noexcept {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9');
}
bool is_joint(char letter) noexcept {
    return letter == '\'' || letter == '-' || letter == '/' || letter == '.' || letter == '_';
}
bool is_mark(char letter) noexcept { return std::string_view{".,;:?!()"}.contains(letter); }

std::string lower(std::string_view text) {
    std::string folded{text};
    for (char& letter : folded) {
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    }
    return folded;
}

/// FNV-1a over the prompt, then the seed mixed in: both decide where the random numbers begin,
/// everywhere alike.
std::uint64_t begin_of(std::string_view prompt, std::uint64_t seed) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char letter : prompt) {
        hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
    }
    hash = (hash ^ seed) * 0xd6e8feb86659fd93;
    return hash ^ (hash >> 32U);
}

/// The pieces of what stands between two blanks.
void split_chunk(std::string_view chunk, std::vector<std::string>& pieces) {
    if (chunk.contains("://") || chunk.contains('@')) return;
    for (std::size_t at = 0; at < chunk.size();) {
        std::size_t end = at;
        while (end < chunk.size() && is_alphanumeric(chunk[end])) {
            ++end;
            const bool joined =
                end + 1 < chunk.size() && is_joint(chunk[end]) && is_alphanumeric(chunk[end + 1]);
            if (joined) ++end;
        }
        if (end > at) {
            pieces.emplace_back(chunk.substr(at, end - at));
            at = end;
            continue;
        }
        if (is_mark(chunk[at])) pieces.emplace_back(1, chunk[at]);
        ++at;
    }
}

/// The key of the last `length` pieces of a context; the unused places are zero, which no piece
/// has.
template <class Context>
std::uint64_t key_of(const Context& context, std::size_t length) noexcept {
    std::uint64_t key = 0;
    for (std::size_t i = context.size() - length; i < context.size(); ++i) {
        key = (key << folded_bits) | context[i];
    }
    return key;
}

}  // namespace

std::vector<std::string> split_pieces(std::string_view text) {
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size();) {
        while (at < text.size() && is_blank(text[at])) ++at;
        std::size_t end = at;
        while (end < text.size() && !is_blank(text[end])) ++end;
        split_chunk(text.substr(at, end - at), pieces);
        at = end;
    }
    return pieces;
}

Result<NgramModel> NgramModel::train(std::string_view text) {
    const auto pieces = split_pieces(text);
    if (pieces.size() < fewest_pieces) {
        return fail(
            ErrorCode::invalid_request,
            "model.too_short",
            fmt::format("a text of {} words is too short to learn from", pieces.size())
        );
    }
    NgramModel model;
    std::vector<Piece> numbers;
    numbers.reserve(pieces.size());
    for (const auto& piece : pieces) {
        numbers.push_back(model.intern(piece));
        if (model.pieces_.size() > most_pieces) {
            return fail(
                ErrorCode::invalid_request,
                "model.too_large",
                "the text has over a million different words"
            );
        }
    }
    model.trained_pieces_ = numbers.size();
    model.count(numbers);
    return model;
}

NgramModel::Piece NgramModel::intern(const std::string& piece) {
    const auto [found, added] = index_.try_emplace(piece, static_cast<Piece>(pieces_.size()));
    if (added) {
        pieces_.push_back(piece);
        folded_.push_back(
            folded_index_.try_emplace(lower(piece), folded_index_.size() + 1).first->second
        );
    }
    return found->second;
}

NgramModel::Folded NgramModel::fold(std::string_view piece) const {
    const auto found = folded_index_.find(lower(piece));
    return found == folded_index_.end() ? unknown : found->second;
}

void NgramModel::count(std::span<const Piece> text) {
    std::vector<std::pair<std::uint64_t, Piece>> seen;  // a context, and what followed it
    seen.reserve(text.size() * (context_size + 1));
    Context context{};
    for (std::size_t i = 0; i < text.size(); ++i) {
        for (std::size_t length = 0; length <= std::min(i, context_size); ++length) {
            seen.emplace_back(key_of(context, length), text[i]);
        }
        std::ranges::rotate(context, context.begin() + 1);
        context.back() = folded_[text[i]];
    }
    std::ranges::sort(seen);
    for (std::size_t at = 0; at < seen.size();) {
        Followers followers{seen[at].first, followers_.size(), 0, 0.0};
        while (at < seen.size() && seen[at].first == followers.context) {
            const Piece piece = seen[at].second;
            for (; at < seen.size() && seen[at] == std::pair{followers.context, piece}; ++at) {
                followers.total += 1.0;
            }
            followers_.push_back({piece, followers.total});
        }
        followers.end = followers_.size();
        contexts_.push_back(followers);
    }
}

const NgramModel::Followers* NgramModel::find(const Context& context, std::size_t length)
    const noexcept {
    const auto key = key_of(context, length);
    const auto found = std::ranges::lower_bound(contexts_, key, {}, &Followers::context);
    return found == contexts_.end() || found->context != key ? nullptr : &*found;
}

std::optional<NgramModel::Piece> NgramModel::pick(
    const Followers& followers, double mass, double discount
) const noexcept {
    std::size_t low = followers.begin;
    std::size_t high = followers.end;
    while (low < high) {  // the first whose discounted share reaches beyond `mass`
        const std::size_t middle = low + (high - low) / 2;
        const double reach =
            followers_[middle].up_to - discount * static_cast<double>(middle - followers.begin + 1);
        if (reach > mass) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low == followers.end) return std::nullopt;
    return followers_[low].piece;
}

NgramModel::Piece NgramModel::sample(const Context& context, Random& random) const noexcept {
    for (std::size_t length = context_size; length > 0; --length) {
        if (context[context_size - length] == 0) continue;  // there is no text that far back
        const auto* followers = find(context, length);
        if (followers == nullptr) continue;
        const auto piece = pick(*followers, random.unit() * followers->total, discount_of_contexts);
        if (piece) return *piece;
    }
    const auto& all = contexts_.front();  // the empty context has the lowest key
    return pick(all, random.unit() * all.total, 0.0).value_or(followers_[all.begin].piece);
}

double NgramModel::probability(std::span<const std::string> context, std::string_view piece) const {
    const auto known = index_.find(std::string{piece});
    if (known == index_.end()) return 0.0;
    Context latest{};
    for (const auto& before : context.last(std::min(context.size(), context_size))) {
        std::ranges::rotate(latest, latest.begin() + 1);
        latest.back() = fold(before);
    }
    double result = 0.0;
    for (std::size_t length = 0; length <= std::min(context.size(), context_size); ++length) {
        const auto* followers = find(latest, length);
        if (followers == nullptr) continue;
        const double discount = length == 0 ? 0.0 : discount_of_contexts;
        const auto begin = followers_.begin() + static_cast<std::ptrdiff_t>(followers->begin);
        const auto end = followers_.begin() + static_cast<std::ptrdiff_t>(followers->end);
        const auto at = std::lower_bound(begin, end, known->second, [](const Follower& a, Piece b) {
            return a.piece < b;
        });
        double share = 0.0;
        if (at != end && at->piece == known->second) {
            share = at->up_to - (at == begin ? 0.0 : std::prev(at)->up_to) - discount;
        }
        const double given_away = discount * static_cast<double>(followers->end - followers->begin);
        result = (share + given_away * result) / followers->total;
    }
    return result;
}

NgramModel::Continuation NgramModel::continue_from(std::string_view prompt, std::uint64_t seed)
    const {
    return Continuation{*this, prompt, seed};
}

NgramModel::Continuation::Continuation(
    const NgramModel& model, std::string_view prompt, std::uint64_t seed
)
    : model_{&model},
      random_{begin_of(prompt, seed)},
      blank_{!prompt.empty() && !is_blank(prompt.back()) && prompt.back() != '('} {
    push(model.fold("."));  // as after the end of a sentence
    for (const auto& piece : split_pieces(prompt)) push(model.fold(piece));
}

void NgramModel::Continuation::push(Folded folded) noexcept {
    std::ranges::rotate(context_, context_.begin() + 1);
    context_.back() = folded;
}

std::string NgramModel::Continuation::next() {
    const auto number = model_->sample(context_, random_);
    push(model_->folded_[number]);
    const auto& piece = model_->pieces_[number];
    const bool closes = is_mark(piece.front()) && piece.front() != '(';
    const bool blank = blank_ && !closes;
    blank_ = piece.front() != '(';
    return blank ? " " + piece : piece;
}

}  // namespace stator::llm
