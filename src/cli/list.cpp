#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/frame.hpp"
#include "cli/line_writer.hpp"
#include "cli/table.hpp"

namespace stator::cli {

namespace {

using discovery::Instance;

std::string as_json(const std::vector<Instance>& instances) {
    std::string text = "[";
    for (const auto& instance : instances) {
        if (text.size() > 1) text += ',';
        text += discovery::to_listing(instance);
    }
    return text + "]\n";
}

std::string as_table(const std::vector<Instance>& instances) {
    std::vector<std::vector<std::string>> rows{
        {"NAMESPACE", "COMPONENT", "ENDPOINT", "INSTANCE", "STATE", "TRANSPORTS"}
    };
    for (const auto& instance : instances) {
        auto transports =
            fmt::format("{} {}", to_string(instance.transport.kind), instance.transport.address);
        if (instance.mux) transports += fmt::format("  mux {}", instance.mux->address);
        rows.push_back({
            instance.endpoint.namespace_,
            instance.endpoint.component,
            instance.endpoint.endpoint,
            instance.id.to_string(),
            instance.draining() ? "draining" : "ready",
            std::move(transports),
        });
    }
    return aligned(rows);
}

Task<std::optional<Failure>> list_in(DistributedRuntime cluster, bool json) {
    const auto instances = co_await cluster.discovery().list_all();
    if (auto printed = print(json ? as_json(instances) : as_table(instances)); !printed) {
        co_return Failure{status_failed, printed.error()};
    }
    co_return std::nullopt;
}

}  // namespace

int list(const ListArguments& arguments) {
    return run_in_cluster({}, [&](DistributedRuntime cluster) {
        return list_in(std::move(cluster), arguments.json);
    });
}

}  // namespace stator::cli
