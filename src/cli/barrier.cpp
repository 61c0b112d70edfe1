#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/chosen_store.hpp"
#include "cli/commands.hpp"
#include "cli/frame.hpp"
#include "cli/line_writer.hpp"
#include "stator/store/group_barrier.hpp"

namespace stator::cli {

namespace {

using nlohmann::ordered_json;
using Store = std::shared_ptr<store::KeyValueStore>;

store::BarrierOptions options_of(const BarrierArguments& arguments) {
    return {.ttl = arguments.ttl, .deadline = Deadline::in(arguments.timeout)};
}

std::string line_of(const ordered_json& object) {
    return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

Task<std::string> lead(Store store, BarrierArguments arguments) {
    const auto workers = co_await store::lead_barrier(
        std::move(store), arguments.name, arguments.workers, arguments.data, options_of(arguments)
    );
    if (arguments.json)
        co_return line_of({{"barrier", arguments.name}, {"role", "leader"}, {"workers", workers}});
    std::string text;
    for (const auto& worker : workers) text += worker + "\n";
    co_return text;
}

Task<std::string> join(Store store, BarrierArguments arguments) {
    const auto data = co_await store::join_barrier(
        std::move(store), arguments.name, arguments.worker, options_of(arguments)
    );
    if (!arguments.json) co_return data + "\n";
    co_return line_of(
        {{"barrier", arguments.name},
         {"role", "worker"},
         {"worker", arguments.worker},
         {"data", data}}
    );
}

Task<std::optional<Failure>> take_part(Store store, BarrierArguments arguments) {
    const bool leads = arguments.workers != 0;
    const auto text = co_await (
        leads ? lead(std::move(store), std::move(arguments))
              : join(std::move(store), std::move(arguments))
    );
    if (auto printed = print(text); !printed) co_return Failure{status_failed, printed.error()};
    co_return std::nullopt;
}

}  // namespace

int barrier(const BarrierArguments& arguments) {
    return run_with_store(arguments.store, {}, [&](ChosenStore chosen) {
        return take_part(std::move(chosen.store), arguments);
    });
}

}  // namespace stator::cli
