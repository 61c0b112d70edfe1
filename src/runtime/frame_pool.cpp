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

#else

namespace {

constexpr std::size_t granule = 64;
constexpr std::size_t classes = 32;              // blocks up to 2 KiB are kept
constexpr std::size_t bytes_per_list = 1 << 20;  // then they go back to the heap

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
    bool closed = false;
};
constinit thread_local ThreadCache cache{};

/// Gives the blocks back when the thread ends; from then on this thread uses the heap.
struct CacheCloser {
    bool armed = false;
    ~CacheCloser() {
        cache.closed = true;
        for (auto& list : cache.lists) {
            while (list.first != nullptr) {
                FreeBlock* block = list.first;
                list.first = block->next;
                ::operator delete(block);
            }
            list.count = 0;
        }
    }
};
thread_local CacheCloser closer;

constexpr std::size_t class_of(std::size_t size) { return (size + granule - 1) / granule - 1; }

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
    if (cache.closed || list.count * (index + 1) * granule >= bytes_per_list)
        return ::operator delete(block);
    if (list.count == 0) closer.armed = true;  // first use registers the destructor of this thread
    list.first = ::new (block) FreeBlock{list.first};
    ++list.count;
}

#endif

}  // namespace stator::inline runtime::detail
