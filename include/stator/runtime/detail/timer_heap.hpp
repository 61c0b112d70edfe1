// A binary heap of timers that live in the operations that wait for them.
#pragma once

#include <cstddef>
#include <vector>

#include "stator/base/clock.hpp"

namespace stator::inline runtime::detail {

/// A point in time at which `fire` is called on the loop, once, already removed.
struct Timer {
    using Fire = void (*)(Timer&) noexcept;
    explicit Timer(Fire fire_) noexcept : fire{fire_} {}
    Fire fire;
    TimePoint when{};
    std::size_t place = npos;  // index in the heap
    static constexpr std::size_t npos = ~std::size_t{0};
    bool waiting() const noexcept { return place != npos; }
};

/// Earliest first; equal times fire in no particular order. Loop-affine, owns nothing.
class TimerHeap {
public:
    bool empty() const noexcept { return heap_.empty(); }
    std::size_t size() const noexcept { return heap_.size(); }
    TimePoint earliest() const noexcept { return heap_.front().when; }
    void add(Timer& timer);
    void remove(Timer& timer) noexcept;
    Timer& pop() noexcept;

private:
    struct Entry {
        TimePoint when;  // beside the pointer, so that sifting does not touch the timers' memory
        Timer* timer;
    };
    void put(std::size_t place, Entry entry) noexcept;
    void sift_up(std::size_t place, Entry entry) noexcept;
    void sift_down(std::size_t place, Entry entry) noexcept;
    std::vector<Entry> heap_;
};

}  // namespace stator::inline runtime::detail
