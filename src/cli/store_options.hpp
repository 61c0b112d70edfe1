// The options of `stator kv`, `stator lock` and `stator barrier`, and what they mean together.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"

namespace CLI {
class App;
}

namespace stator::cli {

/// Which store a command works on.
struct StoreChoice {
    bool nats = false;  ///< a bucket of NATS instead of discovery's store
    std::string bucket = "stator";
    bool create = true;    ///< a bucket that is not there
    bool lasting = false;  ///< as one whose keys stay
};

/// stator kv
struct KvArguments {
    enum class Action : std::uint8_t { get, put, remove, watch };
    Action action = Action::get;
    std::string key;  ///< of watch, and of get with `prefix`: the beginning of keys
    std::string value{};
    bool prefix = false;
    bool hold = false;  ///< of put: the key is there as long as the command runs
    bool json = false;
    /// Of the call; of watch and of a held key: how long. Nothing: for ever.
    std::optional<Duration> timeout{};
    StoreChoice store{};
};

/// stator lock
struct LockArguments {
    std::string name;
    std::vector<std::string> command;
    bool shared = false;
    std::optional<Duration> timeout{};  ///< of the wait; nothing: for ever
    Duration ttl{};                     ///< zero: the store's own
    bool json = false;
    StoreChoice store{};
};

/// stator barrier
struct BarrierArguments {
    std::string name;
    std::uint32_t workers = 0;  ///< that the leader waits for; 0: a worker
    std::string data{};
    std::string worker{};
    Duration timeout{};
    Duration ttl{};  ///< zero: the store's own
    bool json = false;
    StoreChoice store{};
};

/// What the parser of the command line leaves behind, before it is understood.
struct RawStoreOptions {
    std::string store;
    std::optional<std::string> bucket;
    std::string key;
    std::string value;
    bool prefix = false;
    bool hold = false;
    std::string name;
    std::vector<std::string> command;
    bool shared = false;
    std::optional<std::int64_t> leader;
    std::optional<std::string> worker;
    std::optional<std::string> data;
    std::optional<double> timeout;
    std::optional<double> ttl;
    bool json = false;
};

/// The commands with their options. `raw` must live as long as `app`.
void add_store_commands(CLI::App& app, RawStoreOptions& raw);

/// Errors: invalid_request "cli.usage" naming the option.
Result<KvArguments> kv_arguments(const RawStoreOptions& raw, const CLI::App& kv);
Result<LockArguments> lock_arguments(const RawStoreOptions& raw);
Result<BarrierArguments> barrier_arguments(const RawStoreOptions& raw);

}  // namespace stator::cli
