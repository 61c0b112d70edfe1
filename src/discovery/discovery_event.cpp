#include "stator/discovery/discovery_event.hpp"

#include <map>

#include <fmt/format.h>

#include "discovery/record_reader.hpp"
#include "stator/discovery/discovery.hpp"

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
    if (!event.instance)
        return fmt::format(
            R"({{"event":"{}","instances":{}}})", to_string(event.kind), event.count
        );
    return fmt::format(
        R"({{"event":"{}",{})", to_string(event.kind), to_listing(*event.instance).substr(1)
    );
}

namespace {

using Known = std::map<std::string, std::shared_ptr<const Instance>, std::less<>>;
using Kind = DiscoveryEvent::Kind;

/// Whether `id` is `prefix` or begins with it up to a dot.
bool is_below(const EndpointId& id, std::string_view prefix) {
    const auto text = id.to_string();
    if (prefix.empty() || text == prefix) return true;
    return text.starts_with(prefix) && text[prefix.size()] == '.';
}

void set(
    Known& known,
    std::string key,
    std::shared_ptr<const Instance> instance,
    std::vector<DiscoveryEvent>& events
) {
    auto& place = known[std::move(key)];
    if (!place) {
        events.push_back({Kind::added, instance});
    } else if (*place != *instance) {
        events.push_back({Kind::changed, instance});
    }
    place = std::move(instance);
}

void forget(Known& known, const std::string& key, std::vector<DiscoveryEvent>& events) {
    const auto found = known.find(key);
    if (found == known.end()) return;
    events.push_back({Kind::removed, found->second});
    known.erase(found);
}

/// What `event` changes in what is known.
std::vector<DiscoveryEvent> changes(
    Known& known, const store::WatchEvent& event, RecordReader& reader, std::string_view prefix
) {
    std::vector<DiscoveryEvent> events;
    const auto put = [&](const store::Entry& entry) {
        auto instance = reader.read(entry);
        if (!instance || !is_below(instance->endpoint, prefix)) return false;
        set(known, entry.key, std::move(instance), events);
        return true;
    };
    switch (event.kind) {
        case store::WatchEvent::Kind::snapshot: {
            Known gone = known;
            for (const auto& entry : event.entries) {
                if (put(entry)) gone.erase(entry.key);
            }
            for (const auto& [key, instance] : gone) forget(known, key, events);
            events.push_back({Kind::synced, nullptr, known.size()});
            break;
        }
        case store::WatchEvent::Kind::put:
            if (!put(event.entry)) forget(known, event.entry.key, events);
            break;
        case store::WatchEvent::Kind::removed:
            forget(known, event.entry.key, events);
            break;
    }
    return events;
}

Stream<DiscoveryEvent> follow(std::shared_ptr<store::KeyValueStore> store, std::string prefix) {
    Known known;
    RecordReader reader;
    auto watch = co_await store->watch(fmt::format("{}/", instances_bucket));
    while (auto event = co_await watch.next()) {
        for (auto& change : changes(known, *event, reader, prefix)) co_yield std::move(change);
    }
}

}  // namespace

Stream<DiscoveryEvent> Discovery::watch_all(std::string prefix) {
    return follow(store(), std::move(prefix));
}

}  // namespace stator::discovery
