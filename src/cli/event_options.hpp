// The options of `stator events`, and what they mean together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"
#include "stator/events/subscriber.hpp"

namespace CLI {
class App;
}

namespace stator::cli {

/// stator events
struct EventArguments {
    enum class Action : std::uint8_t { publish, subscribe };
    Action action = Action::publish;
    events::EventScope scope{};
    std::string topic{};
    std::string payload{};               ///< JSON; "-": the lines of stdin
    std::optional<std::uint64_t> count;  ///< of pub: how often; of sub: the end
    Duration interval{};                 ///< of pub: between two
    Duration wait{};                     ///< of pub: before the first, for subscribers to come
    std::optional<Duration> timeout{};   ///< of sub; nothing: for ever
    events::Overflow overflow = events::Overflow::drop_newest;
    std::size_t queue = 0;  ///< events that may wait
};

/// What the parser of the command line leaves behind, before it is understood.
struct RawEventOptions {
    std::string scope;
    std::string topic;
    std::string payload;
    std::optional<std::int64_t> count;
    std::optional<double> timeout;
    double interval = 0;
    double wait = 1;
    std::string overflow = "drop_newest";
    std::int64_t queue = 65'536;
};

/// The command with its options. `raw` must live as long as `app`.
void add_event_commands(CLI::App& app, RawEventOptions& raw);

/// Errors: invalid_request "cli.usage" naming the option; "name.path", "name.invalid" for a scope.
Result<EventArguments> event_arguments(const RawEventOptions& raw, const CLI::App& events);

}  // namespace stator::cli
