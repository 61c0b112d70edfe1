#include <cstdio>
#include <map>
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
using discovery::ModelRecord;
using discovery::ModelSummary;

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

/// A model whose card says too little is left out, as frontends leave it out.
std::vector<std::pair<ModelRecord, ModelSummary>> summarised(std::vector<ModelRecord> models) {
    std::vector<std::pair<ModelRecord, ModelSummary>> all;
    for (auto& model : models) {
        if (auto summary = discovery::summary_of(model))
            all.emplace_back(std::move(model), std::move(*summary));
    }
    return all;
}

std::string models_text(std::vector<ModelRecord> models, bool json) {
    std::vector<std::vector<std::string>> rows{
        {"MODEL", "NAMESPACE", "COMPONENT", "ENDPOINT", "INSTANCE", "TYPE", "INPUT"}
    };
    std::string text;
    for (const auto& [model, summary] : summarised(std::move(models))) {
        text += (text.empty() ? "" : ",") + discovery::to_listing(model, summary);
        rows.push_back(
            {summary.name,
             model.endpoint.namespace_,
             model.endpoint.component,
             model.endpoint.endpoint,
             model.id.to_string(),
             summary.model_type,
             summary.model_input}
        );
    }
    return json ? "[" + text + "]\n" : aligned(rows);
}

/// Sorted by key. On its way from one to the other an instance may be in both.
std::vector<Instance> with_drained(std::vector<Instance> all, std::vector<Instance> drained) {
    std::map<std::string, Instance> by_key;
    for (auto* instances : {&all, &drained}) {
        for (auto& instance : *instances) by_key.emplace(instance.key(), std::move(instance));
    }
    all.clear();
    for (auto& [key, instance] : by_key) all.push_back(std::move(instance));
    return all;
}

Task<std::string> listing(DistributedRuntime cluster, ListArguments arguments) {
    auto& discovery = cluster.discovery();
    if (arguments.models) co_return models_text(co_await discovery.list_models(), arguments.json);
    const auto instances =
        with_drained(co_await discovery.list_all(), co_await discovery.list_drained());
    co_return arguments.json ? as_json(instances) : as_table(instances);
}

Task<std::optional<Failure>> list_in(DistributedRuntime cluster, ListArguments arguments) {
    const auto text = co_await listing(std::move(cluster), arguments);
    if (auto printed = print(text); !printed) {
        co_return Failure{status_failed, printed.error()};
    }
    co_return std::nullopt;
}

}  // namespace

int list(const ListArguments& arguments) {
    return run_in_cluster({.looks_only = true}, [&](DistributedRuntime cluster) {
        return list_in(std::move(cluster), arguments);
    });
}

}  // namespace stator::cli
