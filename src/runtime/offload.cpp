#include "stator/runtime/offload.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/signals_blocked.hpp"

namespace stator::inline runtime {

struct BlockingPool::Threads {
    explicit Threads(std::size_t count);
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;
    ~Threads() { finish(); }
    void post(std::move_only_function<void()> work);

private:
    void run();
    void finish() noexcept;

    std::mutex lock_;
    std::condition_variable changed_;
    std::deque<std::move_only_function<void()>> waiting_;
    bool ending_ = false;
    std::vector<std::thread> threads_;
};

BlockingPool::Threads::Threads(std::size_t count) {
    const detail::SignalsBlocked blocked;
    try {
        for (std::size_t i = 0; i < count; ++i) threads_.emplace_back([this] { run(); });
    } catch (...) {
        finish();  // those that did start
        throw;
    }
}

void BlockingPool::Threads::post(std::move_only_function<void()> work) {
    {
        const std::lock_guard guard{lock_};
        waiting_.push_back(std::move(work));
    }
    changed_.notify_one();
}

void BlockingPool::Threads::run() {
    std::unique_lock guard{lock_};
    for (;;) {
        changed_.wait(guard, [this] { return ending_ || !waiting_.empty(); });
        if (waiting_.empty()) return;
        auto work = std::move(waiting_.front());
        waiting_.pop_front();
        guard.unlock();
        work();
        work = nullptr;  // what it holds goes before the lock is taken again
        guard.lock();
    }
}

/// Lets the threads do what waits, then joins them.
void BlockingPool::Threads::finish() noexcept {
    {
        const std::lock_guard guard{lock_};
        ending_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
}

BlockingPool::BlockingPool(std::size_t threads)
    : threads_{std::make_unique<Threads>(std::max<std::size_t>(threads, 1))} {}

BlockingPool::~BlockingPool() = default;

void BlockingPool::post(std::move_only_function<void()> work) { threads_->post(std::move(work)); }

}  // namespace stator::inline runtime
