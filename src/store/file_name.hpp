// How a key is written as a file name.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace stator::store {

/// The longest name a Linux file system takes.
inline constexpr std::size_t max_file_name_size = 255;

/// Every byte that is no ASCII letter or digit becomes %XX, upper case: "a/b-c" is "a%2Fb%2Dc".
std::string encode_file_name(std::string_view rest);
/// The text that `encode_file_name` writes so; nothing for a name that it would not have written.
std::optional<std::string> decode_file_name(std::string_view name);

/// A name for a file that is being written: ".tmp_" and 16 hex digits.
std::string temporary_name();
bool is_temporary_name(std::string_view name) noexcept;

}  // namespace stator::store
