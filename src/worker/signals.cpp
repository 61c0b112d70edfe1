#include "worker/signals.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <limits>

#include "stator/base/error.hpp"

namespace stator::inline worker {

SignalQueue::SignalQueue() {
    std::signal(SIGPIPE, SIG_IGN);
    sigset_t taken;
    sigemptyset(&taken);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&taken, signal);
    pthread_sigmask(SIG_BLOCK, &taken, nullptr);
    signals_ = ::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    done_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signals_ < 0 || done_ < 0)
        throw Error{ErrorCode::internal, "worker.signals", "no descriptors for the signals"};
}

SignalQueue::~SignalQueue() {
    ::close(signals_);
    ::close(done_);
}

SignalQueue::Event SignalQueue::wait(Deadline deadline) {
    for (;;) {
        int timeout = -1;
        if (!deadline.is_never()) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(deadline.remaining()).count();
            timeout =
                static_cast<int>(std::min<std::int64_t>(left, std::numeric_limits<int>::max()));
        }
        std::array<pollfd, 2> watched{{{signals_, POLLIN, 0}, {done_, POLLIN, 0}}};
        const int ready = ::poll(watched.data(), watched.size(), timeout);
        if (ready < 0 && errno == EINTR) continue;
        signalfd_siginfo info{};
        if (::read(signals_, &info, sizeof info) == sizeof info)
            return {Kind::signal, static_cast<int>(info.ssi_signo)};
        std::uint64_t count = 0;
        if (::read(done_, &count, sizeof count) == sizeof count) return {Kind::done};
        if (deadline.passed()) return {Kind::deadline};
    }
}

void SignalQueue::notify_done() noexcept {
    const std::uint64_t one = 1;
    (void)!::write(done_, &one, sizeof one);
}

}  // namespace stator::inline worker
