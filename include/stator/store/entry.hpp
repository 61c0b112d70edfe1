// One key of a store with its value.
#pragma once

#include <cstdint>
#include <string>

namespace stator::store {

struct Entry {
    std::string key;    ///< the full key, e.g. "v1/instances/ns/comp/ep/1a2b"
    std::string value;  ///< bytes; records are JSON text
    std::uint64_t revision =
        0;                      ///< grows with every change; 0 where the backend counts none (file)
    std::uint64_t created = 0;  ///< the revision in which the key came to be; 0 as above

    friend bool operator==(const Entry&, const Entry&) = default;
};

}  // namespace stator::store
