#include "stator/events/channel_record.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"

namespace stator::events {

namespace {

std::unexpected<Error> refuse(std::string why) {
    return fail(ErrorCode::invalid_request, "events.record", std::move(why));
}

Document scope_document(const EventScope& scope) {
    if (scope.component.empty()) return {{"kind", "namespace"}, {"name", scope.namespace_}};
    if (scope.endpoint.empty()) {
        return {
            {"kind", "component"}, {"namespace", scope.namespace_}, {"component", scope.component}
        };
    }
    return {
        {"kind", "endpoint"},
        {"endpoint",
         {{"namespace", scope.namespace_}, {"component", scope.component}, {"name", scope.endpoint}}
        }
    };
}

/// The text under `key`; nothing if there is none.
std::optional<std::string> text(const Document& from, const char* key) {
    if (!from.is_object()) return std::nullopt;
    const auto found = from.find(key);
    if (found == from.end() || !found->is_string()) return std::nullopt;
    return found->get<std::string>();
}

const Document& part(const Document& from, const char* key) {
    static const Document none;
    if (!from.is_object()) return none;
    const auto found = from.find(key);
    return found == from.end() ? none : *found;
}

std::optional<EventScope> read_scope(const Document& from) {
    const auto kind = text(from, "kind");
    if (kind == "namespace") {
        const auto name = text(from, "name");
        return name ? std::optional{EventScope{*name, {}, {}}} : std::nullopt;
    }
    const bool whole = kind == "component";
    if (!whole && kind != "endpoint") return std::nullopt;
    const auto& names = whole ? from : part(from, "endpoint");
    const auto ns = text(names, "namespace");
    const auto component = text(names, "component");
    const auto name = whole ? std::optional<std::string>{""} : text(names, "name");
    if (!ns || !component || !name) return std::nullopt;
    return EventScope{*ns, *component, *name};
}

std::optional<ChannelTransport> read_transport(const Document& from) {
    const auto kind = text(from, "kind");
    if (!kind) return std::nullopt;
    const auto& config = part(from, "config");
    if (*kind == "Zmq") {
        const auto endpoint = text(config, "endpoint");
        return endpoint ? std::optional{ChannelTransport{ZmqChannel{*endpoint}}} : std::nullopt;
    }
    if (*kind == "Nats") {
        const auto prefix = text(config, "subject_prefix");
        return prefix ? std::optional{ChannelTransport{NatsChannel{*prefix}}} : std::nullopt;
    }
    return OtherChannel{*kind};
}

}  // namespace

std::string channels_prefix(const EventScope& scope, std::string_view topic) {
    return fmt::format("{}/{}/topic/{}/", channels_bucket, scope.to_path(), percent_encoded(topic));
}

std::string EventChannel::key() const {
    return fmt::format("{}{:x}", channels_prefix(scope, topic), publisher_id);
}

Result<std::string> to_record(const EventChannel& channel) {
    Document transport;
    if (const auto* const zmq = std::get_if<ZmqChannel>(&channel.transport)) {
        transport = {{"kind", "Zmq"}, {"config", {{"endpoint", zmq->endpoint}}}};
    } else if (const auto* const nats = std::get_if<NatsChannel>(&channel.transport)) {
        transport = {{"kind", "Nats"}, {"config", {{"subject_prefix", nats->subject_prefix}}}};
    } else {
        return refuse("a channel of a kind that is not spoken here");
    }
    return encode_json({
        {"type", "EventChannel"},
        {"scope", scope_document(channel.scope)},
        {"topic", channel.topic},
        {"instance_id", channel.publisher_id},
        {"transport", std::move(transport)},
    });
}

Result<EventChannel> channel_from_record(std::string_view record) {
    const auto document = decode_json(record);
    if (!document) return refuse(document.error().message());
    if (text(*document, "type") != "EventChannel") return refuse("it is no channel of events");
    auto scope = read_scope(part(*document, "scope"));
    if (!scope) return refuse("a channel without a scope that is known");
    auto topic = text(*document, "topic");
    if (!topic) return refuse("a channel without a topic");
    const auto& id = part(*document, "instance_id");
    if (!id.is_number_unsigned()) return refuse("a channel without the id of its publisher");
    auto transport = read_transport(part(*document, "transport"));
    if (!transport) return refuse("a channel without a transport that can be read");
    return EventChannel{
        std::move(*scope), std::move(*topic), id.get<std::uint64_t>(), std::move(*transport)
    };
}

}  // namespace stator::events
