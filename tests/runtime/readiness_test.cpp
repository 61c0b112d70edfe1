#include "stator/runtime/readiness.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <optional>

#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

struct Pipe {
    Pipe() { EXPECT_EQ(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0); }
    void write_one() const { EXPECT_EQ(::write(ends[1], "x", 1), 1); }
    std::array<int, 2> ends{};
};

Task<> stop_after(Task<> task, Loop* loop, std::optional<Result<void>>* outcome) {
    outcome->emplace(co_await as_result(std::move(task)));
    loop->stop();
}

/// Runs `task` on a loop of this thread until it ends.
Result<void> run(Loop& loop, Task<> task, CancellationToken token = {}) {
    std::optional<Result<void>> outcome;
    TaskScope scope{std::move(token)};
    scope.spawn_on(loop, stop_after(std::move(task), &loop, &outcome));
    loop.run();
    return *outcome;
}

Task<> read_two(Descriptor* descriptor, const Pipe* pipe, std::size_t* bytes) {
    std::array<char, 8> buffer{};
    pipe->write_one();
    co_await descriptor->readable();
    *bytes += static_cast<std::size_t>(::read(descriptor->fd(), buffer.data(), buffer.size()));
    pipe->write_one();
    co_await descriptor->readable();
    *bytes += static_cast<std::size_t>(::read(descriptor->fd(), buffer.data(), buffer.size()));
}

TEST(Descriptor, IsReadableAgainAndAgain) {
    Pipe pipe;
    Loop loop;
    Descriptor descriptor{loop, pipe.ends[0]};
    std::size_t bytes = 0;
    ASSERT_TRUE(run(loop, read_two(&descriptor, &pipe, &bytes)));
    EXPECT_EQ(bytes, 2U);
    ::close(pipe.ends[1]);
}

Task<> wait_and_tell(Descriptor* descriptor, bool* readable) {
    co_await descriptor->readable();
    *readable = true;
}

Task<> write_when_waiting(Descriptor* descriptor, const Pipe* pipe) {
    bool readable = false;
    TaskScope scope;
    scope.spawn(wait_and_tell(descriptor, &readable));
    for (int i = 0; i < 10; ++i) co_await yield();
    EXPECT_FALSE(readable);
    pipe->write_one();
    co_await scope.join();
    EXPECT_TRUE(readable);
}

TEST(Descriptor, WaitsUntilSomethingIsThere) {
    Pipe pipe;
    Loop loop;
    Descriptor descriptor{loop, pipe.ends[0]};
    ASSERT_TRUE(run(loop, write_when_waiting(&descriptor, &pipe)));
    ::close(pipe.ends[1]);
}

TEST(Descriptor, AClosedPeerIsReadable) {
    Pipe pipe;
    Loop loop;
    Descriptor descriptor{loop, pipe.ends[0]};
    ::close(pipe.ends[1]);
    ASSERT_TRUE(run(loop, descriptor.readable()));
}

TEST(Descriptor, WritableWhenThereIsRoom) {
    Pipe pipe;
    Loop loop;
    Descriptor descriptor{loop, pipe.ends[1]};
    ASSERT_TRUE(run(loop, descriptor.writable()));
    ::close(pipe.ends[0]);
}

Task<> cancel_then_wait_again(Descriptor* descriptor, const Pipe* pipe) {
    auto token = CancellationToken::make();
    TaskScope scope;
    Event ended;
    scope.spawn([](Task<> task, CancellationToken own, Event* done) -> Task<> {
        const auto outcome = co_await as_result(with_token(own, std::move(task)));
        EXPECT_FALSE(outcome);
        if (!outcome) EXPECT_EQ(outcome.error().code(), ErrorCode::cancelled);
        done->set();
    }(descriptor->readable(), token, &ended));
    co_await yield();
    token.cancel();
    co_await ended.wait();
    pipe->write_one();
    co_await descriptor->readable();
    co_await scope.join();
}

TEST(Descriptor, ACancelledWaitConsumesNothing) {
    Pipe pipe;
    Loop loop;
    Descriptor descriptor{loop, pipe.ends[0]};
    ASSERT_TRUE(run(loop, cancel_then_wait_again(&descriptor, &pipe)));
    ::close(pipe.ends[1]);
}

TEST(Descriptor, ATaskThatIsCancelledAlreadyDoesNotWait) {
    Pipe pipe;
    Loop loop;
    Descriptor descriptor{loop, pipe.ends[0]};
    auto token = CancellationToken::make();
    token.cancel();
    const auto outcome = run(loop, descriptor.readable(), token);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code(), ErrorCode::cancelled);
    ::close(pipe.ends[1]);
}

TEST(Descriptor, APlainFileIsANamedError) {
    Loop loop;
    Descriptor descriptor{loop, ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};
    const auto outcome = run(loop, descriptor.readable());
    ASSERT_FALSE(outcome) << "epoll accepted a plain file";
    EXPECT_EQ(outcome.error().detail(), "runtime.fd");
}

TEST(Descriptor, WhatIsNoDescriptorIsANamedError) {
    Loop loop;
    try {
        Descriptor descriptor{loop, -1};
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.detail(), "runtime.fd");
    }
}

TEST(Descriptor, OwnsItsDescriptor) {
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    {
        Loop loop;
        Descriptor descriptor{loop, fd};
        Descriptor moved = std::move(descriptor);
        EXPECT_EQ(moved.fd(), fd);
    }
    EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

Task<> twice_readable(int fd) {
    co_await readable(fd);
    co_await readable(fd);
}

TEST(Readable, LeavesTheDescriptorToItsOwner) {
    const int fd = ::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    Loop loop;
    ASSERT_TRUE(run(loop, twice_readable(fd)));
    std::uint64_t value = 0;
    EXPECT_EQ(::read(fd, &value, sizeof value), static_cast<ssize_t>(sizeof value));
    ::close(fd);
}

TEST(Readable, WritableWorksTheSame) {
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    Loop loop;
    ASSERT_TRUE(run(loop, writable(fd)));
    ::close(fd);
}

TEST(Readable, IsBoundedByADeadline) {
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    Loop loop;
    const auto outcome = run(loop, with_deadline(Deadline::in(5ms), readable(fd)));
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code(), ErrorCode::deadline_exceeded);
    ::close(fd);
}

}  // namespace
}  // namespace stator
