#include "stator/runtime/detail/frame_pool.hpp"

#include <array>
#include <new>

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

#else

namespace {

constexpr std::size_t granule = 16;
constexpr std::size_t classes = 128;              // blocks up to 2 KiB are kept
constexpr std::size_t kept_per_list = 1 << 20;    // bytes; what is more goes back to the heap
constexpr std::size_t piled_per_list = 64 << 20;  // bytes; until there is time for that
constexpr std::size_t blocks_per_trim = 512;

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
    std::size_t bound = kept_per_list;
    bool surplus = false;  // some list holds more than is kept
    bool closed = false;
};
constinit thread_local ThreadCache cache{};

constexpr std::size_t class_of(std::size_t size) { return (size + granule - 1) / granule - 1; }
constexpr std::size_t bytes_in(const FreeList& list, std::size_t index) {
    return list.count * (index + 1) * granule;
}

void free_first(FreeList& list) noexcept {
    FreeBlock* block = list.first;
    list.first = block->next;
    --list.count;
    ::operator delete(block);
}

/// Gives the blocks back when the thread ends; from then on this thread uses the heap.
struct CacheCloser {
    bool armed = false;
    ~CacheCloser() {
        cache.closed = true;
        for (auto& list : cache.lists) {
            while (list.first != nullptr) free_first(list);
        }
    }
};
thread_local CacheCloser closer;

}  // namespace

void* take_frame(std::size_t size) {
    const auto index = class_of(size);
    if (index >= classes) return ::operator new(size);
    auto& list = cache.lists[index];
    if (FreeBlock* block = list.first) {
        list.first = block->next;
        --list.count;
        return block;
    }
    return ::operator new((index + 1) * granule);
}

void give_frame(void* block, std::size_t size) noexcept {
    const auto index = class_of(size);
    if (index >= classes) return ::operator delete(block);
    auto& list = cache.lists[index];
    const auto held = bytes_in(list, index);
    if (cache.closed || held >= cache.bound) return ::operator delete(block);
    if (held >= kept_per_list) cache.surplus = true;
    if (list.count == 0) closer.armed = true;  // first use registers the destructor of this thread
    list.first = ::new (block) FreeBlock{list.first};
    ++list.count;
}

void let_frames_pile_up(bool allowed) noexcept {
    cache.bound = allowed ? piled_per_list : kept_per_list;
    while (!allowed && trim_frames()) continue;
}

bool trim_frames() noexcept {
    if (!cache.surplus) return false;
    auto left = blocks_per_trim;
    for (std::size_t index = 0; index < classes; ++index) {
        auto& list = cache.lists[index];
        while (bytes_in(list, index) > kept_per_list) {
            if (left-- == 0) return true;
            free_first(list);
        }
    }
    cache.surplus = false;
    return false;
}

#endif

}  // namespace stator::inline runtime::detail
