#include "settings/kinds.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string>

namespace stator::settings {

namespace {

struct Unit {
    std::string_view name;
    std::int64_t factor;
};

// From large to small, so that the first that divides a value gives its shortest text.
constexpr std::array<Unit, 5> time_units{{
    {"h", 3'600'000'000'000},
    {"m", 60'000'000'000},
    {"s", 1'000'000'000},
    {"ms", 1'000'000},
    {"us", 1'000},
}};
constexpr std::array<Unit, 3> size_units{{
    {"GiB", 1 << 30},
    {"MiB", 1 << 20},
    {"KiB", 1 << 10},
}};

/// The factor of the unit that `text` ends with, which is cut off; `otherwise` if it ends with a
/// digit.
template <std::size_t count>
std::int64_t cut_unit(
    std::string_view& text, const std::array<Unit, count>& units, std::int64_t otherwise
) noexcept {
    const auto digits = text.find_last_of("0123456789.") + 1;
    for (const auto& unit : units) {
        if (text.substr(digits) != unit.name) continue;
        text.remove_suffix(unit.name.size());
        return unit.factor;
    }
    return otherwise;
}

template <class Value>
std::optional<Value> parse_whole(std::string_view text) noexcept {
    Value value{};
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) noexcept {
    return parse_whole<std::int64_t>(text);
}

std::optional<bool> parse_boolean(std::string_view text) {
    std::string word{text};
    std::ranges::transform(word, word.begin(), [](unsigned char letter) {
        return static_cast<char>(std::tolower(letter));
    });
    for (const auto* yes : {"1", "true", "on", "yes"}) {
        if (word == yes) return true;
    }
    for (const auto* no : {"0", "false", "off", "no"}) {
        if (word == no) return false;
    }
    return std::nullopt;
}

std::optional<Duration> parse_duration(std::string_view text) noexcept {
    const auto factor = cut_unit(text, time_units, 1'000'000'000);
    const auto value = parse_whole<double>(text);
    if (!value || !std::isfinite(*value)) return std::nullopt;
    const auto nanoseconds = *value * static_cast<double>(factor);
    if (std::abs(nanoseconds) >= 9e18) return std::nullopt;
    return Duration{std::llround(nanoseconds)};
}

std::optional<std::uint64_t> parse_size(std::string_view text) noexcept {
    const auto factor = static_cast<std::uint64_t>(cut_unit(text, size_units, 1));
    const auto value = parse_whole<std::uint64_t>(text);
    if (!value || *value > std::numeric_limits<std::uint64_t>::max() / factor) return std::nullopt;
    return *value * factor;
}

std::string show_duration(Duration value) {
    for (const auto& unit : time_units) {
        if (value.count() != 0 && value.count() % unit.factor == 0) {
            return fmt::format("{}{}", value.count() / unit.factor, unit.name);
        }
    }
    return fmt::format("{}s", static_cast<double>(value.count()) * 1e-9);
}

std::string show_size(std::uint64_t value) {
    for (const auto& unit : size_units) {
        const auto factor = static_cast<std::uint64_t>(unit.factor);
        if (value != 0 && value % factor == 0)
            return fmt::format("{}{}", value / factor, unit.name);
    }
    return fmt::format("{}", value);
}

std::vector<std::string> split_list(std::string_view text) {
    std::vector<std::string> items;
    while (!text.empty()) {
        const auto comma = std::min(text.find(','), text.size());
        auto item = text.substr(0, comma);
        const auto first = std::min(item.find_first_not_of(' '), item.size());
        item.remove_prefix(first);
        item = item.substr(0, item.find_last_not_of(' ') + 1);
        if (!item.empty()) items.emplace_back(item);
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return items;
}

std::string without_brackets(std::string_view text) {
    if (!text.starts_with('[') || !text.ends_with(']')) return std::string{text};
    std::string plain{text.substr(1, text.size() - 2)};
    std::erase(plain, '"');
    return plain;
}

}  // namespace stator::settings
