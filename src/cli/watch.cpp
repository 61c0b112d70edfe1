#include <unistd.h>

#include "cli/commands.hpp"
#include "cli/frame.hpp"
#include "cli/line_writer.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator::cli {

namespace {

Task<> show_events(DistributedRuntime cluster, std::string prefix, LineWriter* lines) {
    auto events = cluster.discovery().watch_all(std::move(prefix));
    while (const auto event = co_await events.next())
        co_await lines->put(discovery::to_json(*event));
}

Task<std::optional<Failure>> watch_in(DistributedRuntime cluster, std::string prefix) {
    const auto token = (co_await current_token()).child_token();
    LineWriter lines{cluster.runtime().blocking(), STDOUT_FILENO, token};
    TaskScope writing;
    writing.spawn(lines.run());
    const auto ended =
        co_await as_result(with_token(token, show_events(cluster, std::move(prefix), &lines)));
    const auto flushed = co_await as_result(lines.finish(Deadline::in(std::chrono::seconds{1})));
    co_await shielded(writing.join());
    if (!flushed) co_return Failure::of(flushed.error());
    if (!ended) throw ended.error();
    co_return std::nullopt;
}

}  // namespace

int watch(const WatchArguments& arguments) {
    return run_in_cluster(
        {.ends_by_signal = true, .looks_only = true},
        [&](DistributedRuntime cluster) { return watch_in(std::move(cluster), arguments.prefix); }
    );
}

}  // namespace stator::cli
