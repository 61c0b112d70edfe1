// The options of `stator nats`, and what they mean together.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"

namespace CLI {
class App;
}

namespace stator::cli {

/// stator nats info
struct NatsInfoArguments {
    bool json = false;
    Duration timeout{};
};

/// stator nats object
struct ObjectArguments {
    enum class Action : std::uint8_t { put, get, list, remove, info };
    Action action = Action::list;
    std::string bucket;
    std::string name{};  ///< of remove: empty for the bucket itself
    std::string file{};
    bool json = false;
    Duration timeout{};
};

/// What the parser of the command line leaves behind, before it is understood.
struct RawNatsOptions {
    std::string bucket;
    std::string name;
    std::string file;
    bool all = false;
    bool json = false;
    std::optional<double> timeout;
};

/// The command with its options. `raw` must live as long as `app`.
void add_nats_commands(CLI::App& app, RawNatsOptions& raw);

/// Errors: invalid_request "cli.usage" naming the option.
Result<NatsInfoArguments> nats_info_arguments(const RawNatsOptions& raw);
Result<ObjectArguments> object_arguments(const RawNatsOptions& raw, const CLI::App& object);

}  // namespace stator::cli
