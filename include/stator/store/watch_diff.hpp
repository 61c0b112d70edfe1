// WatchDiff: what the events of a watch change, key by key.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "stator/store/watch.hpp"

namespace stator::store {

struct KeyChange {
    enum class Kind : std::uint8_t {
        put = 1,      ///< the key is new or has another value
        removed = 2,  ///< the key is gone
    };
    Kind kind = Kind::put;
    std::string key;
    std::string value;  ///< empty when removed

    friend bool operator==(const KeyChange&, const KeyChange&) = default;
};

/// Remembers what a watch has told, and says of each event what is different now: a snapshot is the
/// difference from what was known, and what was only published again is no change at all. A pure
/// value.
class WatchDiff {
public:
    /// In the order of keys for a snapshot, removals first; at most one change for a delta.
    std::vector<KeyChange> apply(WatchEvent event);

private:
    std::map<std::string, std::string, std::less<>> known_;
};

}  // namespace stator::store
