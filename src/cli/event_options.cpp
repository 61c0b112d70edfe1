#include "cli/event_options.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "stator/base/names.hpp"

namespace stator::cli {

namespace {

constexpr double longest_time = 30.0 * 24 * 3600;  // seconds
constexpr std::int64_t longest_queue = 10'000'000;

std::unexpected<Error> usage(std::string message) {
    return fail(ErrorCode::invalid_request, "cli.usage", std::move(message));
}

Result<Duration> time_of(std::string_view option, double seconds) {
    if (!(seconds >= 0 && seconds <= longest_time)) {
        return usage(
            fmt::format("{} must be 0 to {} seconds, not {}", option, longest_time, seconds)
        );
    }
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>{seconds});
}

/// One part is a namespace, two are a component, more are an endpoint.
Result<events::EventScope> scope_of(const std::string& text) {
    events::EventScope scope;
    const auto parts = std::ranges::count(text, '.') + 1;
    if (parts > 2) {
        const auto endpoint = EndpointId::parse(text);
        if (!endpoint) return std::unexpected{endpoint.error()};
        return events::EventScope::of(*endpoint);
    }
    const auto dot = text.find('.');
    scope.namespace_ = text.substr(0, dot);
    if (parts == 2) scope.component = text.substr(dot + 1);
    if (auto good = scope.check(); !good) return std::unexpected{std::move(good).error()};
    if (parts == 2 && scope.component.empty())
        return fail(ErrorCode::invalid_request, "name.invalid", "a component needs a name");
    return scope;
}

Result<events::Overflow> overflow_of(const std::string& name) {
    using enum events::Overflow;
    constexpr std::array known{
        std::pair{std::string_view{"drop_newest"}, drop_newest},
        std::pair{std::string_view{"drop_oldest"}, drop_oldest},
        std::pair{std::string_view{"keep_latest"}, keep_latest},
    };
    for (const auto& [text, value] : known) {
        if (text == name) return value;
    }
    return usage(
        fmt::format("--overflow is drop_newest, drop_oldest or keep_latest, not '{}'", name)
    );
}

}  // namespace

void add_event_commands(CLI::App& app, RawEventOptions& raw) {
    auto* events = app.add_subcommand("events", "Publish events and listen to them");
    events->require_subcommand(1);
    auto* pub = events->add_subcommand("pub", "Publish events");
    auto* sub = events->add_subcommand("sub", "Print events as JSON lines");
    for (auto* command : {pub, sub}) {
        command->add_option("scope", raw.scope, "ns, ns.component or ns.component.endpoint")
            ->required();
        command->add_option("topic", raw.topic, "The topic")->required();
    }
    pub->add_option("event", raw.payload, "The event as JSON; - takes the lines of stdin")
        ->required();
    pub->add_option("--count", raw.count, "How often (1)");
    pub->add_option("--interval", raw.interval, "Seconds between two events (0)");
    pub->add_option("--wait", raw.wait, "Seconds before the first, for subscribers to dial (1)");
    sub->add_option("--count", raw.count, "Events until it ends");
    sub->add_option("--timeout", raw.timeout, "Seconds until it ends");
    sub->add_option("--overflow", raw.overflow, "drop_newest (default), drop_oldest, keep_latest");
    sub->add_option("--queue", raw.queue, "Events that may wait (65536)");
}

Result<EventArguments> event_arguments(const RawEventOptions& raw, const CLI::App& events) {
    EventArguments arguments;
    const auto chosen = events.get_subcommands();
    using enum EventArguments::Action;
    arguments.action = !chosen.empty() && chosen.front()->get_name() == "sub" ? subscribe : publish;
    auto scope = scope_of(raw.scope);
    if (!scope) return std::unexpected{std::move(scope).error()};
    arguments.scope = std::move(*scope);
    arguments.topic = raw.topic;
    arguments.payload = raw.payload;
    if (raw.count && *raw.count < 1) return usage("--count must be at least 1");
    if (raw.count) arguments.count = static_cast<std::uint64_t>(*raw.count);
    const auto interval = time_of("--interval", raw.interval);
    if (!interval) return std::unexpected{interval.error()};
    const auto wait = time_of("--wait", raw.wait);
    if (!wait) return std::unexpected{wait.error()};
    arguments.interval = *interval;
    arguments.wait = *wait;
    if (raw.timeout) {
        const auto timeout = time_of("--timeout", *raw.timeout);
        if (!timeout) return std::unexpected{timeout.error()};
        arguments.timeout = *timeout;
    }
    const auto overflow = overflow_of(raw.overflow);
    if (!overflow) return std::unexpected{overflow.error()};
    arguments.overflow = *overflow;
    if (raw.queue < 1 || raw.queue > longest_queue)
        return usage(fmt::format("--queue must be 1 to {}", longest_queue));
    arguments.queue = static_cast<std::size_t>(raw.queue);
    return arguments;
}

}  // namespace stator::cli
