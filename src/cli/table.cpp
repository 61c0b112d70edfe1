#include "cli/table.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include <fmt/format.h>

namespace stator::cli {

namespace {

std::string shown(std::string_view cell) {
    std::string text;
    for (const char letter : cell) {
        const auto byte = static_cast<unsigned char>(letter);
        if (byte < 0x20 || byte == 0x7f) {
            text += fmt::format("\\x{:02x}", byte);
        } else {
            text += letter;
        }
    }
    return text;
}

}  // namespace

std::string aligned(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::vector<std::string>> cells;
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        auto& line = cells.emplace_back();
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) {
            line.push_back(shown(row[i]));
            widths[i] = std::max(widths[i], line.back().size());
        }
    }
    std::string text;
    for (const auto& line : cells) {
        std::string padding;
        for (std::size_t i = 0; i < line.size(); ++i) {
            if (line[i].empty()) {
                padding.append(widths[i] + 2, ' ');
                continue;
            }
            text += padding + line[i];
            padding.assign(widths[i] - line[i].size() + 2, ' ');
        }
        text += '\n';
    }
    return text;
}

}  // namespace stator::cli
