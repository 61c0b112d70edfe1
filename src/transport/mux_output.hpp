// What a session has to write: small frames in contiguous chunks, large bodies by reference.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <vector>

#include "stator/base/bytes.hpp"

namespace stator::transport::mux {

/// Bodies from this size on are not copied.
inline constexpr std::size_t reference_from = 16U << 10U;

/// A queue of bytes. Memory given by gather does not move until `written` has passed it.
class Output {
public:
    /// Small frames share chunks of that size.
    static constexpr std::size_t usual_chunk = (64U << 10U) - sizeof(Buffer);
    explicit Output(std::size_t chunk_size = usual_chunk) noexcept : chunk_size_{chunk_size} {}
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;
    ~Output() { clear(); }

    /// `size` contiguous bytes to fill, which become part of the queue at once.
    std::byte* extend(std::size_t size) {
        if (chunk_ == nullptr || chunk_->capacity() - chunk_used_ < size) next_chunk(size);
        auto* at = chunk_->data() + chunk_used_;
        chunk_used_ += size;
        size_ += size;
        if (!tail_is_chunk_) open_segment(at);
        segments_.back().size += size;
        return at;
    }
    /// Puts `body` at the end without copying it.
    void refer(Bytes body);

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    std::uint64_t total_written() const noexcept { return total_written_; }
    std::size_t gather(std::span<iovec> vectors) const noexcept;
    void written(std::size_t size) noexcept;
    void clear() noexcept;

private:
    /// One contiguous part: of a chunk (holding a reference of it) or of a body.
    struct Segment {
        const std::byte* data = nullptr;
        std::size_t size = 0;
        Buffer* chunk = nullptr;
        Bytes body;
    };
    void next_chunk(std::size_t at_least);
    void open_segment(const std::byte* at);
    void drop(Segment& segment) noexcept;
    void recycle_current() noexcept;

    const std::size_t chunk_size_;
    std::vector<Segment> segments_;
    std::size_t first_ = 0;  ///< of segments_, not yet fully written
    std::size_t size_ = 0;
    std::uint64_t total_written_ = 0;
    Buffer* chunk_ = nullptr;
    Buffer* spare_ = nullptr;
    std::size_t chunk_used_ = 0;
    bool tail_is_chunk_ = false;  ///< the last segment ends at chunk_used_ of chunk_
};

}  // namespace stator::transport::mux
