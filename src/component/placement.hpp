// Placement: on which loop a request begins.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

#include "stator/base/clock.hpp"
#include "stator/runtime/per_loop.hpp"
#include "stator/runtime/runtime.hpp"

namespace stator::inline component {

/// A request begins on its connection's loop: that costs nothing. Only where tasks hold their loop
/// for long at a time is a hop worth its price, and then each request goes to the loop that has the
/// least to do. Thread-safe.
class Placement {
public:
    /// `long_step`: how long a step must take, on average, for its loop to count as held.
    Placement(Handle loops, Duration long_step);

    /// A loop with less to do than the current one, which is of the same pool; null when the
    /// request should begin here.
    Loop* elsewhere() const noexcept;
    /// A request that was given to a loop and has not begun there, nor was dropped. Move-only.
    class Waiting {
    public:
        explicit Waiting(std::atomic<std::size_t>& count) noexcept : count_{&count} {
            count.fetch_add(1, std::memory_order_relaxed);
        }
        Waiting(Waiting&& other) noexcept : count_{std::exchange(other.count_, nullptr)} {}
        Waiting& operator=(Waiting&&) = delete;
        ~Waiting() { end(); }
        void end() noexcept {
            auto* const count = std::exchange(count_, nullptr);
            if (count != nullptr) count->fetch_sub(1, std::memory_order_relaxed);
        }

    private:
        std::atomic<std::size_t>* count_;
    };
    Waiting give_to(const Loop& loop) noexcept { return Waiting{given_.at(loop.index())}; }

private:
    std::size_t backlog(const Loop& loop) const noexcept;

    Handle loops_;
    Duration long_step_;
    PerLoop<std::atomic<std::size_t>> given_;
};

}  // namespace stator::inline component
