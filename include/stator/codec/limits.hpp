// What a decoder accepts at most.
#pragma once

#include <cstddef>

namespace stator::inline codec {

/// Nesting deeper than this is refused by every decoder and encoder, whatever its limits say: it
/// keeps recursion over a document safe.
inline constexpr std::size_t max_document_depth = 128;

/// The bounds of one decode. What is over one of them ends in a named error before memory is spent
/// on it.
struct DecodeLimits {
    std::size_t max_size = std::size_t{32} << 20U;  ///< bytes of the encoded document
    std::size_t max_depth =
        max_document_depth;              ///< nested arrays and maps; more than 128 means 128
    std::size_t max_values = 4'000'000;  ///< array items and map entries in all
};

}  // namespace stator::inline codec
