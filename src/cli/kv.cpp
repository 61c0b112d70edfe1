#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/chosen_store.hpp"
#include "cli/commands.hpp"
#include "cli/frame.hpp"
#include "cli/line_writer.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/store/keys.hpp"
#include "stator/store/steady_watch.hpp"
#include "stator/store/watch_diff.hpp"

namespace stator::cli {

namespace {

using nlohmann::ordered_json;
using store::Entry;
using store::KeyChange;
using Store = std::shared_ptr<store::KeyValueStore>;

Deadline deadline_of(const KvArguments& arguments) {
    return arguments.timeout ? Deadline::in(*arguments.timeout) : Deadline::never();
}

/// One line; what is not UTF-8 is replaced.
std::string line_of(const ordered_json& object) {
    return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string line_of(const Entry& entry, const KvArguments& arguments) {
    if (!arguments.json)
        return arguments.prefix ? fmt::format("{} {}", entry.key, entry.value) : entry.value;
    return line_of(
        {{"key", entry.key},
         {"value", entry.value},
         {"revision", entry.revision},
         {"created", entry.created}}
    );
}

Error no_key(const std::string& key) {
    return Error{ErrorCode::not_found, "cli.no_key", fmt::format("there is no key {}", key)};
}

Task<std::string> get(Store store, KvArguments arguments) {
    std::string text;
    if (arguments.prefix) {
        for (const auto& entry : co_await store->list(arguments.key))
            text += line_of(entry, arguments) + "\n";
        co_return text;
    }
    const auto entry = co_await store->get(arguments.key);
    if (!entry) throw no_key(arguments.key);
    co_return line_of(*entry, arguments) + "\n";
}

/// A key that stays.
Task<std::string> put(ChosenStore chosen, KvArguments arguments) {
    if (const auto checked = store::split_key(arguments.key); !checked) throw checked.error();
    if (!chosen.put_lasting)
        throw Error{
            ErrorCode::unimplemented,
            "cli.no_lasting_keys",
            fmt::format(
                "keys of the {} store live as long as who wrote them; --hold writes one and stays",
                chosen.store->backend()
            )
        };
    const auto revision = co_await chosen.put_lasting(arguments.key, arguments.value);
    if (!arguments.json) co_return std::string{};
    co_return line_of({{"key", arguments.key}, {"revision", revision}}) + "\n";
}

Task<std::string> remove(Store store, KvArguments arguments) {
    if (!co_await store->remove(arguments.key)) throw no_key(arguments.key);
    const ordered_json object{{"key", arguments.key}, {"removed", true}};
    co_return arguments.json ? line_of(object) + "\n" : std::string{};
}

Task<std::string> answer(ChosenStore chosen, KvArguments arguments) {
    using enum KvArguments::Action;
    if (arguments.action == put) return cli::put(std::move(chosen), std::move(arguments));
    if (arguments.action == remove)
        return cli::remove(std::move(chosen.store), std::move(arguments));
    return cli::get(std::move(chosen.store), std::move(arguments));
}

std::string change_line(const KeyChange& change, bool json) {
    const bool put = change.kind == KeyChange::Kind::put;
    if (!json)
        return put ? fmt::format("put {} {}", change.key, change.value) : "removed " + change.key;
    ordered_json object{{"event", put ? "put" : "removed"}, {"key", change.key}};
    if (put) object["value"] = change.value;
    return line_of(object);
}

Task<> show_changes(Store store, KvArguments arguments, LineWriter* lines) {
    auto watch = co_await store::SteadyWatch::open(store, arguments.key);
    store::WatchDiff diff;
    for (bool first = true;; first = false) {
        auto event = co_await watch.next();
        if (!event) co_return;
        const auto changes = diff.apply(std::move(*event));
        for (const auto& change : changes) co_await lines->put(change_line(change, arguments.json));
        if (!first) continue;
        const ordered_json synced{{"event", "synced"}, {"keys", changes.size()}};
        co_await lines->put(arguments.json ? line_of(synced) : "synced");
    }
}

Task<> until_revoked(store::Lease lease) {
    for (auto state = lease.state(); state != store::LeaseState::revoked;)
        state = co_await lease.wait_for_change(state);
}

/// The key is there from the line "held" on until this is cancelled.
Task<> hold(Store store, KvArguments arguments, LineWriter* lines) {
    const auto lease =
        co_await store->grant_lease({.bound_to = co_await current_token(), .ttl = {}});
    co_await store->put(arguments.key, arguments.value, lease);
    const ordered_json held{{"event", "held"}, {"key", arguments.key}};
    co_await lines->put(arguments.json ? line_of(held) : "held " + arguments.key);
    co_await until_revoked(lease);
}

/// What goes on until it is cancelled, and says things meanwhile. The end of its time is its end.
Task<std::optional<Failure>> go_on(ChosenStore chosen, KvArguments arguments) {
    const auto token = (co_await current_token()).child_token();
    LineWriter lines{chosen.runtime.blocking(), STDOUT_FILENO, token};
    TaskScope writing;
    writing.spawn(lines.run());
    auto store = std::move(chosen.store);
    const auto deadline = deadline_of(arguments);
    auto work = arguments.hold ? hold(std::move(store), std::move(arguments), &lines)
                               : show_changes(std::move(store), std::move(arguments), &lines);
    const auto ended =
        co_await as_result(with_token(token, with_deadline(deadline, std::move(work))));
    const auto flushed = co_await as_result(lines.finish(Deadline::in(std::chrono::seconds{1})));
    co_await shielded(writing.join());
    if (!flushed) co_return Failure::of(flushed.error());
    if (!ended && ended.error().code() != ErrorCode::deadline_exceeded) throw ended.error();
    co_return std::nullopt;
}

Task<std::optional<Failure>> ask(ChosenStore chosen, KvArguments arguments) {
    const auto deadline = deadline_of(arguments);
    const auto text =
        co_await with_deadline(deadline, answer(std::move(chosen), std::move(arguments)));
    if (auto printed = print(text); !printed) co_return Failure{status_failed, printed.error()};
    co_return std::nullopt;
}

}  // namespace

int kv(const KvArguments& arguments) {
    const bool lasts = arguments.action == KvArguments::Action::watch || arguments.hold;
    return run_with_store(arguments.store, {.ends_by_signal = lasts}, [&](ChosenStore chosen) {
        return lasts ? go_on(std::move(chosen), arguments) : ask(std::move(chosen), arguments);
    });
}

}  // namespace stator::cli
