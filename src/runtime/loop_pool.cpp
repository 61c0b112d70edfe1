#include "stator/runtime/loop_pool.hpp"

#include <pthread.h>

#include <algorithm>

#include <fmt/format.h>

#include "runtime/signals_blocked.hpp"

namespace stator::inline runtime {

namespace {

void run_named(Loop& loop) {
    pthread_setname_np(pthread_self(), loop.name().substr(0, 15).c_str());
    loop.run();
}

}  // namespace

LoopPool::LoopPool(Options options) {
    for (std::size_t i = 0; i < std::max<std::size_t>(options.count, 1); ++i) {
        loops_.push_back(std::make_unique<Loop>(Loop::Options{
            .name = fmt::format("{}-{}", options.name, i),
            .clock = nullptr,
            .index = options.first_index + i,
            .busy_poll = options.busy_poll,
        }));
    }
    const detail::SignalsBlocked blocked;
    try {
        for (auto& loop : loops_) threads_.emplace_back([&loop = *loop] { run_named(loop); });
    } catch (...) {
        stop();  // those that did start
        throw;
    }
}

LoopPool::~LoopPool() { stop(); }

Loop& LoopPool::pick() noexcept {
    const auto start = next_.fetch_add(1, std::memory_order_relaxed);
    Loop* best = loops_[start % loops_.size()].get();
    for (std::size_t i = 1; i < loops_.size() && best->load() > 0; ++i) {
        Loop& other = *loops_[(start + i) % loops_.size()];
        if (other.load() < best->load()) best = &other;
    }
    return *best;
}

bool LoopPool::is_current() const noexcept {
    return std::ranges::any_of(loops_, [](const auto& loop) {
        return loop.get() == Loop::current();
    });
}

void LoopPool::request_stop() noexcept {
    for (auto& loop : loops_) loop->stop();
}

void LoopPool::stop() noexcept {
    request_stop();
    for (auto& thread : threads_) {
        if (thread.joinable()) thread.join();
    }
}

}  // namespace stator::inline runtime
