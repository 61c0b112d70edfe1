#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/frame.hpp"
#include "cli/input_lines.hpp"
#include "cli/line_writer.hpp"
#include "stator/codec/json.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::cli {

namespace {

using namespace std::chrono_literals;
using events::EventEnvelope;
using events::Publisher;
using events::Subscriber;
using nlohmann::ordered_json;

std::string line_of(const ordered_json& object) {
    return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

void tell(const ordered_json& object) {
    const auto line = line_of(object) + "\n";
    std::fwrite(line.data(), 1, line.size(), stderr);
}

std::string hex_of(const Bytes& bytes) {
    std::string text;
    for (const auto byte : bytes.span())
        text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    return text;
}

/// What is not MessagePack is shown in hex.
std::string line_of(const EventEnvelope& event) {
    ordered_json object{
        {"publisher", fmt::format("{:x}", event.publisher_id)},
        {"sequence", event.sequence},
        {"published_at", event.published_at},
        {"topic", event.topic},
    };
    const auto payload = decode_msgpack(event.payload.span());
    // What JSON cannot say, such as NaN, is an error there.
    if (payload && encode_json(*payload)) {
        object["payload"] = *payload;
    } else {
        object["payload_hex"] = hex_of(event.payload);
    }
    return line_of(object);
}

// ---- pub

Result<Bytes> payload_of(const std::string& text) {
    const auto document = decode_json(text);
    if (!document) return std::unexpected{document.error()};
    return encode_msgpack(*document);
}

Task<> publish_lines(const Publisher* publisher, EventArguments arguments, BlockingPool* pool) {
    auto lines = input_items("-", {}, pool);
    while (auto line = co_await lines.next()) {
        co_await publisher->publish(std::move(*line));
        if (arguments.interval > Duration{}) co_await sleep_for(arguments.interval);
    }
}

Task<> publish_all(
    const Publisher* publisher, EventArguments arguments, Bytes payload, BlockingPool* pool
) {
    co_await sleep_for(arguments.wait);
    if (arguments.payload == "-") {
        co_await publish_lines(publisher, std::move(arguments), pool);
        co_return;
    }
    for (std::uint64_t left = arguments.count.value_or(1); left > 0; --left) {
        co_await publisher->publish(payload);
        if (left > 1 && arguments.interval > Duration{}) {
            co_await sleep_for(arguments.interval);
        } else if (left % 64 == 0) {
            co_await yield();
        }
    }
}

Task<std::optional<Failure>> publish_in(DistributedRuntime cluster, EventArguments arguments) {
    Bytes payload;
    if (arguments.payload != "-") {
        auto made = payload_of(arguments.payload);
        if (!made) co_return Failure::usage(made.error());
        payload = std::move(*made);
    } else if (const auto input = check_input_file("-"); !input) {
        co_return Failure::usage(input.error());
    }
    const auto bus = co_await cluster.event_bus();
    const auto publisher = co_await bus->publisher(arguments.scope, arguments.topic);
    const auto ended = co_await as_result(publish_all(
        &publisher, std::move(arguments), std::move(payload), &cluster.runtime().blocking()
    ));
    (void)co_await as_result(shielded(publisher.close()));
    tell({{"publisher", fmt::format("{:x}", publisher.id())}, {"sent", publisher.sent()}});
    if (!ended) throw ended.error();
    co_return std::nullopt;
}

// ---- sub

void tell(const events::SubscriberCounts& counts) {
    tell(
        {{"delivered", counts.delivered},
         {"dropped", counts.dropped},
         {"missed", counts.missed},
         {"repeated", counts.repeated},
         {"unreadable", counts.unreadable}}
    );
}

/// True: as many as were asked for.
Task<bool> show(
    const Subscriber* subscriber, std::optional<std::uint64_t> count, LineWriter* lines
) {
    for (std::uint64_t shown = 0; !count || shown < *count; ++shown) {
        const auto event = co_await subscriber->next();
        if (!event) co_return false;
        co_await lines->put(line_of(*event));
    }
    co_return true;
}

Task<std::optional<Failure>> subscribe_in(DistributedRuntime cluster, EventArguments arguments) {
    const auto token = (co_await current_token()).child_token();
    const auto bus = co_await cluster.event_bus();
    events::SubscribeOptions wanted;
    wanted.scope = arguments.scope;
    wanted.topic = arguments.topic;
    wanted.overflow = arguments.overflow;
    wanted.most_events = arguments.queue;
    const auto subscriber = co_await bus->subscribe(std::move(wanted));
    tell({{"event", "subscribed"}, {"topic", arguments.topic}});
    LineWriter lines{cluster.runtime().blocking(), STDOUT_FILENO, token};
    TaskScope writing;
    writing.spawn(lines.run());
    const auto deadline = arguments.timeout ? Deadline::in(*arguments.timeout) : Deadline::never();
    const auto ended = co_await as_result(
        with_token(token, with_deadline(deadline, show(&subscriber, arguments.count, &lines)))
    );
    const auto flushed = co_await as_result(lines.finish(Deadline::in(1s)));
    co_await shielded(writing.join());
    tell(subscriber.counts());
    if (!flushed) co_return Failure::of(flushed.error());
    // Without a number the end of its time is the end of it.
    const bool in_time = ended || ended.error().code() != ErrorCode::deadline_exceeded;
    if (!ended && (in_time || arguments.count)) throw ended.error();
    co_return std::nullopt;
}

}  // namespace

int events(const EventArguments& arguments) {
    const bool listens = arguments.action == EventArguments::Action::subscribe;
    return run_in_cluster({.ends_by_signal = listens}, [&](DistributedRuntime cluster) {
        return listens ? subscribe_in(std::move(cluster), arguments)
                       : publish_in(std::move(cluster), arguments);
    });
}

}  // namespace stator::cli
