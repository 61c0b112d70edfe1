// Reference-counted slices of immutable memory: what travels between a socket and a handler.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace stator::inline base {

/// A block of memory that Bytes slices share. One allocation: header, then `capacity` bytes.
/// Thread-safe count; the contents belong to whoever fills it before the first slice is handed out.
class Buffer {
public:
    static Buffer* allocate(std::size_t capacity);
    std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
    std::size_t capacity() const noexcept { return capacity_; }
    /// True when the caller holds the only reference, so the block may be written again.
    bool unique() const noexcept { return references_.load(std::memory_order_acquire) == 1; }
    void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy(this);
    }

private:
    explicit Buffer(std::size_t capacity) noexcept : capacity_{capacity} {}
    static void destroy(Buffer* buffer) noexcept;
    std::atomic<std::size_t> references_{1};
    std::size_t capacity_;
};

/// An owning, immutable slice. Copying shares, slicing shares; no operation copies memory except
/// `copy_of`, `compact` and `to_string`. A default or empty Bytes owns nothing.
/// Thread-safe to copy and read from several threads; one object is used by one thread at a time.
class Bytes {
public:
    Bytes() noexcept = default;
    Bytes(const Bytes& other) noexcept
        : owner_{other.owner_}, data_{other.data_}, size_{other.size_} {
        if (owner_ != nullptr) owner_->retain();
    }
    Bytes(Bytes&& other) noexcept
        : owner_{std::exchange(other.owner_, nullptr)},
          data_{std::exchange(other.data_, nullptr)},
          size_{std::exchange(other.size_, 0)} {}
    Bytes& operator=(Bytes other) noexcept {
        std::swap(owner_, other.owner_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Bytes() {
        if (owner_ != nullptr) owner_->release();
    }

    static Bytes copy_of(std::span<const std::byte> memory);
    static Bytes copy_of(std::string_view text) { return copy_of(std::as_bytes(std::span{text})); }
    /// Memory that outlives every slice, such as a string literal.
    static Bytes of_static(std::string_view text) noexcept {
        return Bytes{nullptr, reinterpret_cast<const std::byte*>(text.data()), text.size()};
    }
    /// A slice of `owner`, which gains one reference. `data` must lie inside it.
    static Bytes share(Buffer* owner, const std::byte* data, std::size_t size) noexcept {
        owner->retain();
        return Bytes{owner, data, size};
    }
    /// A slice that takes over the caller's reference of `owner`.
    static Bytes adopt(Buffer* owner, std::size_t size) noexcept {
        return Bytes{owner, owner->data(), size};
    }

    const std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    std::span<const std::byte> span() const noexcept { return {data_, size_}; }
    std::string_view view() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }
    std::string to_string() const { return std::string{view()}; }

    /// The part [from, from + length), clipped to what there is.
    Bytes slice(std::size_t from, std::size_t length = std::string_view::npos) const noexcept;
    /// Bytes of the block that this slice keeps alive (0 when it owns nothing).
    std::size_t held() const noexcept { return owner_ == nullptr ? 0 : owner_->capacity(); }
    /// A copy in a block of its own when this slice holds much more memory than it shows.
    Bytes compact() const;

    friend bool operator==(const Bytes& a, const Bytes& b) noexcept { return a.view() == b.view(); }

private:
    Bytes(Buffer* owner, const std::byte* data, std::size_t size) noexcept
        : owner_{owner}, data_{data}, size_{size} {}
    Buffer* owner_ = nullptr;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace stator::inline base
