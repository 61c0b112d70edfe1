// Memory for large messages, kept from one to the next.
#pragma once

#include <cstddef>
#include <new>

namespace stator::inline base::block_cache {

/// The heap serves what is smaller, at once.
inline constexpr std::size_t smallest_kept = 32U << 10U;

void* take_large(std::size_t size);
void give_large(void* block, std::size_t size) noexcept;

/// Large blocks from this thread's cache, or from the heap. The heap gives large blocks back to the
/// system at once, and what comes anew from there is cleared page by page: more work than receiving
/// into it. A block may be freed on another thread than the one that took it.
inline void* take(std::size_t size) {
    return size <= smallest_kept ? ::operator new(size) : take_large(size);
}
inline void give(void* block, std::size_t size) noexcept {
    if (size <= smallest_kept) return ::operator delete(block, size);
    give_large(block, size);
}

/// While a thread runs a loop it keeps up to 32 MiB of what it frees; other threads keep nothing.
void keep(bool wanted) noexcept;
/// Frees what was not needed since the last time, at most every 100 ms; true while there may be
/// more to free later. For a loop that has nothing better to do.
bool trim() noexcept;

}  // namespace stator::inline base::block_cache
