// Foreign text made safe to show in one line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace stator::inline base {

/// `text` in double quotes, fit for an error message: at most `limit` bytes of it are shown (then
/// "..."), control characters, quotes, backslashes and bytes outside ASCII appear as \xNN.
std::string quoted_text(std::string_view text, std::size_t limit = 64);

}  // namespace stator::inline base
