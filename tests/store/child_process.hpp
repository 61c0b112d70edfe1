// Another process, for tests that need a real one to die.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace stator::test {

/// Runs a program from the folder of this one, with pipes for its input and output. Killed, if
/// still there, and waited for at the end.
class ChildProcess {
public:
    ChildProcess(const std::string& program, std::vector<std::string> arguments) {
        const auto path =
            (std::filesystem::read_symlink("/proc/self/exe").parent_path() / program).string();
        std::array<int, 2> input{};
        std::array<int, 2> output{};
        if (::pipe2(input.data(), O_CLOEXEC) != 0 || ::pipe2(output.data(), O_CLOEXEC) != 0)
            std::abort();
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
        ::posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
        arguments.insert(arguments.begin(), path);
        std::vector<char*> argv;
        for (auto& argument : arguments) argv.push_back(argument.data());
        argv.push_back(nullptr);
        if (::posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(), environ) != 0)
            std::abort();
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(input[0]);
        ::close(output[1]);
        input_ = input[1];
        output_ = output[0];
    }
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;
    ~ChildProcess() {
        kill(SIGKILL);
        close_input();
        ::close(output_);
    }

    /// The next line it prints; empty at the end of its output.
    std::string read_line() {
        std::string line;
        for (char letter = 0; ::read(output_, &letter, 1) == 1 && letter != '\n';) line += letter;
        return line;
    }
    void close_input() {
        if (input_ >= 0) ::close(std::exchange(input_, -1));
    }
    /// Sends the signal and waits for the end.
    void kill(int signal) {
        if (pid_ == 0) return;
        ::kill(pid_, signal);
        wait();
    }
    /// Stops it; none of its threads runs any more when this returns.
    void pause() const {
        ::kill(pid_, SIGSTOP);
        int status = 0;
        ::waitpid(pid_, &status, WUNTRACED);
    }
    void resume() const { ::kill(pid_, SIGCONT); }
    int wait() {
        int status = 0;
        if (pid_ != 0) ::waitpid(std::exchange(pid_, 0), &status, 0);
        return status;
    }

private:
    pid_t pid_ = 0;
    int input_ = -1;
    int output_ = -1;
};

}  // namespace stator::test
