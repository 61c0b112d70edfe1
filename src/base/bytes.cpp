#include "stator/base/bytes.hpp"

#include <algorithm>
#include <limits>
#include <new>

#include "stator/base/block_cache.hpp"

namespace stator::inline base {

namespace {

// A slice is copied out of its block when it shows less than half of it and the rest is worth a
// copy.
constexpr std::size_t compact_slack = 1024;

}  // namespace

Buffer* Buffer::allocate(std::size_t capacity) {
    if (capacity > std::numeric_limits<std::size_t>::max() / 2) throw std::bad_alloc{};
    void* memory = block_cache::take(sizeof(Buffer) + capacity);
    return ::new (memory) Buffer{capacity};
}

void Buffer::destroy(Buffer* buffer) noexcept {
    const auto size = sizeof(Buffer) + buffer->capacity_;
    buffer->~Buffer();
    block_cache::give(buffer, size);
}

Bytes Bytes::copy_of(std::span<const std::byte> memory) {
    if (memory.empty()) return {};
    auto* buffer = Buffer::allocate(memory.size());
    std::memcpy(buffer->data(), memory.data(), memory.size());
    return adopt(buffer, memory.size());
}

Bytes Bytes::slice(std::size_t from, std::size_t length) const noexcept {
    if (from >= size_) return {};
    const auto shown = std::min(length, size_ - from);
    if (shown == 0) return {};
    if (owner_ == nullptr) return Bytes{nullptr, data_ + from, shown};
    return share(owner_, data_ + from, shown);
}

Bytes Bytes::compact() const {
    if (size_ == 0) return {};
    if (held() <= 2 * size_ + compact_slack) return *this;
    return copy_of(span());
}

}  // namespace stator::inline base
