#include "transport/mux_input.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace stator::transport::mux {
namespace {

constexpr std::size_t small_block = 4096 - sizeof(Buffer);
/// How much is read behind a large body: enough for the next header, little to copy if another
/// large body follows.
constexpr std::size_t bulk_tail = 4096;

void release(Buffer*& buffer) noexcept {
    if (buffer != nullptr) std::exchange(buffer, nullptr)->release();
}

}  // namespace

Input::~Input() {
    release(block_);
    release(spare_);
    release(direct_block_);
}

std::size_t Input::normal_size() const noexcept { return grown_ ? block_size_ : small_block; }

Buffer* Input::normal_block() {
    if (spare_ != nullptr && spare_->capacity() >= normal_size()) {
        return std::exchange(spare_, nullptr);
    }
    return Buffer::allocate(normal_size());
}

void Input::replace(Buffer* block) noexcept {
    auto* old = std::exchange(block_, block);
    if (old == nullptr) return;
    if (spare_ == nullptr && old->capacity() == normal_size() && old->unique()) {
        spare_ = old;
    } else {
        old->release();
    }
}

/// With nothing unparsed: a block with room, the same one if nobody else holds it.
void Input::reclaim() {
    const auto wanted = normal_size();
    if (block_ != nullptr && block_->capacity() == wanted) {
        if (block_->unique()) begin_ = end_ = 0;
        if (block_->capacity() - end_ >= wanted / 4) return;
    }
    replace(normal_block());
    begin_ = end_ = 0;
}

void Input::make_room(std::size_t size) {
    if (begin_ == end_) reclaim();
    if (fits(size)) return;
    const auto left = end_ - begin_;
    if (block_->capacity() >= size && block_->unique()) {
        std::memmove(block_->data(), data(), left);
    } else {
        // A frame larger than a block gets one of exactly its size, so that what follows it is
        // read elsewhere and its message pins nothing else.
        auto* next = size > normal_size() ? Buffer::allocate(size) : normal_block();
        std::memcpy(next->data(), data(), left);
        replace(next);
    }
    begin_ = 0;
    end_ = left;
}

std::size_t Input::space(std::array<iovec, 2>& vectors) {
    if (begin_ == end_) reclaim();
    std::size_t count = 0;
    auto room = block_->capacity() - end_;
    if (directing()) {
        vectors[count++] = {direct_at_, direct_left_};
        room = std::min(room, bulk_tail);
    } else if (bulk_) {
        room = std::min(room, bulk_tail);
    }
    if (room > 0) vectors[count++] = {block_->data() + end_, room};
    return count;
}

bool Input::received(std::size_t size) noexcept {
    bool completed = false;
    if (directing()) {
        const auto part = std::min(size, direct_left_);
        direct_at_ += part;
        direct_left_ -= part;
        size -= part;
        completed = direct_left_ == 0;
        if (completed) release(direct_block_);
    } else {
        bulk_ = false;
    }
    end_ += size;
    return completed;
}

void Input::direct(Buffer* block, std::byte* at, std::size_t size) noexcept {
    const auto here = std::min(end_ - begin_, size);
    std::memcpy(at, data(), here);
    begin_ += here;
    block->retain();
    direct_block_ = block;
    direct_at_ = at + here;
    direct_left_ = size - here;
    bulk_ = true;
}

}  // namespace stator::transport::mux
