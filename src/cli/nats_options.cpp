#include "cli/nats_options.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace stator::cli {

namespace {

using namespace std::chrono_literals;

constexpr double longest_time = 30.0 * 24 * 3600;  // seconds
constexpr Duration info_time = 10s;
constexpr Duration transfer_time = 1min;

std::unexpected<Error> usage(std::string message) {
    return fail(ErrorCode::invalid_request, "cli.usage", std::move(message));
}

Result<Duration> timeout_of(const RawNatsOptions& raw, Duration otherwise) {
    if (!raw.timeout) return otherwise;
    if (!(*raw.timeout > 0 && *raw.timeout <= longest_time))
        return usage(fmt::format(
            "--timeout must be above 0 and at most {} seconds, not {}", longest_time, *raw.timeout
        ));
    const auto time = std::chrono::duration<double>{*raw.timeout};
    return std::max(std::chrono::duration_cast<Duration>(time), Duration{1});
}

CLI::App* add_object(CLI::App& object, const char* name, const char* about, RawNatsOptions& raw) {
    auto* command = object.add_subcommand(name, about);
    command->add_option("bucket", raw.bucket, "The bucket")->required();
    command->add_option("--timeout", raw.timeout, "Seconds for all of it (60)");
    command->add_flag("--json", raw.json, "JSON");
    return command;
}

}  // namespace

void add_nats_commands(CLI::App& app, RawNatsOptions& raw) {
    auto* nats = app.add_subcommand("nats", "Look at the NATS server, and at its objects");
    nats->require_subcommand(1);
    auto* server = nats->add_subcommand("info", "Tell what it is, how far, and who serves there");
    server->add_flag("--json", raw.json, "One JSON object");
    server->add_option("--timeout", raw.timeout, "Seconds to try (10)");
    auto* object = nats->add_subcommand("object", "Files in a bucket of JetStream");
    object->require_subcommand(1);
    auto* put = add_object(*object, "put", "Store a file, instead of an older object", raw);
    put->add_option("name", raw.name, "The object")->required();
    put->add_option("file", raw.file, "The file")->required();
    auto* get = add_object(*object, "get", "Write an object to a file", raw);
    get->add_option("name", raw.name, "The object")->required();
    get->add_option("file", raw.file, "The file, which is replaced")->required();
    add_object(*object, "ls", "List the objects", raw);
    auto* remove = add_object(*object, "rm", "Remove an object", raw);
    remove->add_option("name", raw.name, "The object");
    remove->add_flag("--all", raw.all, "Instead: the bucket with all that is in it");
    auto* info = add_object(*object, "info", "Tell what an object is", raw);
    info->add_option("name", raw.name, "The object")->required();
}

Result<NatsInfoArguments> nats_info_arguments(const RawNatsOptions& raw) {
    const auto timeout = timeout_of(raw, info_time);
    if (!timeout) return std::unexpected{timeout.error()};
    return NatsInfoArguments{raw.json, *timeout};
}

Result<ObjectArguments> object_arguments(const RawNatsOptions& raw, const CLI::App& object) {
    const auto chosen = object.get_subcommands();
    const std::string name = chosen.empty() ? "" : chosen.front()->get_name();
    using enum ObjectArguments::Action;
    const auto action = name == "put"    ? put
                        : name == "get"  ? get
                        : name == "rm"   ? remove
                        : name == "info" ? info
                                         : list;
    if (action == remove && raw.all != raw.name.empty())
        return usage("give either the name of an object or --all");
    const auto timeout = timeout_of(raw, transfer_time);
    if (!timeout) return std::unexpected{timeout.error()};
    return ObjectArguments{action, raw.bucket, raw.name, raw.file, raw.json, *timeout};
}

}  // namespace stator::cli
