// UTF-8 checking.
#pragma once

#include <string_view>

namespace stator::inline codec {

/// Whether `text` is well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) noexcept;

}  // namespace stator::inline codec
