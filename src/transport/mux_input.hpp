// The bytes that a session has received and not parsed yet, and where the next ones go.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>

#include "stator/base/bytes.hpp"

namespace stator::transport::mux {

/// Receive blocks in which frames are parsed in place; messages handed on are slices of them, so a
/// block is written again only when nobody else holds it. The rest of a large body may be directed
/// elsewhere, to be received without a copy.
class Input {
public:
    explicit Input(std::size_t block_size) noexcept : block_size_{block_size} {}
    Input(const Input&) = delete;
    Input& operator=(const Input&) = delete;
    ~Input();

    /// Until this is called, blocks are small: a peer that does not get past the handshake costs
    /// little.
    void grow() noexcept { grown_ = true; }

    std::size_t space(std::array<iovec, 2>& vectors);
    /// `size` bytes arrived in `space`. Returns true if they completed the directed body.
    bool received(std::size_t size) noexcept;

    const std::byte* data() const noexcept {
        return block_ == nullptr ? nullptr : block_->data() + begin_;
    }
    std::size_t size() const noexcept { return end_ - begin_; }
    void consume(std::size_t size) noexcept { begin_ += size; }
    /// The slice of the block at `at`, which is inside what data() showed.
    Bytes slice(const std::byte* at, std::size_t size) const noexcept {
        return size == 0 ? Bytes{} : Bytes::share(block_, at, size);
    }

    /// Sees to it that a frame of `size` bytes that begins at data() can be completed in place.
    void make_room(std::size_t size);
    /// Whether it can be already.
    bool fits(std::size_t size) const noexcept {
        return block_ != nullptr && block_->capacity() - begin_ >= size;
    }

    /// The next `size` bytes after what is here (which is consumed) go to `at` in `block`.
    void direct(Buffer* block, std::byte* at, std::size_t size) noexcept;
    bool directing() const noexcept { return direct_left_ > 0; }

private:
    std::size_t normal_size() const noexcept;
    void replace(Buffer* block) noexcept;
    Buffer* normal_block();
    void reclaim();

    std::size_t block_size_;
    Buffer* block_ = nullptr;
    Buffer* spare_ = nullptr;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    Buffer* direct_block_ = nullptr;
    std::byte* direct_at_ = nullptr;
    std::size_t direct_left_ = 0;
    bool grown_ = false;
    bool bulk_ = false;  ///< the last thing received was a large body: expect another
};

}  // namespace stator::transport::mux
