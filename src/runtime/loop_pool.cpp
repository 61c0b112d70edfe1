#include "stator/runtime/loop_pool.hpp"

#include <pthread.h>

#include <algorithm>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include "runtime/signals_blocked.hpp"
#include "stator/runtime/detail/guest.hpp"
#include "stator/runtime/env.hpp"

namespace stator::inline runtime {

namespace {

void run_named(Loop& loop) {
    pthread_setname_np(pthread_self(), loop.name().substr(0, 15).c_str());
    loop.run();
}

}  // namespace

LoopPool::LoopPool(Options options)
    : type_{options.host == nullptr ? RuntimeType::shared : RuntimeType::external} {
    for (std::size_t i = 0; i < std::max<std::size_t>(options.count, 1); ++i) {
        own_.push_back(std::make_unique<Loop>(Loop::Options{
            .name = fmt::format("{}-{}", options.name, i),
            .clock = nullptr,
            .index = options.first_index + i,
            .busy_poll = options.busy_poll,
            .timer_gap = options.timer_gap,
            .host = options.host,
            .starts = options.count > 1 ? &starts_ : nullptr,
        }));
        loops_.push_back(own_.back().get());
    }
    if (type_ == RuntimeType::shared) start_threads();
}

LoopPool::LoopPool(Loop& borrowed) : type_{RuntimeType::external}, loops_{&borrowed} {}

LoopPool::~LoopPool() { stop(); }

void LoopPool::start_threads() {
    const detail::SignalsBlocked blocked;
    try {
        for (auto* loop : loops_) threads_.emplace_back([loop] { run_named(*loop); });
    } catch (...) {
        stop();  // those that did start
        throw;
    }
}

Loop& LoopPool::pick() noexcept {
    const auto start = next_.fetch_add(1, std::memory_order_relaxed);
    Loop* best = loops_[start % loops_.size()];
    for (std::size_t i = 1; i < loops_.size() && best->load() > 0; ++i) {
        Loop& other = *loops_[(start + i) % loops_.size()];
        if (other.load() < best->load()) best = &other;
    }
    return *best;
}

void LoopPool::start(detail::Unstarted task) {
    if (loops_.size() == 1) {
        task.env->loop = loops_.front();
        loops_.front()->wake(task.task);
        return;
    }
    if (!starts_.push(task)) return;  // whoever runs will come to it
    const auto first = next_.fetch_add(1, std::memory_order_relaxed);
    for (std::size_t i = 0; i < loops_.size(); ++i) {
        if (loops_[(first + i) % loops_.size()]->wake_if_asleep()) return;
    }
}

bool LoopPool::is_current() const noexcept {
    return std::ranges::find(loops_, Loop::current()) != loops_.end();
}

bool LoopPool::host_is_current() const noexcept {
    if (type_ == RuntimeType::shared || own_.empty()) return false;
    const auto& host = own_.front()->guest()->host();
    const auto* executor = host.target<boost::asio::io_context::executor_type>();
    return executor != nullptr && executor->running_in_this_thread();
}

void LoopPool::request_stop() noexcept {
    for (auto& loop : own_) loop->stop();
}

void LoopPool::stop() noexcept {
    if (type_ == RuntimeType::external) {
        for (auto& loop : own_) loop->guest()->close();
        return;
    }
    request_stop();
    for (auto& thread : threads_) {
        if (thread.joinable()) thread.join();
    }
}

bool LoopPool::help() noexcept {
    if (type_ == RuntimeType::shared) return false;
    for (auto& loop : own_) loop->guest()->run_here();
    return !own_.empty();
}

}  // namespace stator::inline runtime
