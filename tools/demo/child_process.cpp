#include "tools/demo/child_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "stator/runtime/readiness.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::demo {

namespace {

// The child's descriptor of the pipe that tells of its end: it is closed when the process is gone.
constexpr int end_pipe = 3;

[[noreturn]] void throw_spawn_error(std::string_view step, int code) {
    throw Error{
        ErrorCode::internal,
        "demo.spawn",
        fmt::format("starting a process: {}: {}", step, ::strerror(code))
    };
}

void check(std::string_view step, int code) {
    if (code != 0) throw_spawn_error(step, code);
}

class FileActions {
public:
    FileActions() { check("file actions", ::posix_spawn_file_actions_init(&actions_)); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;
    ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }

    void open(int fd, const char* path, int flags) {
        check(path, ::posix_spawn_file_actions_addopen(&actions_, fd, path, flags, 0600));
    }
    void duplicate(int from, int to) {
        check("file actions", ::posix_spawn_file_actions_adddup2(&actions_, from, to));
    }
    /// Sockets of this process must not live on in a child: their peers would not see them close.
    void close_from(int first) {
        check("file actions", ::posix_spawn_file_actions_addclosefrom_np(&actions_, first));
    }
    const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

private:
    posix_spawn_file_actions_t actions_{};
};

class Attributes {
public:
    /// No signal blocked or handled: the threads of a runtime block those that its worker waits
    /// for.
    Attributes() {
        check("attributes", ::posix_spawnattr_init(&attributes_));
        sigset_t none;
        sigset_t all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        ::posix_spawnattr_setsigmask(&attributes_, &none);
        ::posix_spawnattr_setsigdefault(&attributes_, &all);
        ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    Attributes(const Attributes&) = delete;
    Attributes& operator=(const Attributes&) = delete;
    ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
    const posix_spawnattr_t* get() const noexcept { return &attributes_; }

private:
    posix_spawnattr_t attributes_{};
};

/// This process's environment with `changes` on top.
std::vector<std::string> environment_with(
    const std::vector<std::pair<std::string, std::string>>& changes
) {
    std::vector<std::string> lines;
    for (char** line = environ; *line != nullptr; ++line) {
        const std::string_view text{*line};
        const bool changed = std::ranges::any_of(changes, [&](const auto& change) {
            return text.starts_with(change.first + "=");
        });
        if (!changed) lines.emplace_back(text);
    }
    for (const auto& [key, value] : changes) lines.push_back(key + "=" + value);
    return lines;
}

std::vector<char*> pointers(std::vector<std::string>& lines) {
    std::vector<char*> result;
    for (auto& line : lines) result.push_back(line.data());
    result.push_back(nullptr);
    return result;
}

pid_t spawn(const ChildProcess::Options& options, int pipe_end) {
    FileActions actions;
    actions.duplicate(pipe_end, end_pipe);  // first: what follows may reuse its number
    actions.open(STDIN_FILENO, "/dev/null", O_RDONLY);
    actions.open(STDOUT_FILENO, options.output.c_str(), O_WRONLY | O_CREAT | O_APPEND);
    actions.duplicate(STDOUT_FILENO, STDERR_FILENO);
    actions.close_from(end_pipe + 1);
    const Attributes attributes;
    auto arguments = options.arguments;
    auto environment = environment_with(options.environment);
    pid_t pid = 0;
    const int code = ::posix_spawn(
        &pid,
        arguments.front().c_str(),
        actions.get(),
        attributes.get(),
        pointers(arguments).data(),
        pointers(environment).data()
    );
    check(arguments.front(), code);
    return pid;
}

}  // namespace

std::string ProcessEnd::to_string() const {
    if (!by_signal) return fmt::format("exit {}", number);
    const char* name = ::sigabbrev_np(number);
    return name == nullptr ? fmt::format("signal {}", number) : fmt::format("SIG{}", name);
}

struct ChildProcess::State {
    State(pid_t pid_, Descriptor alive_) noexcept : pid{pid_}, alive{std::move(alive_)} {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
        if (end) return;
        ::kill(pid, SIGKILL);
        reap();
    }
    /// Blocks until the process has ended; short, since it is only called when it is about to.
    void reap() noexcept {
        int status = 0;
        while (::waitpid(pid, &status, 0) < 0) {
            if (errno != EINTR) break;
        }
        end.emplace(
            WIFSIGNALED(status) ? ProcessEnd{true, WTERMSIG(status)}
                                : ProcessEnd{false, WEXITSTATUS(status)}
        );
    }

    const pid_t pid;
    Descriptor alive;
    std::optional<ProcessEnd> end;
};

ChildProcess::ChildProcess(Loop& loop, const Options& options) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_spawn_error("pipe", errno);
    Descriptor alive{loop, ends[0]};
    struct Closed {
        int fd;
        ~Closed() { ::close(fd); }
    };
    const Closed other{ends[1]};
    state_ = std::make_unique<State>(spawn(options, other.fd), std::move(alive));
}

ChildProcess::ChildProcess(ChildProcess&&) noexcept = default;
ChildProcess& ChildProcess::operator=(ChildProcess&&) noexcept = default;
ChildProcess::~ChildProcess() = default;

pid_t ChildProcess::pid() const noexcept { return state_->pid; }

void ChildProcess::signal(int number) const noexcept {
    if (!state_->end) ::kill(state_->pid, number);
}

Task<ProcessEnd> ChildProcess::wait(Deadline deadline) {
    return [](State* state, Deadline until) -> Task<ProcessEnd> {
        if (!state->end) {
            co_await with_deadline(until, state->alive.readable());
            state->reap();
        }
        co_return *state->end;
    }(state_.get(), deadline);
}

bool end_with_parent(pid_t parent) noexcept {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    return ::getppid() == parent;
}

}  // namespace stator::demo
