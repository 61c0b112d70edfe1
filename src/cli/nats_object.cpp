// stator nats object: files in and out of a bucket of NATS.
#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/frame.hpp"
#include "cli/line_writer.hpp"
#include "cli/table.hpp"
#include "stator/base/text.hpp"
#include "stator/nats/object_store.hpp"
#include "stator/nats/object_url.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::cli {

namespace {

using namespace std::chrono_literals;
using nats::ObjectInfo;
using nats::ObjectStore;
using nlohmann::ordered_json;

Error missing(const ObjectArguments& arguments) {
    return Error{
        ErrorCode::not_found,
        arguments.name.empty() ? "nats.bucket_missing" : "nats.object_missing",
        arguments.name.empty() ? fmt::format("there is no bucket {}", arguments.bucket)
                               : fmt::format(
                                     "there is no object {} in the bucket {}",
                                     quoted_text(arguments.name),
                                     arguments.bucket
                                 )
    };
}

ordered_json json_of(const ObjectInfo& object) {
    ordered_json made{
        {"name", object.name},
        {"bucket", object.bucket},
        {"size", object.size},
        {"chunks", object.chunks},
        {"digest", object.digest},
        {"modified", object.modified},
    };
    if (!object.link.empty()) made["link"] = object.link;
    return made;
}

/// One line; what is not UTF-8 is replaced.
std::string line_of(const ordered_json& document) {
    return document.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string table_of(const std::vector<ObjectInfo>& objects) {
    std::vector<std::vector<std::string>> rows{{"NAME", "SIZE", "CHUNKS", "MODIFIED"}};
    for (const auto& each : objects)
        rows.push_back(
            {each.name, std::to_string(each.size), std::to_string(each.chunks), each.modified}
        );
    return aligned(rows);
}

std::string text_of(const ObjectInfo& object, const std::string& server) {
    std::vector<std::vector<std::string>> rows{
        {"name", object.name},
        {"bucket", object.bucket},
        {"url", nats::ObjectUrl{server, object.bucket, object.name}.to_string()},
        {"size", fmt::format("{} bytes", object.size)},
        {"chunks", std::to_string(object.chunks)},
        {"digest", object.digest},
        {"modified", object.modified},
    };
    if (!object.link.empty()) rows.push_back({"link", object.link});
    return aligned(rows);
}

Task<std::string> list_objects(ObjectStore store, ObjectArguments arguments) {
    const auto objects = co_await store.list();
    if (!arguments.json) co_return table_of(objects);
    auto all = ordered_json::array();
    for (const auto& each : objects) all.push_back(json_of(each));
    co_return line_of(all);
}

Task<std::string> tell(ObjectStore store, ObjectArguments arguments, std::string server) {
    const auto object = co_await store.info(arguments.name);
    if (!object) throw missing(arguments);
    co_return arguments.json ? line_of(json_of(*object)) : text_of(*object, server);
}

Task<std::string> remove_object(ObjectStore store, ObjectArguments arguments) {
    const bool was_there = arguments.name.empty() ? co_await store.delete_bucket()
                                                  : co_await store.remove(arguments.name);
    if (!was_there) throw missing(arguments);
    ordered_json object{{"bucket", arguments.bucket}};
    if (!arguments.name.empty()) object["name"] = arguments.name;
    object["removed"] = true;
    co_return arguments.json ? line_of(object) : std::string{};
}

/// What is printed in the end.
Task<std::string> answer(
    ObjectStore store, ObjectArguments arguments, std::string server, BlockingPool* pool
) {
    using enum ObjectArguments::Action;
    if (arguments.action == list) co_return co_await list_objects(store, arguments);
    if (arguments.action == info) co_return co_await tell(store, arguments, server);
    if (arguments.action == remove) co_return co_await remove_object(store, arguments);
    const auto moved = arguments.action == put
                           ? co_await store.put_file(*pool, arguments.name, arguments.file)
                           : co_await store.get_file(*pool, arguments.name, arguments.file);
    co_return arguments.json ? line_of(json_of(moved)) : std::string{};
}

Task<std::optional<Failure>> work(
    Runtime runtime, nats::ClientOptions options, ObjectArguments arguments
) {
    const auto until = Deadline::in(arguments.timeout);
    options.startup_timeout = std::min(options.startup_timeout, arguments.timeout);
    const auto client =
        co_await nats::Client::connect(runtime.secondary().loop(0), std::move(options));
    const auto store = ObjectStore::at(client, {.bucket = arguments.bucket});
    auto text = store ? co_await as_result(with_deadline(
                            until, answer(*store, arguments, client.server(), &runtime.blocking())
                        ))
                      : Result<std::string>{std::unexpected{store.error()}};
    (void)co_await as_result(shielded(client.close(Deadline::in(1s))));
    if (!text) throw text.error();
    if (auto printed = print(*text); !printed) co_return Failure{status_failed, printed.error()};
    co_return std::nullopt;
}

}  // namespace

int nats_object(const ObjectArguments& arguments) {
    return run_in_runtime({}, [&](Runtime runtime, const settings::Settings& settings) {
        auto options = nats::ClientOptions::from_settings(settings.nats);
        if (!options) throw options.error();
        return work(std::move(runtime), std::move(*options), arguments);
    });
}

}  // namespace stator::cli
