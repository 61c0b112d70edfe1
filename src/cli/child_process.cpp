#include "cli/child_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "stator/base/backoff.hpp"
#include "stator/base/text.hpp"
#include "stator/runtime/readiness.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::cli {

using namespace std::chrono_literals;

namespace {

/// Of what a command has left behind.
constexpr BackoffPolicy between_looks{.initial = 5ms, .max = 100ms, .factor = 2.0};
constexpr Duration between_signals = 20ms;

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

std::optional<pid_t> number_in(std::string_view text) {
    pid_t number = 0;
    const auto* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, number);
    return parsed.ec == std::errc{} && parsed.ptr == end ? std::optional{number} : std::nullopt;
}

/// Nothing: there is no such process.
std::optional<pid_t> parent_of(pid_t pid) {
    std::ifstream file{fmt::format("/proc/{}/stat", pid)};
    std::string line;
    std::getline(file, line, '\0');  // nothing, and no exception, if it ends meanwhile
    // "1 (any name) S 0 ...": the name may have spaces and brackets.
    const auto name_end = line.rfind(')');
    if (name_end == std::string::npos || name_end + 4 > line.size()) return std::nullopt;
    const auto parent = std::string_view{line}.substr(name_end + 4);
    return number_in(parent.substr(0, parent.find(' ')));
}

/// All processes below this one, parents before their children: a shell that was told first does
/// not go on with its next command. One that is started meanwhile may be left out.
std::vector<pid_t> descendants() {
    std::multimap<pid_t, pid_t> children;
    std::error_code failure;
    auto entry = std::filesystem::directory_iterator{"/proc", failure};
    for (; !failure && entry != std::filesystem::directory_iterator{}; entry.increment(failure)) {
        const auto pid = number_in(entry->path().filename().native());
        const auto parent = pid ? parent_of(*pid) : std::nullopt;
        if (parent) children.emplace(*parent, *pid);
    }
    std::vector<pid_t> all{::getpid()};
    for (std::size_t at = 0; at < all.size(); ++at) {
        const auto [first, last] = children.equal_range(all[at]);
        for (auto child = first; child != last; ++child) all.push_back(child->second);
    }
    all.erase(all.begin());
    return all;
}

void send(pid_t pid, int number, const std::vector<pid_t>& family) {
    const auto held = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (held < 0) return;
    // Its number may be another's since it was read.
    const auto parent = parent_of(pid);
    const bool ours =
        parent && (*parent == ::getpid() || std::ranges::find(family, *parent) != family.end());
    if (ours) ::syscall(SYS_pidfd_send_signal, held, number, nullptr, 0);
    ::close(held);
}

/// Each once. After the first time only those whose parents have ended meanwhile: a process that
/// another has started in order to tidy up is let do so.
void ask_all(std::set<pid_t>* asked) {
    const bool first = asked->empty();
    const auto family = descendants();
    for (const auto pid : family) {
        if (!first && parent_of(pid) != ::getpid()) continue;
        if (asked->insert(pid).second) send(pid, SIGTERM, family);
    }
}

void kill_all() {
    const auto family = descendants();
    for (const auto pid : family) send(pid, SIGKILL, family);
}

/// Whether any is left. A process that ends hands its children to us before it can be reaped.
bool reap_all() noexcept {
    for (;;) {
        const auto reaped = ::waitpid(-1, nullptr, WNOHANG);
        if (reaped <= 0) return reaped == 0;
    }
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
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
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
    : pid_{std::exchange(other.pid_, 0)},
      status_{other.status_},
      watched_{std::exchange(other.watched_, -1)},
      over_{std::exchange(other.over_, true)} {}

ChildProcess::~ChildProcess() {
    while (!over_ && reap_all()) {
        kill_all();
        ::usleep(1000);
    }
    if (watched_ >= 0) ::close(watched_);
}

void ChildProcess::reap_command() noexcept {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Task<int> ChildProcess::wait() {
    if (pid_ != 0) {
        co_await readable(watched_);
        reap_command();
    }
    Backoff backoff{between_looks};
    while (reap_all()) co_await sleep_for(backoff.next());
    over_ = true;
    co_return status_;
}

Task<int> ChildProcess::end(Deadline deadline) {
    std::set<pid_t> asked;
    while (!deadline.passed()) {
        ask_all(&asked);
        const auto pause = earliest(deadline, Deadline::in(between_signals));
        const auto ended = co_await as_result(with_deadline(pause, wait()));
        if (ended) co_return *ended;
        if (ended.error().code() != ErrorCode::deadline_exceeded) break;
    }
    for (;;) {
        kill_all();
        const auto pause = Deadline::in(between_signals);
        const auto ended = co_await as_result(shielded(with_deadline(pause, wait())));
        if (ended) co_return *ended;
    }
}

}  // namespace stator::cli
