// BufferBudget: what all connections of a process may make it hold together.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace stator::transport {

/// Half of it for windows (what peers were allowed to send, and what they sent and nobody has taken
/// yet), half for large messages. Connections keep their own books and report here.
///
/// A window that was given cannot be taken back, so the bound is soft by a least window for each
/// connection; large messages are set aside before they are sent, so theirs is hard. Thread-safe.
class BufferBudget {
public:
    explicit BufferBudget(std::uint64_t limit) noexcept : half_{limit / 2} {}
    BufferBudget(const BufferBudget&) = delete;
    BufferBudget& operator=(const BufferBudget&) = delete;

    std::uint64_t half() const noexcept { return half_; }
    std::uint64_t windows() const noexcept { return windows_.load(std::memory_order_relaxed); }
    std::uint64_t reserved() const noexcept { return reserved_.load(std::memory_order_relaxed); }
    /// What windows may still take.
    std::uint64_t room() const noexcept { return half_ - std::min(windows(), half_); }

    void windows_changed(std::uint64_t before, std::uint64_t after) noexcept {
        windows_.fetch_add(after - before, std::memory_order_relaxed);
    }
    /// Sets `size` aside for a large message, if there is as much left.
    bool reserve(std::uint64_t size) noexcept {
        auto used = reserved_.load(std::memory_order_relaxed);
        do {
            if (size > half_ - used) return false;
        } while (!reserved_.compare_exchange_weak(used, used + size, std::memory_order_relaxed));
        return true;
    }
    void release(std::uint64_t size) noexcept {
        reserved_.fetch_sub(size, std::memory_order_relaxed);
    }

private:
    const std::uint64_t half_;
    std::atomic<std::uint64_t> windows_{0};
    std::atomic<std::uint64_t> reserved_{0};
};

/// What is set aside for one large message; given back when this dies. Move-only; any thread.
class Reservation {
public:
    Reservation() = default;
    /// Nothing if there is not as much left. Without a budget there always is.
    static std::optional<Reservation> take(
        const std::shared_ptr<BufferBudget>& budget, std::uint64_t size
    ) {
        if (budget && !budget->reserve(size)) return std::nullopt;
        return Reservation{budget, size};
    }
    Reservation(Reservation&& other) noexcept
        : budget_{std::move(other.budget_)}, size_{std::exchange(other.size_, 0)} {}
    Reservation& operator=(Reservation&& other) noexcept {
        std::swap(budget_, other.budget_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Reservation() {
        if (budget_) budget_->release(size_);
    }
    /// 0: it holds nothing.
    std::uint64_t size() const noexcept { return size_; }

private:
    Reservation(std::shared_ptr<BufferBudget> budget, std::uint64_t size) noexcept
        : budget_{std::move(budget)}, size_{size} {}
    std::shared_ptr<BufferBudget> budget_;
    std::uint64_t size_ = 0;
};

}  // namespace stator::transport
