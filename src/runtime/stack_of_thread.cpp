#include "runtime/stack_of_thread.hpp"

#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <thread>

#include <boost/stacktrace/safe_dump_to.hpp>
#include <boost/stacktrace/stacktrace.hpp>
#include <fmt/format.h>

namespace stator::inline runtime::detail {

namespace {

constexpr std::size_t most_frames = 64;

/// The one place where a stack is written down. `wanted` names the thread; whoever is that thread
/// takes the request, fills `frames` and says so.
struct Request {
    std::atomic<pid_t> wanted{0};
    std::atomic<bool> answered{false};
    std::array<const void*, most_frames> frames{};
};

constinit Request request;
constinit std::mutex asking;        // held by whoever asks
constinit std::size_t readers = 0;  // guarded by it
struct sigaction before{};          // guarded by it

void on_signal(int, siginfo_t*, void*) {
    const int saved = errno;
    auto self = static_cast<pid_t>(::syscall(SYS_gettid));
    if (request.wanted.compare_exchange_strong(self, 0)) {
        boost::stacktrace::safe_dump_to(
            2, request.frames.data(), sizeof request.frames  // without this one and the kernel's
        );
        request.answered.store(true, std::memory_order_release);
    }
    errno = saved;
}

}  // namespace

StackReader::StackReader() noexcept {
    const std::lock_guard guard{asking};
    if (readers++ > 0) {
        ours_ = true;
        return;
    }
    ::sigaction(SIGURG, nullptr, &before);
    ours_ = (before.sa_flags & SA_SIGINFO) == 0 &&
            (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN);
    if (!ours_) {
        --readers;
        return;
    }
    // The first look at a stack loads a library, which a handler must not.
    std::array<const void*, most_frames> warm_up{};
    boost::stacktrace::safe_dump_to(warm_up.data(), sizeof warm_up);
    struct sigaction action{};
    action.sa_sigaction = &on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGURG, &action, nullptr);
}

StackReader::~StackReader() {
    if (!ours_) return;
    const std::lock_guard guard{asking};
    if (--readers == 0) ::sigaction(SIGURG, &before, nullptr);
}

std::optional<std::vector<const void*>> StackReader::read(pid_t thread, Duration patience) {
    if (!ours_) return std::nullopt;
    const std::lock_guard guard{asking};
    request.frames.fill(nullptr);
    request.answered = false;
    request.wanted = thread;
    const bool sent = ::syscall(SYS_tgkill, ::getpid(), thread, SIGURG) == 0;
    const auto until = Clock::steady().now() + patience;
    while (sent && !request.answered.load(std::memory_order_acquire) &&
           Clock::steady().now() < until)
        std::this_thread::sleep_for(std::chrono::microseconds{100});
    // Taken back, unless the thread has begun to answer: then it is nearly done.
    pid_t expected = thread;
    if (request.wanted.compare_exchange_strong(expected, 0)) return std::nullopt;
    while (!request.answered.load(std::memory_order_acquire)) std::this_thread::yield();
    std::vector<const void*> frames;
    for (const void* frame : request.frames) {
        if (frame != nullptr) frames.push_back(frame);
    }
    return frames;
}

std::string describe(const std::vector<const void*>& frames) {
    std::string text;
    for (const void* frame : frames) {
        const auto name = boost::stacktrace::frame{frame}.name();
        Dl_info file{};
        if (!name.empty()) {
            text += fmt::format("\n    {}", name);
        } else if (::dladdr(frame, &file) != 0 && file.dli_fname != nullptr) {
            const auto offset =
                static_cast<const char*>(frame) - static_cast<const char*>(file.dli_fbase);
            text += fmt::format("\n    {}+{:#x}", file.dli_fname, offset);
        } else {
            text += fmt::format("\n    {}", frame);
        }
    }
    return text;
}

}  // namespace stator::inline runtime::detail
