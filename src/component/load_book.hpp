// LoadBook: the calls of this process to the instances of one endpoint, and what is known of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "component/load_table.hpp"
#include "component/policy.hpp"
#include "stator/component/loads.hpp"
#include "stator/discovery/instance_set.hpp"
#include "stator/runtime/detail/spin_lock.hpp"

namespace stator::inline component {

/// What routers know of one instance.
struct InstanceLoad {
    std::atomic<std::uint32_t> outstanding{0};
    // Guarded by the book's lock:
    policy::PeakEwma latency;
    TimePoint busy_until{};  // by its reported load
    TimePoint full_until{};  // by its own word
};

/// Shared by all clients of an endpoint and the calls on their way. Thread-safe.
class LoadBook : public std::enable_shared_from_this<LoadBook> {
public:
    /// Taken while an instance is chosen by its load and reserved: one step. Short.
    runtime::detail::SpinLock& lock() noexcept { return lock_; }

    /// The load of each of them, in their order; those that nobody uses any more are dropped.
    std::vector<std::shared_ptr<InstanceLoad>> loads_of(
        const std::vector<std::shared_ptr<const discovery::Instance>>& instances
    );

    /// Whether any instance may be busy or full now. Without a lock.
    bool any_marked(TimePoint now) const noexcept {
        return marked_until_.load(std::memory_order_acquire) > now.time_since_epoch().count();
    }
    bool ever_marked() const noexcept { return marked_until_.load(std::memory_order_acquire) != 0; }

    /// It refused a call for want of room.
    void mark_full(InstanceLoad& load, TimePoint until);
    void observe(InstanceLoad& load, Duration latency, TimePoint now, Duration decay);

    Result<void> claim(const std::string& field, std::string owner);
    void release(const std::string& field);
    void report(const std::string& field, InstanceId instance, double value, Duration valid_for);
    void set_threshold(const std::string& field, std::optional<double> limit);

    /// "kv_blocks is 0.95, above 0.9 (reported by metrics)", or that it has no room; empty:
    /// neither.
    std::string why_busy(InstanceId instance, TimePoint now) const;
    InstanceStatus status(InstanceId instance, TimePoint now) const;

private:
    void mark(InstanceId instance, TimePoint now);
    void mark_all();
    void marked_until(TimePoint until) noexcept;

    mutable runtime::detail::SpinLock lock_;  // of what is in the loads
    std::atomic<TimePoint::rep> marked_until_{0};
    mutable std::mutex table_lock_;  // of the two below; before lock_ where both are taken
    std::unordered_map<InstanceId, std::shared_ptr<InstanceLoad>> loads_;
    LoadTable table_;
};

/// One call of one instance, counted as long as this lives: each attempt has its own.
class [[nodiscard]] Reservation {
public:
    Reservation() noexcept = default;
    /// Counts it.
    Reservation(std::shared_ptr<LoadBook> book, std::shared_ptr<InstanceLoad> load) noexcept
        : book_{std::move(book)}, load_{std::move(load)} {
        load_->outstanding.fetch_add(1, std::memory_order_relaxed);
    }
    Reservation(Reservation&& other) noexcept
        : book_{std::move(other.book_)},
          load_{std::move(other.load_)},
          begun_{other.begun_},
          decay_{std::exchange(other.decay_, Duration::zero())} {}
    Reservation& operator=(Reservation&& other) noexcept {
        std::swap(book_, other.book_);
        std::swap(load_, other.load_);
        std::swap(begun_, other.begun_);
        std::swap(decay_, other.decay_);
        return *this;
    }
    ~Reservation() {
        if (!load_) return;
        // Given up before it was answered: it took at least so long.
        if (timed()) answered(Clock::current().now());
        load_->outstanding.fetch_sub(1, std::memory_order_relaxed);
    }

    /// From now on its latency is measured.
    void time(TimePoint now, Duration decay) noexcept {
        begun_ = now;
        decay_ = decay;
    }
    bool timed() const noexcept { return decay_ > Duration::zero(); }
    /// The first item, or the end, has come. Counts once.
    void answered(TimePoint now) noexcept;
    /// It failed: that counts as slow, however fast it was.
    void failed(TimePoint now) noexcept;
    /// It had no room.
    void full(TimePoint until) const { book_->mark_full(*load_, until); }

private:
    static constexpr Duration failure_penalty = std::chrono::seconds{1};
    std::shared_ptr<LoadBook> book_;
    std::shared_ptr<InstanceLoad> load_;
    TimePoint begun_{};
    Duration decay_{};
};

}  // namespace stator::inline component
