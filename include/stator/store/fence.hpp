// Fence: which holders of a lock a resource still lets in.
#pragma once

#include <algorithm>
#include <cstdint>

#include "stator/store/lock.hpp"

namespace stator::store {

/// What a resource that a lock protects keeps with itself, to refuse those who have lost the lock
/// and do not know yet. It can only judge by what it has seen: who holds the lock shows its token
/// with each access. A value; one thread.
struct Fence {
    std::uint64_t exclusive = 0;  ///< the largest token of those who held the lock alone
    std::uint64_t largest = 0;    ///< of all

    /// Those who share a lock come in any order; who holds it alone comes after all of them.
    bool admits(LockMode mode, std::uint64_t token) noexcept {
        if (token < (mode == LockMode::shared ? exclusive : largest)) return false;
        largest = std::max(largest, token);
        if (mode == LockMode::exclusive) exclusive = token;
        return true;
    }
};

}  // namespace stator::store
