#include "cli/store_options.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "stator/base/text.hpp"

namespace stator::cli {

namespace {

constexpr double longest_time = 30.0 * 24 * 3600;  // seconds
constexpr std::int64_t most_workers = 100'000;
constexpr Duration call_timeout = std::chrono::seconds{10};
constexpr Duration barrier_timeout = std::chrono::minutes{1};

std::unexpected<Error> usage(std::string message) {
    return fail(ErrorCode::invalid_request, "cli.usage", std::move(message));
}

Result<std::optional<Duration>> time_of(
    std::string_view option, const std::optional<double>& seconds
) {
    if (!seconds) return std::nullopt;
    if (!(*seconds > 0 && *seconds <= longest_time))
        return usage(fmt::format(
            "{} must be above 0 and at most {} seconds, not {}", option, longest_time, *seconds
        ));
    const auto time = std::chrono::duration<double>{*seconds};
    return std::max(std::chrono::duration_cast<Duration>(time), Duration{1});
}

/// What is there by that name. What a bucket is to be like is the command's to say.
Result<StoreChoice> store_of(const RawStoreOptions& raw) {
    StoreChoice choice;
    if (!raw.store.empty() && raw.store != "discovery" && raw.store != "nats")
        return usage(fmt::format("--store is discovery or nats, not {}", quoted_text(raw.store)));
    choice.nats = raw.store == "nats";
    if (!raw.bucket) return choice;
    if (!choice.nats) return usage("--bucket goes with --store nats");
    choice.bucket = *raw.bucket;
    return choice;
}

void add_store_choice(CLI::App& app, RawStoreOptions& raw) {
    app.add_option("--store", raw.store, "discovery (default) or nats: a bucket of JetStream");
    app.add_option("--bucket", raw.bucket, "With --store nats: its name (stator)");
}

void add_times(CLI::App& app, RawStoreOptions& raw, const char* timeout) {
    app.add_option("--timeout", raw.timeout, timeout);
    app.add_option("--ttl", raw.ttl, "Seconds until others stop waiting for one that died");
}

void add_kv(CLI::App& app, RawStoreOptions& raw) {
    auto* kv = app.add_subcommand("kv", "Look at the keys of the discovery store, change them");
    kv->require_subcommand(1);
    auto* get = kv->add_subcommand("get", "Print the value of a key");
    get->add_option("key", raw.key, "v1/bucket/name")->required();
    get->add_flag("--prefix", raw.prefix, "Every key that begins so, with its value");
    auto* put = kv->add_subcommand("put", "Write a key");
    put->add_option("key", raw.key, "v1/bucket/name")->required();
    put->add_option("value", raw.value, "The value")->required();
    put->add_flag("--hold", raw.hold, "Keep it there while this runs, and no longer");
    auto* del = kv->add_subcommand("del", "Remove a key");
    del->add_option("key", raw.key, "v1/bucket/name")->required();
    auto* watch = kv->add_subcommand("watch", "Show keys and their changes");
    watch->add_option("prefix", raw.key, "The beginning of keys: v1/bucket/...")->required();
    for (auto* command : {get, put, del, watch}) {
        const bool lasts = command == watch;
        command->add_option(
            "--timeout", raw.timeout, lasts ? "Seconds to watch" : "Seconds to try, or to hold (10)"
        );
        command->add_flag("--json", raw.json, "JSON, one line for each key or change");
        add_store_choice(*command, raw);
    }
}

}  // namespace

void add_store_commands(CLI::App& app, RawStoreOptions& raw) {
    add_kv(app, raw);
    auto* lock = app.add_subcommand("lock", "Run a command while holding a lock");
    lock->add_option("name", raw.name, "The lock")->required();
    lock->add_option("command", raw.command, "After --: the command and its arguments")->required();
    lock->add_flag("--shared", raw.shared, "Share it with others who do");
    add_times(*lock, raw, "Seconds to wait for the lock (for ever)");
    lock->add_flag("--json", raw.json, "Tell on stderr, as JSON, when the lock is held");
    add_store_choice(*lock, raw);
    auto* barrier = app.add_subcommand("barrier", "Wait until a leader and its workers are there");
    barrier->add_option("name", raw.name, "The barrier")->required();
    barrier->add_option("--leader", raw.leader, "Lead it, and wait for so many workers");
    barrier->add_option("--data", raw.data, "What the leader tells the workers");
    barrier->add_option("--worker", raw.worker, "Join it under this id");
    add_times(*barrier, raw, "Seconds to wait for the others (60)");
    barrier->add_flag("--json", raw.json, "One JSON object");
    add_store_choice(*barrier, raw);
}

Result<KvArguments> kv_arguments(const RawStoreOptions& raw, const CLI::App& kv) {
    KvArguments arguments{.action = {}, .key = raw.key};
    const auto chosen = kv.get_subcommands();
    const std::string name = chosen.empty() ? "" : chosen.front()->get_name();
    using enum KvArguments::Action;
    arguments.action = name == "put" ? put : name == "del" ? remove : name == "watch" ? watch : get;
    auto timeout = time_of("--timeout", raw.timeout);
    if (!timeout) return std::unexpected{std::move(timeout).error()};
    arguments.timeout = *timeout;
    const bool lasts = arguments.action == watch || raw.hold;
    if (!arguments.timeout && !lasts) arguments.timeout = call_timeout;
    arguments.value = raw.value;
    arguments.prefix = raw.prefix;
    arguments.hold = raw.hold;
    arguments.json = raw.json;
    auto chosen_store = store_of(raw);
    if (!chosen_store) return std::unexpected{std::move(chosen_store).error()};
    arguments.store = std::move(*chosen_store);
    // Looking makes nothing, and what is put without anybody who holds it stays.
    arguments.store.create = arguments.action == put;
    arguments.store.lasting = !raw.hold;
    return arguments;
}

Result<LockArguments> lock_arguments(const RawStoreOptions& raw) {
    auto timeout = time_of("--timeout", raw.timeout);
    if (!timeout) return std::unexpected{std::move(timeout).error()};
    auto ttl = time_of("--ttl", raw.ttl);
    if (!ttl) return std::unexpected{std::move(ttl).error()};
    auto store = store_of(raw);
    if (!store) return std::unexpected{std::move(store).error()};
    return LockArguments{
        .name = raw.name,
        .command = raw.command,
        .shared = raw.shared,
        .timeout = *timeout,
        .ttl = ttl->value_or(Duration::zero()),
        .json = raw.json,
        .store = std::move(*store),
    };
}

Result<BarrierArguments> barrier_arguments(const RawStoreOptions& raw) {
    if (raw.leader.has_value() == raw.worker.has_value())
        return usage("a barrier is led with --leader N or joined with --worker ID: give one");
    if (raw.leader && (*raw.leader < 1 || *raw.leader > most_workers))
        return usage(fmt::format("--leader must be from 1 to {}, not {}", most_workers, *raw.leader)
        );
    if (raw.data && !raw.leader) return usage("--data is the leader's to give");
    auto timeout = time_of("--timeout", raw.timeout);
    if (!timeout) return std::unexpected{std::move(timeout).error()};
    auto ttl = time_of("--ttl", raw.ttl);
    if (!ttl) return std::unexpected{std::move(ttl).error()};
    auto store = store_of(raw);
    if (!store) return std::unexpected{std::move(store).error()};
    return BarrierArguments{
        .name = raw.name,
        .workers = static_cast<std::uint32_t>(raw.leader.value_or(0)),
        .data = raw.data.value_or(""),
        .worker = raw.worker.value_or(""),
        .timeout = timeout->value_or(barrier_timeout),
        .ttl = ttl->value_or(Duration::zero()),
        .json = raw.json,
        .store = std::move(*store),
    };
}

}  // namespace stator::cli
