#include "stator/runtime/offload.hpp"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <vector>

#include "runtime/signals_blocked.hpp"

namespace stator::inline runtime {

namespace {

/// Work that nobody waits for: owns itself.
struct Posted : detail::PoolJob {
    explicit Posted(std::move_only_function<void()> work_)
        : PoolJob{&Posted::on_thread}, work{std::move(work_)} {}
    static void on_thread(PoolJob& job) noexcept {
        const std::unique_ptr<Posted> own{static_cast<Posted*>(&job)};
        own->work();
    }
    std::move_only_function<void()> work;
};

}  // namespace

struct BlockingPool::Threads {
    explicit Threads(Options options_) : options{std::move(options_)} {
        options.threads = std::max<std::size_t>(options.threads, 1);
    }
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;
    ~Threads() { finish(); }
    void finish() noexcept;
    void submit(detail::PoolJob& job);
    bool take_back(detail::PoolJob& job) noexcept;

    mutable std::mutex lock;  // guards everything below
    Options options;
    std::size_t count = 0;
    std::size_t waiting_count = 0;
    std::size_t running = 0;

private:
    /// A thread that waits for work; the one that came last is called first, so that the others
    /// have none and go.
    struct Idle {
        std::condition_variable called;
        bool has_work = false;
    };
    static void* main_of(void* self);
    void start();
    void run();
    bool wait_for_work(std::unique_lock<std::mutex>& guard);
    void leave(std::unique_lock<std::mutex>& guard) noexcept;

    detail::IntrusiveList<detail::PoolJob, detail::PoolJobTag> waiting_;
    std::vector<Idle*> idle_;
    bool ending_ = false;
    std::condition_variable gone_;
    std::optional<pthread_t> last_to_leave_;  // not joined yet; it has joined the one before it
};

/// Under the lock. Throws std::system_error.
void BlockingPool::Threads::start() {
    const detail::SignalsBlocked blocked;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (options.stack_size != 0) pthread_attr_setstacksize(&attributes, options.stack_size);
    pthread_t thread{};
    const int failed = pthread_create(&thread, &attributes, &Threads::main_of, this);
    pthread_attr_destroy(&attributes);
    if (failed != 0) throw std::system_error{failed, std::system_category(), "pthread_create"};
    ++count;
}

void* BlockingPool::Threads::main_of(void* self) {
    static_cast<Threads*>(self)->run();
    return nullptr;
}

void BlockingPool::Threads::submit(detail::PoolJob& job) {
    const std::lock_guard guard{lock};
    if (idle_.empty() && count < options.threads) {
        try {
            start();
        } catch (const std::system_error&) {
            if (count == 0) throw;  // else those that there are will come to it
        }
    }
    waiting_.push_back(job);
    ++waiting_count;
    if (idle_.empty()) return;
    Idle& thread = *idle_.back();
    idle_.pop_back();
    thread.has_work = true;
    thread.called.notify_one();
}

bool BlockingPool::Threads::take_back(detail::PoolJob& job) noexcept {
    const std::lock_guard guard{lock};
    if (!job.linked()) return false;
    waiting_.remove(job);
    --waiting_count;
    return true;
}

/// False when this thread has been idle for long, or the pool ends.
bool BlockingPool::Threads::wait_for_work(std::unique_lock<std::mutex>& guard) {
    if (!waiting_.empty()) return true;
    if (ending_) return false;
    Idle self;
    idle_.push_back(&self);
    const auto called = [&] { return self.has_work || ending_; };
    self.called.wait_for(guard, options.idle_time, called);
    if (!self.has_work) std::erase(idle_, &self);
    return !waiting_.empty() || self.has_work;
}

void BlockingPool::Threads::run() {
    pthread_setname_np(pthread_self(), options.name.substr(0, 15).c_str());
    std::unique_lock guard{lock};
    while (wait_for_work(guard)) {
        if (waiting_.empty()) continue;  // taken back, or somebody else was faster
        detail::PoolJob& job = waiting_.pop_front();
        --waiting_count;
        ++running;
        guard.unlock();
        job.run(job);
        guard.lock();
        --running;
    }
    leave(guard);
}

void BlockingPool::Threads::leave(std::unique_lock<std::mutex>& guard) noexcept {
    const auto before = std::exchange(last_to_leave_, pthread_self());
    if (--count == 0) gone_.notify_all();
    guard.unlock();  // the pool may go now, but for the join of this thread
    if (before) pthread_join(*before, nullptr);
}

/// Lets the threads do what waits, then joins them.
void BlockingPool::Threads::finish() noexcept {
    std::unique_lock guard{lock};
    ending_ = true;
    for (Idle* thread : idle_) thread->called.notify_one();
    gone_.wait(guard, [this] { return count == 0; });
    const auto last = std::exchange(last_to_leave_, std::nullopt);
    guard.unlock();
    if (last) pthread_join(*last, nullptr);
}

BlockingPool::BlockingPool(Options options)
    : threads_{std::make_unique<Threads>(std::move(options))} {}

BlockingPool::~BlockingPool() = default;

void BlockingPool::post(std::move_only_function<void()> work) {
    auto job = std::make_unique<Posted>(std::move(work));
    threads_->submit(*job);
    (void)job.release();  // it deletes itself
}

void BlockingPool::submit(detail::PoolJob& job) { threads_->submit(job); }
bool BlockingPool::take_back(detail::PoolJob& job) noexcept { return threads_->take_back(job); }

std::size_t BlockingPool::threads() const noexcept {
    const std::lock_guard guard{threads_->lock};
    return threads_->count;
}

std::size_t BlockingPool::running() const noexcept {
    const std::lock_guard guard{threads_->lock};
    return threads_->running;
}

void BlockingPool::finish() noexcept { threads_->finish(); }

std::size_t BlockingPool::waiting() const noexcept {
    const std::lock_guard guard{threads_->lock};
    return threads_->waiting_count;
}

}  // namespace stator::inline runtime
