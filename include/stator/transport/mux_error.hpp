// Errors as they travel on the multiplexed plane: the error block of ERROR, RESET and GOODBYE.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/error.hpp"

namespace stator::transport::mux {

inline constexpr std::size_t max_error_context = 16;
inline constexpr std::size_t max_error_detail_size = 128;
inline constexpr std::size_t max_error_message_size = 4096;
inline constexpr std::size_t max_error_line_size = 512;

/// The block for `error`; null: the block of class 0, an end without an error. Longer texts are cut
/// at a character boundary, causes are appended to the message, surplus outer context is dropped.
std::vector<std::byte> encode_error(const Error* error);

/// The error in `block`, nothing for class 0; protocol, detail "mux.bad_error" for a defective
/// block. Bytes that are not UTF-8 and control characters read as '?'.
Result<std::optional<Error>> decode_error(std::span<const std::byte> block);

/// A peer's text made fit for logs and JSON: what is not UTF-8 and control characters become '?'.
std::string clean_text(std::string_view text);

}  // namespace stator::transport::mux
