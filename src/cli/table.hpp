// Text in columns.
#pragma once

#include <string>
#include <vector>

namespace stator::cli {

/// Each row on a line of its own, columns left-aligned and two spaces apart, no space at the end of
/// a line. Rows may have different lengths. Control characters are shown as \xNN, so that a cell
/// never breaks its line.
std::string aligned(const std::vector<std::vector<std::string>>& rows);

}  // namespace stator::cli
