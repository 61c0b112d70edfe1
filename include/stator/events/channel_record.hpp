// The records of publishers in discovery.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "stator/base/error.hpp"
#include "stator/events/scope.hpp"

namespace stator::events {

inline constexpr std::string_view channels_bucket = "v1/event_channels";

/// Where subscribers dial the publisher: "tcp://10.0.0.7:40123".
struct ZmqChannel {
    std::string endpoint;
    friend bool operator==(const ZmqChannel&, const ZmqChannel&) = default;
};
/// Its subjects are the prefix, a dot, and the topic.
struct NatsChannel {
    std::string subject_prefix;
    friend bool operator==(const NatsChannel&, const NatsChannel&) = default;
};
/// A way that is not spoken here.
struct OtherChannel {
    std::string kind;
    friend bool operator==(const OtherChannel&, const OtherChannel&) = default;
};
using ChannelTransport = std::variant<ZmqChannel, NatsChannel, OtherChannel>;

/// One publisher of one topic. A value.
struct EventChannel {
    EventScope scope;
    std::string topic;
    std::uint64_t publisher_id = 0;
    ChannelTransport transport;

    /// "v1/event_channels/{scope}/topic/{topic}/{publisher id, hex}".
    std::string key() const;
    friend bool operator==(const EventChannel&, const EventChannel&) = default;
};

/// What all publishers of a topic begin with.
std::string channels_prefix(const EventScope& scope, std::string_view topic);

/// Compact JSON in the original's order. Errors: invalid_request "events.record" for an
/// OtherChannel, and those of ValueWriter.
Result<std::string> to_record(const EventChannel& channel);
/// Unknown keys are ignored. Errors: invalid_request "events.record".
Result<EventChannel> channel_from_record(std::string_view record);

}  // namespace stator::events
