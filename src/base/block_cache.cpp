#include "stator/base/block_cache.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <new>

#include "stator/base/clock.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STATOR_BLOCKS_FROM_HEAP 1
#endif
#endif

namespace stator::inline base::block_cache {

#ifdef STATOR_BLOCKS_FROM_HEAP

void* take_large(std::size_t size) { return ::operator new(size); }
void give_large(void* block, std::size_t) noexcept { ::operator delete(block); }
void keep(bool) noexcept {}
bool trim() noexcept { return false; }

#else

namespace {

constexpr std::size_t smallest = smallest_kept;
constexpr std::size_t largest = 16U << 20U;
constexpr std::size_t most_kept = 32U << 20U;  // bytes, of a thread
constexpr auto trim_period = std::chrono::milliseconds{100};
// Four sizes between a power of two and the next: at most a quarter of a block is not used.
constexpr std::size_t steps = 4;
constexpr std::size_t classes =
    static_cast<std::size_t>(std::countr_zero(largest / smallest)) * steps;

/// Where the blocks of a class are at least as large as `size`, which is above `smallest`.
constexpr std::size_t class_of(std::size_t size) noexcept {
    const auto power = std::bit_width(size - 1) - 1;  // 2^power < size <= 2^(power + 1)
    const auto base = std::size_t{1} << static_cast<unsigned>(power);
    const auto step = base / steps;
    const auto above = (size - base + step - 1) / step;  // 1 to `steps`
    return (static_cast<std::size_t>(power) - std::countr_zero(smallest)) * steps + above - 1;
}
constexpr std::size_t size_of(std::size_t index) noexcept {
    const auto base = smallest << (index / steps);
    return base + base / steps * (index % steps + 1);
}
static_assert(size_of(class_of(smallest + 1)) == smallest + smallest / steps);
static_assert(size_of(class_of(2 * smallest)) == 2 * smallest && class_of(largest) == classes - 1);
static_assert(size_of(classes - 1) == largest);

struct FreeBlock {
    FreeBlock* next;
};

struct FreeList {
    FreeBlock* first = nullptr;
    std::size_t count = 0;
    std::size_t least = 0;  // it had, since the last trim: so many were not needed
};

/// Trivially destructible on purpose: blocks are freed while other thread-locals are being
/// destroyed, too.
struct ThreadCache {
    std::array<FreeList, classes> lists;
    std::size_t kept = 0;   // bytes
    std::size_t bound = 0;  // bytes
    TimePoint trimmed{};
};
constinit thread_local ThreadCache cache{};

void* take_first(std::size_t index) noexcept {
    auto& list = cache.lists[index];
    FreeBlock* block = list.first;
    list.first = block->next;
    list.least = std::min(list.least, --list.count);
    cache.kept -= size_of(index);
    return block;
}

}  // namespace

void* take_large(std::size_t size) {
    if (size > largest) return ::operator new(size);
    const auto index = class_of(size);
    if (cache.lists[index].count > 0) return take_first(index);
    return ::operator new(size_of(index));
}

void give_large(void* block, std::size_t size) noexcept {
    if (size > largest) return ::operator delete(block);
    const auto index = class_of(size);
    if (cache.kept + size_of(index) > cache.bound) return ::operator delete(block);
    auto& list = cache.lists[index];
    list.first = ::new (block) FreeBlock{list.first};
    ++list.count;
    cache.kept += size_of(index);
}

void keep(bool wanted) noexcept {
    cache.bound = wanted ? most_kept : 0;
    for (std::size_t index = 0; !wanted && index < classes; ++index) {
        while (cache.lists[index].count > 0) ::operator delete(take_first(index));
    }
}

bool trim() noexcept {
    if (cache.kept == 0) return false;
    const auto now = Clock::steady().now();
    if (now - cache.trimmed < trim_period) return true;
    cache.trimmed = now;
    for (std::size_t index = 0; index < classes; ++index) {
        auto& list = cache.lists[index];
        for (auto left = list.least; left > 0; --left) ::operator delete(take_first(index));
        list.least = list.count;
    }
    return cache.kept > 0;
}

#endif

}  // namespace stator::inline base::block_cache
