// Permits to hold a loop for a while.
#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <utility>

namespace stator::inline runtime::detail {

class InPlacePermits;

/// A receipt; gives the permit back when it dies. Movable, one owner.
class [[nodiscard]] InPlace {
public:
    explicit InPlace(InPlacePermits& permits) noexcept : permits_{&permits} {}
    InPlace(InPlace&& other) noexcept : permits_{std::exchange(other.permits_, nullptr)} {}
    InPlace& operator=(InPlace&&) = delete;
    ~InPlace();

private:
    InPlacePermits* permits_;
};

/// One fewer than there are loops, so that one always stays free. Thread-safe.
class InPlacePermits {
public:
    explicit InPlacePermits(std::size_t free) noexcept : free_{free} {}
    std::optional<InPlace> take() noexcept {
        auto free = free_.load(std::memory_order_relaxed);
        while (free > 0) {
            if (free_.compare_exchange_weak(free, free - 1)) return InPlace{*this};
        }
        return std::nullopt;
    }

private:
    friend class InPlace;
    std::atomic<std::size_t> free_;
};

inline InPlace::~InPlace() {
    if (permits_ != nullptr) permits_->free_.fetch_add(1);
}

}  // namespace stator::inline runtime::detail
