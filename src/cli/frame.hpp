// What the commands that talk to a cluster have in common.
#pragma once

#include <functional>
#include <optional>

#include "cli/exit_status.hpp"
#include "stator/component/distributed_runtime.hpp"
#include "stator/settings/settings.hpp"

namespace stator::cli {

/// What a command does; nothing: it succeeded. Errors may also be thrown.
using Work = std::move_only_function<Task<std::optional<Failure>>(DistributedRuntime)>;

/// The settings of this process, complete enough for every command. Errors: those of
/// settings::load, and of the log filter.
Result<settings::Settings> load_settings();

struct Manners {
    /// Log warnings and errors only, unless DYN_LOG says otherwise: for commands whose user looks
    /// at stderr.
    bool quiet = true;
    /// SIGINT and SIGTERM are how the command is meant to end.
    bool ends_by_signal = false;
    /// Nobody is called: what only a request plane needs, such as NATS, is not connected.
    bool looks_only = false;
};

/// What a command does that needs no cluster.
using PlainWork =
    std::move_only_function<Task<std::optional<Failure>>(Runtime, const settings::Settings&)>;

/// As run_in_cluster, without a cluster.
int run_in_runtime(Manners manners, PlainWork work);

/// Loads the settings, runs `work` in a Worker, reports how it ended as the last line on stderr.
/// Returns the exit status.
int run_in_cluster(Manners manners, Work work);

}  // namespace stator::cli
