#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/frame.hpp"
#include "cli/line_writer.hpp"
#include "cli/table.hpp"
#include "stator/settings/settings.hpp"

namespace stator::cli {

namespace {

std::string as_table(const std::vector<settings::Entry>& entries) {
    std::vector<std::vector<std::string>> rows{{"SETTING", "VALUE", "SOURCE"}};
    for (const auto& entry : entries) {
        rows.push_back({std::string{entry.name}, entry.value, entry.source});
    }
    return aligned(rows);
}

std::string as_json(const std::vector<settings::Entry>& entries) {
    auto array = nlohmann::ordered_json::array();
    for (const auto& entry : entries) {
        array.push_back({
            {"name", entry.name},
            {"value", entry.value},
            {"source", entry.source},
            {"description", entry.description},
        });
    }
    return array.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

int show_config(const ConfigArguments& arguments) {
    const auto settings = load_settings();
    if (!settings) return report(Failure::usage(settings.error()));
    const auto entries = settings::entries(*settings);
    const auto printed = print(arguments.json ? as_json(entries) : as_table(entries));
    return printed ? status_ok : report(Failure{status_failed, printed.error()});
}

}  // namespace stator::cli
