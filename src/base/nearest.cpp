#include "stator/base/nearest.hpp"

#include <algorithm>
#include <array>
#include <numeric>

namespace stator::inline base {

namespace {

constexpr std::size_t compared = 128;
using Row = std::array<std::size_t, compared + 1>;

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
    a = a.substr(0, compared);
    b = b.substr(0, compared);
    // The last three rows of the table: a swap of neighbours looks two rows up.
    std::array<Row, 3> rows{};
    std::iota(rows[0].begin(), rows[0].end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        auto& row = rows[i % 3];
        const auto& above = rows[(i + 2) % 3];
        const auto& two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = a[i - 1] == b[j - 1] ? 0 : 1;
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + replaced});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) row[j] = std::min(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a.size() % 3][b.size()];
}

std::optional<std::string_view> nearest(
    std::string_view word, std::span<const std::string_view> known
) {
    std::optional<std::string_view> best;
    std::size_t best_distance = 0;
    for (const auto candidate : known) {
        const auto distance = edit_distance(word, candidate);
        if (distance > std::max<std::size_t>(2, candidate.size() / 3)) continue;
        if (!best || distance < best_distance) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

}  // namespace stator::inline base
