// "Did you mean": the known word closest to an unknown one.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace stator::inline base {

/// Single-letter insertions, deletions, replacements and swaps of neighbours that turn `a` into
/// `b`. Only the first 128 bytes of each are compared.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The word of `known` with the smallest edit distance to `word`, the first of equals; nothing when
/// even that one differs in more than a third of its letters (or 2, whichever is more).
std::optional<std::string_view> nearest(
    std::string_view word, std::span<const std::string_view> known
);

}  // namespace stator::inline base
