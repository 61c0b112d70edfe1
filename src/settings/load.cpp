#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "settings/table.hpp"
#include "stator/base/nearest.hpp"
#include "stator/base/sink.hpp"
#include "stator/base/text.hpp"
#include "stator/settings/settings.hpp"

namespace stator::settings {

namespace {

constexpr std::string_view log_target = "stator::settings";
constexpr std::string_view logging_file = "logging.toml";

class Loader {
public:
    Loader(const Environment& environment, const ResourceLimits& limits)
        : environment_{environment}, limits_{limits} {
        fit_threads();
        const auto temporary = environment.get("TMPDIR").value_or("/tmp");
        settings_.discovery.file_root = fmt::format("{}/dynamo_store_kv", temporary);
    }

    Result<Settings> load();

private:
    void fit_threads();
    void fit_memory();
    bool is_given(const std::string& key) const { return settings_.sources.contains(key); }
    Result<void> read_folder(const std::filesystem::path& folder);
    Result<void> read_settings(const std::string& path);
    Result<void> read_logging(const std::string& path);
    Result<void> read_variables();
    void warn_of_unknown_variables() const;
    Result<void> assign(const Key& key, const Given& given);
    Result<void> check_together() const;

    const Environment& environment_;
    const ResourceLimits limits_;
    Settings settings_;
    std::string log_level_ = "info";
    std::map<std::string, std::string> log_targets_;
};

std::unexpected<Error> bad_value(std::string message) {
    return fail(ErrorCode::invalid_request, "settings.value", std::move(message));
}

const Key* find_key(std::string_view name) {
    for (const auto& key : all_keys()) {
        if (key.name == name || (!key.flat_name.empty() && key.flat_name == name)) return &key;
    }
    return nullptr;
}

std::unexpected<Error> unknown_key(const Given& given, std::span<const std::string_view> known) {
    auto message = fmt::format("{}: unknown key {}", given.source, quoted_text(given.name));
    if (const auto near = nearest(given.name, known))
        message += fmt::format(", did you mean \"{}\"?", *near);
    return fail(ErrorCode::invalid_request, "settings.unknown_key", std::move(message));
}

std::vector<std::string_view> known_keys() {
    std::vector<std::string_view> names;
    for (const auto& key : all_keys()) {
        names.push_back(key.name);
        if (!key.flat_name.empty()) names.push_back(key.flat_name);
    }
    return names;
}

std::string shown_value(const Given& given) {
    if (given.form == Form::list) return fmt::format("[{}]", fmt::join(given.items, ", "));
    return given.form == Form::other ? "(a table, date or mixed list)" : quoted_text(given.text);
}

/// The *.toml of a folder by name, without hidden ones; none if there is no such folder.
Result<std::vector<std::filesystem::path>> toml_files(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    std::error_code code;
    std::filesystem::directory_iterator entries{folder, code};
    for (; !code && entries != std::filesystem::directory_iterator{}; entries.increment(code)) {
        const auto& path = entries->path();
        const bool hidden = path.filename().native().starts_with('.');
        if (!hidden && path.extension() == ".toml") files.push_back(path);
    }
    const bool absent =
        code == std::errc::no_such_file_or_directory || code == std::errc::not_a_directory;
    if (code && !absent) {
        auto message = fmt::format("cannot read {}: {}", folder.native(), code.message());
        return fail(ErrorCode::invalid_request, "settings.file", std::move(message));
    }
    std::ranges::sort(files);
    return files;
}

constexpr auto from_control_group = "control group";

/// Defaults for less than the whole machine. Whatever is given counts all the same.
void Loader::fit_threads() {
    auto& runtime = settings_.runtime;
    if (const auto cores = usable_cores(limits_); cores < runtime.num_worker_threads) {
        runtime.num_worker_threads = cores;
        runtime.max_blocking_threads = cores;
        runtime.compute_threads = cores / 2;
        for (const auto* key :
             {"runtime.num_worker_threads",
              "runtime.max_blocking_threads",
              "runtime.compute_threads"})
            settings_.sources[key] = from_control_group;
    }
}

/// Once everything else is read: a quarter of the memory for messages on their way; in any case
/// enough for the largest one, and for what is given.
void Loader::fit_memory() {
    if (!limits_.memory || is_given("mux.process_memory_limit")) return;
    auto& mux = settings_.mux;
    const bool budget_given = is_given("mux.large_message_budget");
    const auto needed = budget_given ? mux.large_message_budget : mux.max_message_size;
    const auto share = std::max(*limits_.memory / 4, 2 * needed);
    if (share >= mux.process_memory_limit) return;
    mux.process_memory_limit = share;
    settings_.sources["mux.process_memory_limit"] = from_control_group;
    if (!budget_given && mux.large_message_budget > share / 2) {
        mux.large_message_budget = share / 2;
        settings_.sources["mux.large_message_budget"] = from_control_group;
    }
}

Result<Settings> Loader::load() {
    const std::filesystem::path root{environment_.get(root_variable).value_or("/opt/dynamo")};
    for (const auto* folder : {"defaults", "etc"}) {
        if (auto read = read_folder(root / folder); !read)
            return std::unexpected{std::move(read).error()};
    }
    if (const auto path = environment_.get(logging_path_variable)) {
        if (auto read = read_logging(std::string{*path}); !read)
            return std::unexpected{std::move(read).error()};
    }
    if (auto read = read_variables(); !read) return std::unexpected{std::move(read).error()};
    fit_memory();
    if (auto good = check_together(); !good) return std::unexpected{std::move(good).error()};
    warn_of_unknown_variables();
    return std::move(settings_);
}

Result<void> Loader::read_folder(const std::filesystem::path& folder) {
    const auto files = toml_files(folder);
    if (!files) return std::unexpected{files.error()};
    for (const auto& path : *files) {
        auto read = path.filename() == logging_file ? read_logging(path) : read_settings(path);
        if (!read) return read;
    }
    return {};
}

Result<void> Loader::read_settings(const std::string& path) {
    const auto values = read_toml(path);
    if (!values) return std::unexpected{values.error()};
    std::set<const Key*> seen;
    for (const auto& given : *values) {
        if (is_foreign_key(given.name)) {
            const auto message = fmt::format("{}: {} has no effect here", given.source, given.name);
            sink().report(Severity::warn, log_target, message);
            continue;
        }
        const auto* key = find_key(given.name);
        if (key == nullptr) return unknown_key(given, known_keys());
        if (!seen.insert(key).second)
            return bad_value(fmt::format("{}: {} is given twice", given.source, key->name));
        if (auto assigned = assign(*key, given); !assigned) return assigned;
    }
    return {};
}

/// `log_level = "info"`, `[log_filters]` with target = level, and the keys of the section logging
/// without its name.
Result<void> Loader::read_logging(const std::string& path) {
    constexpr std::string_view section = "logging.";
    constexpr std::string_view targets = "log_filters.";
    auto values = read_toml(path);
    if (!values) return std::unexpected{values.error()};
    bool composed = false;
    for (auto& given : *values) {
        const bool is_target = given.name.starts_with(targets);
        if (is_target || given.name == "log_level") {
            if (given.form != Form::text) {
                return bad_value(fmt::format(
                    "{}: {} = {}: expected a level", given.source, given.name, shown_value(given)
                ));
            }
            (is_target ? log_targets_[given.name.substr(targets.size())] : log_level_) = given.text;
            composed = true;
            continue;
        }
        const auto* key = find_key(fmt::format("{}{}", section, given.name));
        if (key == nullptr) {
            constexpr std::string_view known[] = {
                "log_level", "log_filters", "filter", "jsonl", "ansi", "local_time"
            };
            return unknown_key(given, known);
        }
        if (auto assigned = assign(*key, given); !assigned) return assigned;
    }
    if (composed) {
        settings_.logging.filter = log_level_;
        for (const auto& [target, level] : log_targets_)
            settings_.logging.filter += fmt::format(",{}={}", target, level);
        settings_.sources["logging.filter"] = path;
    }
    return {};
}

Result<void> Loader::read_variables() {
    for (const auto& key : all_keys()) {
        for (const auto variable : key.variables) {
            const auto text = environment_.get(variable);
            if (!text) continue;
            const Given given{
                .name = std::string{variable},
                .form = Form::text,
                .text = std::string{*text},
                .items = {},
                .source = fmt::format("environment {}", variable),
                .from_variable = true
            };
            if (auto assigned = assign(key, given); !assigned) return assigned;
            break;
        }
    }
    return {};
}

Result<void> Loader::assign(const Key& key, const Given& given) {
    if (!key.kind.assign(settings_, given)) {
        return bad_value(fmt::format(
            "{}: {} = {}: expected {}",
            given.source,
            key.name,
            shown_value(given),
            key.kind.expected
        ));
    }
    settings_.sources[std::string{key.name}] = given.source;
    return {};
}

/// What bounds of single values cannot say.
Result<void> Loader::check_together() const {
    const auto ordered = [this](
                             std::string_view small, auto low, std::string_view large, auto high
                         ) -> Result<void> {
        if (low <= high) return {};
        return bad_value(fmt::format(
            "{} ({}) is more than {} ({})",
            small,
            settings_.source_of(small),
            large,
            settings_.source_of(large)
        ));
    };
    const auto& mux = settings_.mux;
    for (const auto& good : {
             ordered("mux.ping_after", mux.ping_after, "mux.suspect_after", mux.suspect_after),
             ordered("mux.suspect_after", mux.suspect_after, "mux.lost_after", mux.lost_after),
             ordered(
                 "mux.least_stream_window",
                 mux.least_stream_window,
                 "mux.most_stream_window",
                 mux.most_stream_window
             ),
             ordered(
                 "mux.most_stream_window",
                 mux.most_stream_window,
                 "mux.connection_window",
                 mux.connection_window
             ),
             ordered(
                 "mux.stream_window",
                 mux.stream_window,
                 "mux.connection_window",
                 mux.connection_window
             ),
             ordered(
                 "mux.connection_window",
                 mux.connection_window,
                 "mux.memory_limit",
                 mux.memory_limit
             ),
             ordered(
                 "mux.max_message_size",
                 mux.max_message_size,
                 "mux.large_message_budget",
                 mux.large_message_budget
             ),
             ordered(
                 "mux.large_message_budget",
                 mux.large_message_budget,
                 "half of mux.process_memory_limit",
                 mux.process_memory_limit / 2
             ),
         }) {
        if (!good) return good;
    }
    return {};
}

void Loader::warn_of_unknown_variables() const {
    std::vector<std::string_view> known{root_variable, logging_path_variable};
    for (const auto& key : all_keys())
        known.insert(known.end(), key.variables.begin(), key.variables.end());
    std::vector<std::string_view> foreign;
    for (const auto& [name, value] : environment_.variables()) {
        if (!name.starts_with("DYN_") || std::ranges::find(known, name) != known.end()) continue;
        if (is_foreign_variable(name)) {
            foreign.push_back(name);
            continue;
        }
        auto message = fmt::format("unknown variable {}", name);
        if (const auto near = nearest(name, known))
            message += fmt::format(", did you mean {}?", *near);
        sink().report(Severity::warn, log_target, message);
    }
    if (foreign.empty()) return;
    sink().report(
        Severity::warn, log_target, fmt::format("without effect here: {}", fmt::join(foreign, ", "))
    );
}

}  // namespace

Result<Settings> load(const Environment& environment, const ResourceLimits& limits) {
    return Loader{environment, limits}.load();
}

Result<Settings> load_from_process() { return load(Environment::of_process(), resource_limits()); }

}  // namespace stator::settings
