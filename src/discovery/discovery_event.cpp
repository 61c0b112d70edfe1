#include "stator/discovery/discovery_event.hpp"

#include "discovery/listing.hpp"

namespace stator::discovery {

std::string_view to_string(DiscoveryEvent::Kind kind) noexcept {
    switch (kind) {
        case DiscoveryEvent::Kind::added:
            return "added";
        case DiscoveryEvent::Kind::changed:
            return "changed";
        case DiscoveryEvent::Kind::removed:
            return "removed";
        case DiscoveryEvent::Kind::synced:
            return "synced";
    }
    return "unknown";
}

std::string to_json(const DiscoveryEvent& event) {
    ValueWriter out{PayloadCodec::json, 256};
    out.begin_map(event.instance ? 1 + listing_fields : 2);
    out.key("event");
    out.string(to_string(event.kind));
    if (event.instance) {
        write_listing(out, *event.instance);
    } else {
        out.key("instances");
        out.unsigned_integer(event.count);
    }
    out.end_map();
    return out.finish().value_or(Bytes{}).to_string();
}

}  // namespace stator::discovery
