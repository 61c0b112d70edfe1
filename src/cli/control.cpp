#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/frame.hpp"
#include "cli/line_writer.hpp"
#include "stator/codec/json.hpp"

namespace stator::cli {

namespace {

using discovery::Instance;

bool is_meant(const ControlArguments& arguments, const Instance& instance) {
    if (arguments.process) return instance.id == arguments.process;
    return instance.endpoint == arguments.endpoint &&
           (!arguments.instance || instance.id == arguments.instance);
}

Error nobody(const ControlArguments& arguments) {
    std::string what = fmt::format("instance {}", arguments.process.to_string());
    if (arguments.endpoint) what = arguments.endpoint->to_string();
    if (arguments.instance)
        what = fmt::format("instance {} of {}", arguments.instance.to_string(), what);
    return Error{
        ErrorCode::not_found, "cli.not_registered", fmt::format("{} is not registered", what)
    };
}

/// The processes that serve what is meant, on line or off, by the addresses of their muxes.
Task<std::map<std::string, discovery::MuxAddress>> processes(
    DistributedRuntime cluster, ControlArguments arguments
) {
    auto all = co_await cluster.discovery().list_all();
    for (auto& drained : co_await cluster.discovery().list_drained())
        all.push_back(std::move(drained));
    std::map<std::string, discovery::MuxAddress> found;
    for (const auto& instance : all) {
        if (!is_meant(arguments, instance)) continue;
        if (!instance.mux) {
            throw Error{
                ErrorCode::unimplemented,
                "cli.no_mux",
                fmt::format("{} is no worker of ours: it takes no orders", instance.id.to_string())
            };
        }
        found.emplace(instance.mux->address, *instance.mux);
    }
    if (found.empty()) throw nobody(arguments);
    co_return found;
}

/// One line for each instance of an answer.
Result<std::string> lines_of(const std::string& report) {
    const auto answer = decode_json(report);
    if (!answer) return std::unexpected{answer.error()};
    const auto instances = answer->find("instances");
    std::string lines;
    for (std::size_t i = 0; instances != answer->end() && i < instances->size(); ++i) {
        const auto line = encode_json((*instances)[i]);
        if (!line) return std::unexpected{line.error()};
        lines += *line + "\n";
    }
    return lines;
}

Task<std::optional<Failure>> control_in(DistributedRuntime cluster, ControlArguments arguments) {
    const ControlRequest request{arguments.action, arguments.endpoint, arguments.instance};
    std::optional<Failure> failure;
    // One after the other: what the first has refused is seen before the last is off line.
    for (const auto& [address, mux] : co_await processes(cluster, arguments)) {
        const auto report = co_await as_result(cluster.control(mux, request));
        if (!report) {
            failure = Failure::of(report.error().with_context(fmt::format("asking {}", address)));
            break;
        }
        const auto lines = lines_of(*report);
        if (!lines) co_return Failure::of(lines.error());
        if (auto printed = print(*lines); !printed)
            co_return Failure{status_failed, printed.error()};
    }
    co_return failure;
}

}  // namespace

int control(const ControlArguments& arguments) {
    return run_in_cluster({}, [&](DistributedRuntime cluster) {
        return control_in(std::move(cluster), arguments);
    });
}

}  // namespace stator::cli
