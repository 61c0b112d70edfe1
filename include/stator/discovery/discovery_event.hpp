// DiscoveryEvent: one change of the instances of a namespace, component or endpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "stator/discovery/instance.hpp"

namespace stator::discovery {

struct DiscoveryEvent {
    enum class Kind : std::uint8_t {
        added = 1,
        changed = 2,
        removed = 3,
        synced = 4,  ///< all instances that there are have been told; after a gap once more
    };
    Kind kind = Kind::synced;
    std::shared_ptr<const Instance> instance;  ///< null for synced
    std::size_t count = 0;                     ///< synced: how many instances there are
};

std::string_view to_string(DiscoveryEvent::Kind kind) noexcept;

/// One JSON object: {"event":"added", ...} with the fields of `to_listing`;
/// {"event":"synced","instances":3}.
std::string to_json(const DiscoveryEvent& event);

}  // namespace stator::discovery
