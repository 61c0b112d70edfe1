#include "stator/runtime/detail/frame_pool.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <new>
#include <utility>

#include "runtime/frame_ages.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STATOR_FRAMES_FROM_HEAP 1
#endif
#endif

namespace stator::inline runtime::detail {

#ifdef STATOR_FRAMES_FROM_HEAP

void* take_frame(std::size_t size) { return ::operator new(size); }
void give_frame(void* block, std::size_t) noexcept { ::operator delete(block); }
void let_frames_pile_up(bool) noexcept {}
bool trim_frames() noexcept { return false; }
TimePoint give_back_unused_frames() noexcept { return TimePoint::max(); }

#else

namespace {

constexpr std::size_t granule = 16;
constexpr std::size_t classes = 128;              // blocks up to 2 KiB are kept
constexpr std::size_t kept_per_list = 1 << 20;    // bytes; what is more goes back to the heap
constexpr std::size_t piled_per_list = 64 << 20;  // bytes; until there is time for that
constexpr std::size_t blocks_per_trim = 512;
constexpr auto pause = std::chrono::milliseconds{5};
constexpr auto generation_time = std::chrono::seconds{1};

struct FreeBlock {
    FreeBlock* next;
};

struct FreeList {
    FreeBlock* first = nullptr;
    std::size_t count = 0;
};

/// Trivially destructible on purpose: frames are freed while other thread-locals are being
/// destroyed, too.
struct ThreadCache {
    std::array<FreeList, classes> lists;
    /// What was in them when the last generation began, of sizes that nobody has taken since: what
    /// is still here when the next one begins goes back to the heap.
    std::array<FreeList, classes> older;
    TimePoint next_generation{};
    std::size_t bound = kept_per_list;
    bool surplus = false;  // some list holds more than is kept
    bool filled = false;   // some list may hold something
    bool closed = false;
};
constinit thread_local ThreadCache cache{};

constexpr std::size_t class_of(std::size_t size) { return (size + granule - 1) / granule - 1; }
constexpr std::size_t bytes_in(const FreeList& list, std::size_t index) {
    return list.count * (index + 1) * granule;
}

FreeBlock* take_first(FreeList& list) noexcept {
    FreeBlock* const block = list.first;
    list.first = block->next;
    --list.count;
    return block;
}

/// What a list holds beyond `bytes`, `left` blocks at most; false if that was not all.
bool shrink(FreeList& list, std::size_t index, std::size_t bytes, std::size_t& left) noexcept {
    while (bytes_in(list, index) > bytes) {
        if (left == 0) return false;
        --left;
        ::operator delete(take_first(list));
    }
    return true;
}

bool shrink_all(
    std::array<FreeList, classes>& lists, std::size_t bytes, std::size_t& left
) noexcept {
    for (std::size_t index = 0; index < classes; ++index) {
        if (!shrink(lists[index], index, bytes, left)) return false;
    }
    return true;
}

/// Gives the blocks back when the thread ends; from then on this thread uses the heap.
struct CacheCloser {
    bool armed = false;
    ~CacheCloser() {
        cache.closed = true;
        auto all = std::numeric_limits<std::size_t>::max();
        shrink_all(cache.lists, 0, all);
        shrink_all(cache.older, 0, all);
    }
};
thread_local CacheCloser closer;

}  // namespace

void* take_frame(std::size_t size) {
    const auto index = class_of(size);
    if (index >= classes) return ::operator new(size);
    auto& list = cache.lists[index];
    if (list.first != nullptr) return take_first(list);
    list = std::exchange(cache.older[index], {});
    if (list.first != nullptr) return take_first(list);
    return ::operator new((index + 1) * granule);
}

void give_frame(void* block, std::size_t size) noexcept {
    const auto index = class_of(size);
    if (index >= classes) return ::operator delete(block);
    auto& list = cache.lists[index];
    const auto held = bytes_in(list, index);
    if (cache.closed || held >= cache.bound) return ::operator delete(block);
    if (held >= kept_per_list) cache.surplus = true;
    if (list.count == 0) {
        closer.armed = true;  // first use registers the destructor of this thread
        cache.filled = true;
    }
    list.first = ::new (block) FreeBlock{list.first};
    ++list.count;
}

void let_frames_pile_up(bool allowed) noexcept {
    cache.bound = allowed ? piled_per_list : kept_per_list;
    while (!allowed && trim_frames()) continue;
}

bool trim_frames() noexcept {
    auto left = blocks_per_trim;
    if (cache.surplus) cache.surplus = !shrink_all(cache.lists, kept_per_list, left);
    return cache.surplus;
}

TimePoint give_back_unused_frames() noexcept {
    if (!cache.filled) return TimePoint::max();
    const auto now = Clock::steady().now();
    if (now < cache.next_generation) return cache.next_generation;
    auto left = blocks_per_trim;
    if (!shrink_all(cache.older, 0, left)) return now + pause;
    cache.next_generation = now + generation_time;
    cache.older = std::exchange(cache.lists, {});
    cache.filled = std::ranges::any_of(cache.older, [](const FreeList& list) {
        return list.first != nullptr;
    });
    return cache.filled ? cache.next_generation : TimePoint::max();
}

#endif

}  // namespace stator::inline runtime::detail
