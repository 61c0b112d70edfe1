#include "transport/mux_output.hpp"

#include <algorithm>
#include <utility>

namespace stator::transport::mux {
namespace {

constexpr std::size_t tidy_after = 256;

}  // namespace

void Output::refer(Bytes body) {
    if (body.empty()) return;
    size_ += body.size();
    auto& segment = segments_.emplace_back();
    segment.data = body.data();
    segment.size = body.size();
    segment.body = std::move(body);
    tail_is_chunk_ = false;
}

void Output::next_chunk(std::size_t at_least) {
    if (chunk_ != nullptr) chunk_->release();  // its segments keep it
    if (spare_ != nullptr && spare_->capacity() >= at_least) {
        chunk_ = std::exchange(spare_, nullptr);
    } else {
        chunk_ = nullptr;
        chunk_ = Buffer::allocate(std::max(at_least, chunk_size_));
    }
    chunk_used_ = 0;
    tail_is_chunk_ = false;
}

void Output::open_segment(const std::byte* at) {
    auto& segment = segments_.emplace_back();
    segment.data = at;
    segment.chunk = chunk_;
    chunk_->retain();
    tail_is_chunk_ = true;
}

std::size_t Output::gather(std::span<iovec> vectors) const noexcept {
    std::size_t count = 0;
    for (auto i = first_; i < segments_.size() && count < vectors.size(); ++i) {
        const auto& segment = segments_[i];
        vectors[count++] = {const_cast<std::byte*>(segment.data), segment.size};
    }
    return count;
}

void Output::written(std::size_t size) noexcept {
    size = std::min(size, size_);
    size_ -= size;
    total_written_ += size;
    while (size > 0) {
        auto& segment = segments_[first_];
        const auto part = std::min(size, segment.size);
        segment.data += part;
        segment.size -= part;
        size -= part;
        if (segment.size == 0) {
            drop(segment);
            ++first_;
        }
    }
    if (first_ == segments_.size()) {
        recycle_current();
    } else if (first_ >= tidy_after) {
        segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(first_));
        first_ = 0;
    }
}

void Output::drop(Segment& segment) noexcept {
    segment.body = Bytes{};
    auto* chunk = std::exchange(segment.chunk, nullptr);
    if (chunk == nullptr) return;
    if (chunk != chunk_ && spare_ == nullptr && chunk->unique() &&
        chunk->capacity() == chunk_size_) {
        spare_ = chunk;
    } else {
        chunk->release();
    }
}

void Output::recycle_current() noexcept {
    segments_.clear();
    first_ = 0;
    tail_is_chunk_ = false;
    if (chunk_ != nullptr && chunk_->capacity() > chunk_size_) {
        chunk_->release();
        chunk_ = nullptr;
    }
    chunk_used_ = 0;
}

void Output::clear() noexcept {
    for (auto i = first_; i < segments_.size(); ++i) drop(segments_[i]);
    segments_.clear();
    first_ = 0;
    size_ = 0;
    chunk_used_ = 0;
    tail_is_chunk_ = false;
    for (auto* buffer : {std::exchange(chunk_, nullptr), std::exchange(spare_, nullptr)}) {
        if (buffer != nullptr) buffer->release();
    }
}

}  // namespace stator::transport::mux
