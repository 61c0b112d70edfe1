#include "stator/observe/log_filter.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include <fmt/format.h>

#include "stator/base/text.hpp"

namespace stator::observe {

namespace {

constexpr std::array<std::string_view, 6> levels{"trace", "debug", "info", "warn", "error", "off"};
static_assert(static_cast<std::size_t>(Severity::error) == 4, "the names above are in its order");

std::optional<int> parse_level(std::string_view text) {
    std::string word{text};
    std::ranges::transform(word, word.begin(), [](unsigned char letter) {
        return static_cast<char>(std::tolower(letter));
    });
    const auto found = std::ranges::find(levels, word);
    if (found == levels.end()) return std::nullopt;
    return static_cast<int>(found - levels.begin());
}

bool is_target(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](unsigned char letter) {
        return std::isalnum(letter) != 0 || letter == '_' || letter == '-' || letter == ':' ||
               letter == '.';
    });
}

std::string_view trimmed(std::string_view text) {
    const auto first = std::min(text.find_first_not_of(' '), text.size());
    text.remove_prefix(first);
    return text.substr(0, text.find_last_not_of(' ') + 1);
}

std::unexpected<Error> bad_part(std::string_view part) {
    auto message = fmt::format(
        "the log filter part {} is neither a level ({}) nor target=level",
        quoted_text(part),
        fmt::join(levels, ", ")
    );
    return fail(ErrorCode::invalid_request, "log.filter", std::move(message));
}

}  // namespace

Result<LogFilter> LogFilter::parse(std::string_view text) {
    LogFilter filter;
    filter.everything_ = static_cast<int>(Severity::error);
    while (!text.empty()) {
        const auto comma = std::min(text.find(','), text.size());
        const auto part = trimmed(text.substr(0, comma));
        text.remove_prefix(std::min(comma + 1, text.size()));
        if (part.empty()) continue;
        const auto equals = part.find('=');
        const auto target = trimmed(part.substr(0, equals));
        if (equals == std::string_view::npos) {
            if (const auto level = parse_level(part)) {
                filter.everything_ = *level;
                continue;
            }
        }
        const auto level = equals == std::string_view::npos
                               ? std::optional{0}
                               : parse_level(trimmed(part.substr(equals + 1)));
        if (!level || !is_target(target)) return bad_part(part);
        std::erase_if(filter.targets_, [&](const auto& known) { return known.first == target; });
        filter.targets_.emplace_back(target, *level);
    }
    std::ranges::sort(filter.targets_, std::ranges::greater{}, [](const auto& known) {
        return known.first.size();
    });
    return filter;
}

int LogFilter::level_for(std::string_view target) const noexcept {
    for (const auto& [name, level] : targets_) {
        if (!target.starts_with(name)) continue;
        if (target.size() == name.size() || target.substr(name.size()).starts_with("::"))
            return level;
    }
    return everything_;
}

bool LogFilter::allows(Severity severity, std::string_view target) const noexcept {
    return static_cast<int>(severity) >= level_for(target);
}

int LogFilter::threshold() const noexcept {
    auto lowest = everything_;
    for (const auto& known : targets_) lowest = std::min(lowest, known.second);
    return lowest;
}

}  // namespace stator::observe
