#include "stator/settings/settings.hpp"

#include <fmt/format.h>

#include "settings/table.hpp"

namespace stator::settings {

std::string_view Settings::source_of(std::string_view name) const noexcept {
    const auto found = sources.find(name);
    return found == sources.end() ? std::string_view{"default"} : std::string_view{found->second};
}

std::vector<Entry> entries(const Settings& settings) {
    std::vector<Entry> list;
    for (const auto& key : all_keys()) {
        list.push_back(
            {.name = key.name,
             .value = key.kind.show(settings),
             .source = std::string{settings.source_of(key.name)},
             .description = key.description}
        );
    }
    return list;
}

std::string summary(const Settings& settings) {
    std::string line;
    for (const auto& entry : entries(settings)) {
        if (!settings.sources.contains(entry.name)) continue;
        line += fmt::format("{}={} ({}), ", entry.name, entry.value, entry.source);
    }
    return line + (line.empty() ? "all at their defaults" : "the others at their defaults");
}

std::string reference_table() {
    std::string table =
        "| setting | variable | value | default | meaning |\n|---|---|---|---|---|\n";
    const Settings defaults;
    for (const auto& key : all_keys()) {
        auto name = fmt::format("`{}`", key.name);
        if (!key.flat_name.empty()) name += fmt::format("<br>`{}`", key.flat_name);
        const auto usual = key.default_text.empty() ? fmt::format("`{}`", key.kind.show(defaults))
                                                    : std::string{key.default_text};
        table += fmt::format(
            "| {} | `{}` | {} | {} | {} |\n",
            name,
            fmt::join(key.variables, "`<br>`"),
            key.kind.expected,
            usual,
            key.description
        );
    }
    return table;
}

}  // namespace stator::settings
