#include "stator/runtime/semaphore.hpp"

namespace stator::inline runtime {

Permit::~Permit() {
    if (semaphore_ != nullptr) semaphore_->give_back(units_);
}

std::size_t Semaphore::available() const noexcept {
    const std::lock_guard guard{lock_};
    return available_;
}

std::optional<Permit> Semaphore::try_acquire(std::size_t units) noexcept {
    const std::lock_guard guard{lock_};
    if (!waiters_.empty() || available_ < units) return std::nullopt;
    available_ -= units;
    return Permit{*this, units};
}

void Semaphore::give_back(std::size_t units) noexcept {
    const std::lock_guard guard{lock_};
    available_ += units;
    grant_waiting();
}

/// With the lock held.
void Semaphore::grant_waiting() noexcept {
    while (!waiters_.empty()) {
        auto& first = static_cast<Acquire&>(waiters_.front());
        if (available_ < first.units_) return;
        available_ -= first.units_;
        waiters_.pop_front();
        first.wake();
    }
}

bool Semaphore::Acquire::take() noexcept {
    const std::lock_guard guard{semaphore_.lock_};
    if (!semaphore_.waiters_.empty() || semaphore_.available_ < units_) return false;
    semaphore_.available_ -= units_;
    return true;
}

bool Semaphore::Acquire::enqueue() noexcept {
    const std::lock_guard guard{semaphore_.lock_};
    if (semaphore_.waiters_.empty() && semaphore_.available_ >= units_) {
        semaphore_.available_ -= units_;
        return false;
    }
    semaphore_.waiters_.push_back(*this);
    return true;
}

bool Semaphore::Acquire::withdraw() noexcept {
    const std::lock_guard guard{semaphore_.lock_};
    if (!static_cast<detail::ListLink<detail::WaiterTag>&>(*this).linked()) return false;
    detail::WaiterQueue::remove(*this);
    cancelled = true;
    semaphore_.grant_waiting();  // it may have been the large one at the head
    return true;
}

void Semaphore::Acquire::on_cancel(CancelHook& hook) noexcept {
    auto& acquire = static_cast<Acquire&>(hook);
    if (acquire.withdraw()) acquire.wake();
}

}  // namespace stator::inline runtime
