#include "stator/runtime/offload.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

namespace stator::inline runtime {

struct BlockingPool::Threads {
    explicit Threads(std::size_t count) : pool{count} {}
    boost::asio::thread_pool pool;
};

BlockingPool::BlockingPool(std::size_t threads) : threads_{std::make_unique<Threads>(threads)} {}

BlockingPool::~BlockingPool() { threads_->pool.join(); }

void BlockingPool::post(std::move_only_function<void()> work) {
    boost::asio::post(threads_->pool, [work = std::move(work)]() mutable { work(); });
}

}  // namespace stator::inline runtime
