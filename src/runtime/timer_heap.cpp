#include "stator/runtime/detail/timer_heap.hpp"

namespace stator::inline runtime::detail {

void TimerHeap::put(std::size_t place, Entry entry) noexcept {
    heap_[place] = entry;
    entry.timer->place = place;
}

void TimerHeap::sift_up(std::size_t place, Entry entry) noexcept {
    while (place > 0) {
        const auto above = (place - 1) / 2;
        if (heap_[above].when <= entry.when) break;
        put(place, heap_[above]);
        place = above;
    }
    put(place, entry);
}

void TimerHeap::sift_down(std::size_t place, Entry entry) noexcept {
    for (;;) {
        auto below = 2 * place + 1;
        if (below >= heap_.size()) break;
        if (below + 1 < heap_.size() && heap_[below + 1].when < heap_[below].when) ++below;
        if (entry.when <= heap_[below].when) break;
        put(place, heap_[below]);
        place = below;
    }
    put(place, entry);
}

void TimerHeap::add(Timer& timer) {
    heap_.push_back({timer.when, &timer});
    sift_up(heap_.size() - 1, heap_.back());
}

void TimerHeap::remove(Timer& timer) noexcept {
    if (!timer.waiting()) return;
    const auto place = timer.place;
    timer.place = Timer::npos;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (place == heap_.size()) return;
    if (place > 0 && last.when < heap_[(place - 1) / 2].when) return sift_up(place, last);
    sift_down(place, last);
}

Timer& TimerHeap::pop() noexcept {
    Timer& timer = *heap_.front().timer;
    remove(timer);
    return timer;
}

}  // namespace stator::inline runtime::detail
