#include "stator/runtime/detail/guest.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>

namespace stator::inline runtime::detail {

Guest::Guest(Loop& loop, const boost::asio::any_io_executor& host)
    : loop_{loop},
      host_{host},
      strand_{boost::asio::make_strand(host)},
      work_{boost::asio::prefer(host, boost::asio::execution::outstanding_work.tracked)},
      timer_{host} {}

void Guest::begin() noexcept { loop_.enter(); }

void Guest::end() noexcept {
    // What was woken here without a hop still needs a turn.
    loop_.claim_turn();
    loop_.leave();
}

void Guest::run_batch() {
    loop_.enter();
    loop_.take_turn_as_guest();
    loop_.leave();
}

void Guest::post_batch() {
    boost::asio::post(strand_, [self = shared_from_this()] {
        const std::lock_guard guard{self->running_};
        if (!self->closed_) self->run_batch();
    });
}

void Guest::wake_at(TimePoint when) {
    if (armed_ <= when) return;  // an early wake-up is harmless
    armed_ = when;
    timer_.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(when));
    timer_.async_wait(boost::asio::bind_executor(
        strand_,
        [self = shared_from_this()](const boost::system::error_code& code) {
            if (code) return;
            const std::lock_guard guard{self->running_};
            self->armed_ = TimePoint::max();
            if (!self->closed_) self->run_batch();
        }
    ));
}

bool Guest::run_here() {
    const std::unique_lock guard{running_, std::try_to_lock};
    if (!guard.owns_lock()) return false;
    if (!closed_) run_batch();
    return true;
}

void Guest::close() noexcept {
    const std::lock_guard guard{running_};
    closed_ = true;
    timer_.cancel();
    work_ = {};
}

}  // namespace stator::inline runtime::detail
