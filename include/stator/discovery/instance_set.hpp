// InstanceSet: what is known about the instances of one endpoint at one moment.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "stator/discovery/instance.hpp"

namespace stator::discovery {

/// Why an instance is or is not given requests.
enum class Standing : std::uint8_t {
    ready = 1,
    lingering = 2,    ///< gone from the store, but its connection answers: still routable
    suspect = 3,      ///< its connection does not answer
    quarantined = 4,  ///< connection lost or refused; tried again later
    draining = 5,     ///< it said that it takes no more
    refusing = 6,     ///< it refused a request: left alone for a while
    full = 7,         ///< it had no room for a request: left alone for a moment
};

std::string_view to_string(Standing standing) noexcept;

inline bool is_routable(Standing standing) noexcept {
    return standing == Standing::ready || standing == Standing::lingering;
}

struct Member {
    std::shared_ptr<const Instance>
        instance;  ///< the same object as long as the record is the same
    Standing standing = Standing::ready;
};

/// Immutable; shared by readers on any thread. Instances are sorted by id.
struct InstanceSet {
    std::uint64_t version = 0;  ///< grows with every change of this endpoint
    std::vector<Member> members;
    /// Those that may be given requests: a choice is an index into it, and yields the record.
    std::vector<std::shared_ptr<const Instance>> routable;

    /// Null if there is none of that id.
    const Member* find(InstanceId id) const noexcept {
        const auto at = std::ranges::lower_bound(members, id, {}, [](const Member& member) {
            return member.instance->id;
        });
        return at == members.end() || at->instance->id != id ? nullptr : &*at;
    }
};

}  // namespace stator::discovery
