// Threads that leave signals to whoever waits for them.
#pragma once

#include <pthread.h>

#include <csignal>

namespace stator::inline runtime::detail {

/// While it lives, the threads that this thread starts are born with every signal blocked but those
/// that report their own faults, and the one that asks for their stack (StackReader). Blocking in
/// the new thread itself would leave a gap.
class SignalsBlocked {
public:
    SignalsBlocked() noexcept {
        sigset_t most;
        sigfillset(&most);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGURG})
            sigdelset(&most, fault);
        pthread_sigmask(SIG_BLOCK, &most, &before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_{};
};

}  // namespace stator::inline runtime::detail
