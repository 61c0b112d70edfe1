#include "stator/runtime/timer.hpp"

#include "stator/runtime/token_wait.hpp"

namespace stator::inline runtime {

namespace {

/// Sleeps under a token that `stop` cancels, too.
class StopSleep : detail::Timer, detail::CancelHook {
public:
    StopSleep(Deadline until, const CancellationToken& stop) noexcept
        : Timer{&StopSleep::on_time},
          CancelHook{&StopSleep::on_stop},
          until_{until},
          stop_{stop},
          own_{*this} {}

    bool await_ready() const noexcept { return stop_.cancelled(); }
    template <detail::StatorPromise Promise>
    bool await_suspend(std::coroutine_handle<Promise> task) {
        task_ = task;
        env_ = task.promise().env;
        if (!stop_.arm(*this)) return false;
        if (env_->token != stop_ && !env_->token.arm(own_)) {
            cancelled_ = true;
            return false;
        }
        when = until_.when();
        if (!until_.is_never()) env_->loop->add_timer(*this);
        return true;
    }
    bool await_resume() {
        disarm();
        if (stop_.cancelled()) return false;
        if (cancelled_) detail::throw_cancelled(env_->token);
        return true;
    }

private:
    struct Own : detail::CancelHook {
        explicit Own(StopSleep& sleep_) noexcept : CancelHook{&StopSleep::on_own}, sleep{sleep_} {}
        StopSleep& sleep;
    };
    void disarm() noexcept {
        CancellationToken::disarm(*this);
        CancellationToken::disarm(own_);
        if (env_ != nullptr) env_->loop->remove_timer(*this);
    }
    void wake() noexcept {
        // Both hooks may be on their way already when one cancellation reaches both tokens: wake
        // once.
        if (std::exchange(woken_, true)) return;
        disarm();
        env_->loop->wake_local(task_);
    }
    static void on_time(Timer& timer) noexcept { static_cast<StopSleep&>(timer).wake(); }
    static void on_stop(CancelHook& hook) noexcept { static_cast<StopSleep&>(hook).wake(); }
    static void on_own(CancelHook& hook) noexcept {
        auto& sleep = static_cast<Own&>(hook).sleep;
        if (!sleep.woken_) sleep.cancelled_ = true;
        sleep.wake();
    }

    Deadline until_;
    const CancellationToken& stop_;
    Own own_;
    std::coroutine_handle<> task_;
    const Env* env_ = nullptr;
    bool cancelled_ = false;
    bool woken_ = false;
};

}  // namespace

Task<bool> sleep_until(Deadline deadline, CancellationToken stop) {
    co_return co_await StopSleep{deadline, stop};
}

Task<bool> sleep_for(Duration duration, CancellationToken stop) {
    co_return co_await StopSleep{Deadline::in(duration), stop};
}

namespace detail {

void throw_deadline_exceeded() { throw Error{ErrorCode::deadline_exceeded, "the deadline passed"}; }

}  // namespace detail

}  // namespace stator::inline runtime
