#include "cli/child_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "stator/base/text.hpp"
#include "stator/runtime/readiness.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::cli {

namespace {

Error not_started(const std::string& program, int number) {
    return Error{
        number == ENOENT ? ErrorCode::not_found : ErrorCode::invalid_request,
        "cli.command",
        fmt::format(
            "cannot run {}: {}", quoted_text(program), std::system_category().message(number)
        )
    };
}

/// After fork: nothing here may allocate or lock.
[[noreturn]] void become(
    char* const* arguments, char* const* environment, pid_t parent, int error
) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int number : {SIGPIPE, SIGINT, SIGTERM, SIGUSR1}) ::signal(number, SIG_DFL);
    ::execvpe(arguments[0], arguments, environment);
    const int why = errno;
    (void)!::write(error, &why, sizeof why);
    ::_exit(127);
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (auto& text : texts) all.push_back(text.data());
    all.push_back(nullptr);
    return all;
}

std::vector<std::string> with_own(std::vector<std::string> environment) {
    for (char** line = environ; *line != nullptr; ++line) environment.emplace_back(*line);
    return environment;
}

}  // namespace

ChildProcess ChildProcess::start(
    const std::vector<std::string>& command, const std::vector<std::string>& environment
) {
    auto words = command;
    auto lines = with_own(environment);
    const auto arguments = pointers(words);
    const auto variables = pointers(lines);
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw not_started(command.front(), errno);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid == 0) become(arguments.data(), variables.data(), parent, pipe[1]);
    const int failure = errno;
    ::close(pipe[1]);
    if (pid < 0) {
        ::close(pipe[0]);
        throw not_started(command.front(), failure);
    }
    int why = 0;
    const bool failed = ::read(pipe[0], &why, sizeof why) > 0;  // ends when the program runs
    ::close(pipe[0]);
    ChildProcess child{pid, static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    if (failed) throw not_started(command.front(), why);
    if (child.watched_ < 0) throw not_started(command.front(), errno);
    return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_{std::exchange(other.pid_, 0)}, watched_{std::exchange(other.watched_, -1)} {}

ChildProcess::~ChildProcess() {
    if (pid_ != 0) {
        ::kill(pid_, SIGKILL);
        (void)reap();
    }
    if (watched_ >= 0) ::close(watched_);
}

void ChildProcess::signal(int number) const noexcept {
    if (pid_ != 0) ::kill(pid_, number);
}

int ChildProcess::reap() noexcept {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Task<int> ChildProcess::wait() {
    co_await readable(watched_);
    co_return reap();
}

Task<int> ChildProcess::end(Deadline deadline) {
    signal(SIGTERM);
    auto ended = co_await as_result(with_deadline(deadline, wait()));
    if (ended) co_return *ended;
    signal(SIGKILL);
    co_return co_await shielded(wait());
}

}  // namespace stator::cli
