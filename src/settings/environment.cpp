#include "stator/settings/environment.hpp"

#include <unistd.h>

namespace stator::settings {

Environment Environment::of_process() {
    std::map<std::string, std::string, std::less<>> variables;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text{*entry};
        const auto equals = text.find('=');
        if (equals == std::string_view::npos) continue;
        variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return Environment{std::move(variables)};
}

std::optional<std::string_view> Environment::get(std::string_view name) const noexcept {
    const auto found = variables_.find(name);
    if (found == variables_.end()) return std::nullopt;
    constexpr std::string_view space = " \t\r\n";
    std::string_view value = found->second;
    const auto first = value.find_first_not_of(space);
    if (first == std::string_view::npos) return std::nullopt;
    return value.substr(first, value.find_last_not_of(space) - first + 1);
}

}  // namespace stator::settings
